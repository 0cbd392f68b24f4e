//! The tape that `recorder.c` writes.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_tests::output;

/// One change below the folder, in the order of the changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A file or folder was opened under this number; perhaps it was made or emptied by that.
    Open {
        opening: u32,
        path: PathBuf,
        made: bool,
        emptied: bool,
    },
    Write {
        opening: u32,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        opening: u32,
        length: u64,
    },
    /// Whoever asked was told that what was opened is on the disk.
    Sync {
        opening: u32,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    /// A name of a file, or an empty folder.
    Remove {
        path: PathBuf,
    },
    MakeFolder {
        path: PathBuf,
    },
    /// What the program said.
    Mark(String),
}

/// A library that writes down what a program does.
#[derive(Debug)]
pub(crate) struct Recorder {
    library: PathBuf,
    tape: PathBuf,
    marks: PathBuf,
}

/// The variable that names the file for marks.
pub(crate) const MARKS: &str = "POWER_MARKS";

impl Recorder {
    /// Compiles it into `folder`, where the tape will be too.
    pub(crate) fn compile(folder: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/recorder.c");
        let library = folder.join("recorder.so");
        let mut command = Command::new("cc");
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-lpthread");
        output(&mut command).expect("the C compiler that the workspace needs anyway");
        std::fs::write(folder.join("marks"), "").unwrap();
        Self { library, tape: folder.join("tape"), marks: folder.join("marks") }
    }

    /// Lets a program write on the tape what it does below `root`.
    pub(crate) fn watch(&self, command: &mut Command, root: &Path) {
        command.env("LD_PRELOAD", &self.library).env("POWER_ROOT", root);
        command.env("POWER_TAPE", &self.tape).env(MARKS, &self.marks);
    }

    /// What is on the tape by now.
    pub(crate) fn read(&self) -> Vec<Change> {
        let tape = std::fs::read(&self.tape).expect("the program ran with the recorder");
        let mut rest = tape.as_slice();
        let mut changes = Vec::new();
        while !rest.is_empty() {
            changes.push(change(&mut rest));
        }
        changes
    }
}

fn change(rest: &mut &[u8]) -> Change {
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at(count);
        *rest = left;
        taken
    };
    let kind = take(1)[0];
    let opening = u32::from_ne_bytes(take(4).try_into().unwrap());
    let offset = u64::from_ne_bytes(take(8).try_into().unwrap());
    let mut length = || usize::try_from(u64::from_ne_bytes(take(8).try_into().unwrap())).unwrap();
    let (first, second) = (length(), length());
    let (first, second) = (take(first).to_vec(), take(second).to_vec());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let path = |bytes: &[u8]| PathBuf::from(text(bytes));
    match kind {
        b'o' => Change::Open { opening, path: path(&first), made: offset == 1, emptied: offset == 2 },
        b'w' => Change::Write { opening, offset, bytes: first },
        b't' => Change::Truncate { opening, length: offset },
        b's' => Change::Sync { opening },
        b'r' => Change::Rename { from: path(&first), to: path(&second) },
        b'l' => Change::Link { from: path(&first), to: path(&second) },
        b'u' => Change::Remove { path: path(&first) },
        b'm' => Change::MakeFolder { path: path(&first) },
        b'k' => Change::Mark(text(&first).trim().to_owned()),
        other => panic!("the tape is broken: {other}"),
    }
}
