//! A program is recorded once, and its disk is looked at after every cut that its power could have had.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use export_tests::output;
use tempfile::TempDir;

use crate::disk::{Disk, Luck};
use crate::tape::{Change, MARKS, Recorder};

/// What a program did below a folder.
#[derive(Debug)]
pub(crate) struct Recording {
    root: PathBuf,
    changes: Vec<Change>,
    _folder: TempDir,
}

/// The disk after one cut.
#[derive(Debug)]
pub(crate) struct Cut<'a> {
    /// What lies where the root was.
    pub(crate) folder: &'a Path,
    /// What the program had confirmed by then, in its order.
    pub(crate) confirmed: &'a [String],
}

/// Where files are made and thrown away by the thousand.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

/// Records a test of this program that is ignored otherwise, in a process of its own.
pub(crate) fn record_test(name: &str) -> Recording {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    record(&mut [command])
}

/// Records programs one after the other; the end of each is marked.
pub(crate) fn record(commands: &mut [Command]) -> Recording {
    let folder = scratch();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let recorder = Recorder::compile(folder.path());
    let mut changes = Vec::new();
    for command in commands {
        recorder.watch(command, &root);
        output(command).unwrap();
        // Numbers of openings begin anew with each program, so its own part of the tape is told apart by the mark of its end.
        let known = changes.iter().filter(|change| !matches!(change, Change::Mark(text) if text == ENDED)).count();
        changes.extend(recorder.read().into_iter().skip(known));
        changes.push(Change::Mark(ENDED.to_owned()));
    }
    let recording = Recording { root, changes, _folder: folder };
    recording.assert_complete();
    recording
}

/// The mark of a program's end.
pub(crate) const ENDED: &str = "ended";

/// Where a recorded test works; `None` where it is not recorded.
pub(crate) fn root() -> Option<PathBuf> {
    variable("POWER_ROOT").map(PathBuf::from)
}

/// Says that what was done until now is promised to be kept.
pub(crate) fn mark(text: &str) {
    let file = variable(MARKS).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    file.write_all(format!("{text}\n").as_bytes()).unwrap();
}

fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the process that records tells this one by its environment")]
    let value = std::env::var(name).ok();
    value
}

impl Recording {
    /// Where the program worked, as it left it.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Nothing went past the recorder: what it wrote down gives the folder that is there.
    fn assert_complete(&self) {
        let mut disk = Disk::empty(&self.root);
        for change in &self.changes {
            disk.take(change);
        }
        let tree = disk.after_cut(Luck::All);
        let mut told = tree.paths();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&self.root).unwrap().to_owned();
                let recorded =
                    told.remove(&name).unwrap_or_else(|| panic!("{} went past the recorder", name.display()));
                // SQLite maps this one into memory, and makes it anew at each start.
                let mapped = name.to_string_lossy().ends_with("-shm");
                if path.is_dir() {
                    folders.push(path);
                } else if !mapped {
                    let there = std::fs::read(&path).unwrap();
                    assert!(recorded == Some(there.as_slice()), "bytes of {} went past the recorder", name.display());
                }
            }
        }
        assert!(told.is_empty(), "{:?} went past the recorder", told.keys());
    }

    /// Shows `check` the disk after a cut before each change and behind the last one, with every luck that makes a difference; gives how many
    /// there were, and what it found.
    pub(crate) fn cut(&self, lucks: usize, mut check: impl FnMut(&Cut<'_>) -> Vec<String>) -> (usize, Vec<String>) {
        let mut disk = Disk::empty(&self.root);
        let (mut confirmed, mut seen, mut found) = (Vec::new(), HashSet::new(), Vec::new());
        for at in 0..=self.changes.len() {
            for luck in lucks_of(at, lucks) {
                let tree = disk.after_cut(luck);
                let mut hasher = DefaultHasher::new();
                (tree.paths(), &confirmed).hash(&mut hasher);
                if !seen.insert(hasher.finish()) {
                    continue;
                }
                let folder = scratch();
                tree.write(folder.path());
                let broken = check(&Cut { folder: folder.path(), confirmed: &confirmed });
                let after = at.checked_sub(1).and_then(|before| self.changes.get(before)).map(told).unwrap_or_default();
                found.extend(broken.into_iter().map(|line| format!("after change {at} ({after}), {luck:?}: {line}")));
            }
            if let Some(change) = self.changes.get(at) {
                disk.take(change);
                if let Change::Mark(text) = change {
                    confirmed.push(text.clone());
                }
            }
        }
        (seen.len(), found)
    }
}

/// The sure ones in turn and some of chance, so many for each cut.
fn lucks_of(at: usize, count: usize) -> Vec<Luck> {
    let sure = [Luck::None, Luck::All, Luck::Names, Luck::Bytes];
    let of_chance = (0_u64..).map(|number| Luck::Some(u64::try_from(at).unwrap() * 1_000 + number));
    let turned = sure.into_iter().cycle().skip(at % sure.len()).take(sure.len().min(count));
    turned.chain(of_chance.take(count.saturating_sub(sure.len()).max(1))).collect()
}

/// A change in a few words.
fn told(change: &Change) -> String {
    match change {
        Change::Write { opening, offset, bytes } => format!("{} bytes at {offset} of {opening}", bytes.len()),
        other => format!("{other:?}"),
    }
}
