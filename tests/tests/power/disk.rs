//! A disk that loses its power.
//!
//! What it promises is what POSIX does, which is less than most file systems keep. A file's bytes are kept once the file was synced, and a name
//! once its folder was. Of what was not synced, anything may be there after the cut: none of it, all of it, writes in any choice and torn at
//! sectors, names without bytes, bytes without names. Only one name at a time is kept or lost as a whole, and a rename is one change.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::tape::Change;

/// What a disk writes whole.
const SECTOR: usize = 512;

type Object = usize;
/// A name in a folder.
type Name = (Object, String);

/// What became of the things that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    /// Nothing of it is there.
    None,
    /// All of it is there.
    All,
    /// The names are there, the bytes are not.
    Names,
    /// The bytes are there, the names are not.
    Bytes,
    /// Some is there; a number says what.
    Some(u64),
}

#[derive(Clone, Debug)]
enum Write {
    Bytes { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug, Default)]
struct File {
    folder: bool,
    kept: Vec<u8>,
    pending: Vec<Write>,
}

/// Names that one change sets; `None` removes one.
type Edit = Vec<(Name, Option<Object>)>;

/// The disk, with what is kept and what is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    objects: Vec<File>,
    /// Names as the program sees them.
    names: BTreeMap<Name, Object>,
    kept: BTreeMap<Name, Object>,
    pending: Vec<Edit>,
    openings: HashMap<u32, Object>,
}

impl Disk {
    /// An empty disk, mounted at `root`.
    pub(crate) fn empty(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            objects: vec![File { folder: true, ..File::default() }],
            names: BTreeMap::new(),
            kept: BTreeMap::new(),
            pending: Vec::new(),
            openings: HashMap::new(),
        }
    }

    /// Takes the next change of a tape.
    pub(crate) fn take(&mut self, change: &Change) {
        match change {
            Change::Open { opening, path, made, emptied } => {
                if *made {
                    self.make(path, false);
                }
                // What was removed by another process in between has no name any more; nothing of it matters.
                let Some(object) = self.find(path) else { return };
                self.openings.insert(*opening, object);
                if *emptied {
                    self.objects[object].pending.push(Write::Length(0));
                }
            }
            Change::Write { opening, offset, bytes } => {
                let offset = usize::try_from(*offset).unwrap();
                self.write(*opening, Write::Bytes { offset, bytes: bytes.clone() });
            }
            Change::Truncate { opening, length } => {
                self.write(*opening, Write::Length(usize::try_from(*length).unwrap()));
            }
            Change::Sync { opening } => self.sync(*opening),
            Change::Rename { from, to } => {
                let object = self.find(from).expect("what is renamed is there");
                let edit = vec![(self.name(from), None), (self.name(to), Some(object))];
                self.edit(edit);
            }
            Change::Link { from, to } => {
                let object = self.find(from).expect("what is linked is there");
                let edit = vec![(self.name(to), Some(object))];
                self.edit(edit);
            }
            Change::Remove { path } => {
                let edit = vec![(self.name(path), None)];
                self.edit(edit);
            }
            Change::MakeFolder { path } => self.make(path, true),
            Change::Mark(_) => {}
        }
    }

    fn make(&mut self, path: &Path, folder: bool) {
        self.objects.push(File { folder, ..File::default() });
        let edit = vec![(self.name(path), Some(self.objects.len() - 1))];
        self.edit(edit);
    }

    fn write(&mut self, opening: u32, write: Write) {
        if let Some(object) = self.openings.get(&opening) {
            self.objects[*object].pending.push(write);
        }
    }

    fn edit(&mut self, edit: Edit) {
        apply(&mut self.names, &edit);
        self.pending.push(edit);
    }

    fn sync(&mut self, opening: u32) {
        let Some(object) = self.openings.get(&opening).copied() else { return };
        let file = &mut self.objects[object];
        for write in std::mem::take(&mut file.pending) {
            write_to(&mut file.kept, &write);
        }
        if !file.folder {
            return;
        }
        let (kept, later): (Vec<Edit>, Vec<Edit>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|edit| edit.iter().any(|((folder, _), _)| *folder == object));
        for edit in &kept {
            apply(&mut self.kept, edit);
        }
        // What an earlier change said of a name is overtaken by a later one that is kept now.
        let overtaken: Vec<&Name> = kept.iter().flatten().map(|(name, _)| name).collect();
        self.pending = later
            .into_iter()
            .map(|edit| edit.into_iter().filter(|(name, _)| !overtaken.contains(&name)).collect())
            .collect();
    }

    /// What lies on the disk after its power was cut now.
    pub(crate) fn after_cut(&self, luck: Luck) -> Tree {
        let mut dice = Dice(match luck {
            Luck::Some(seed) => seed,
            _ => 0,
        });
        let mut names = self.kept.clone();
        for edit in &self.pending {
            let there = match luck {
                Luck::All | Luck::Names => true,
                Luck::None | Luck::Bytes => false,
                Luck::Some(_) => dice.flip(),
            };
            if there {
                apply(&mut names, edit);
            }
        }
        let files = self.objects.iter().map(|file| file.after_cut(luck, &mut dice)).collect();
        Tree { names, files, folders: self.objects.iter().map(|file| file.folder).collect() }
    }

    fn find(&self, path: &Path) -> Option<Object> {
        let below = path.strip_prefix(&self.root).expect("the recorder looks below the root only");
        below.iter().try_fold(0, |folder, name| self.names.get(&(folder, text(name))).copied())
    }

    fn name(&self, path: &Path) -> Name {
        let folder = self.find(path.parent().unwrap()).expect("folders of names are there");
        (folder, text(path.file_name().unwrap()))
    }
}

impl File {
    fn after_cut(&self, luck: Luck, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.kept.clone();
        for write in &self.pending {
            match (luck, write) {
                (Luck::All | Luck::Bytes, write) => write_to(&mut bytes, write),
                (Luck::None | Luck::Names, _) => {}
                (Luck::Some(_), Write::Length(_)) => {
                    if dice.flip() {
                        write_to(&mut bytes, write);
                    }
                }
                (Luck::Some(_), Write::Bytes { offset, bytes: written }) => {
                    let mut at = *offset;
                    let mut rest = written.as_slice();
                    while !rest.is_empty() {
                        let (sector, after) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
                        if dice.flip() {
                            write_to(&mut bytes, &Write::Bytes { offset: at, bytes: sector.to_vec() });
                        }
                        at += sector.len();
                        rest = after;
                    }
                }
            }
        }
        bytes
    }
}

fn write_to(file: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Length(length) => file.resize(*length, 0),
        Write::Bytes { offset, bytes } => {
            let end = offset + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*offset..end].copy_from_slice(bytes);
        }
    }
}

fn apply(names: &mut BTreeMap<Name, Object>, edit: &Edit) {
    for (name, object) in edit {
        match object {
            Some(object) => _ = names.insert(name.clone(), *object),
            None => _ = names.remove(name),
        }
    }
}

fn text(name: &std::ffi::OsStr) -> String {
    name.to_str().expect("names are text").to_owned()
}

/// Files and folders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tree {
    names: BTreeMap<Name, Object>,
    files: Vec<Vec<u8>>,
    folders: Vec<bool>,
}

impl Tree {
    /// Every file that can be reached from the root, and every folder, by path; folders have no bytes.
    pub(crate) fn paths(&self) -> BTreeMap<PathBuf, Option<&[u8]>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![(0, PathBuf::new())];
        while let Some((folder, path)) = folders.pop() {
            for ((_, name), object) in self.names.range((folder, String::new())..(folder + 1, String::new())) {
                let path = path.join(name);
                if self.folders[*object] {
                    folders.push((*object, path.clone()));
                    found.insert(path, None);
                } else {
                    found.insert(path, Some(self.files[*object].as_slice()));
                }
            }
        }
        found
    }

    /// Writes it to an empty folder.
    pub(crate) fn write(&self, folder: &Path) {
        for (path, bytes) in self.paths() {
            let path = folder.join(path);
            match bytes {
                None => std::fs::create_dir_all(path).unwrap(),
                Some(bytes) => std::fs::write(path, bytes).unwrap(),
            }
        }
    }
}

/// Coins that a number repeats.
struct Dice(u64);

impl Dice {
    fn flip(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ (mixed >> 27)) >> 63 == 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::{Disk, Luck};
    use crate::tape::Change;

    fn open(opening: u32, path: &str, made: bool) -> Change {
        Change::Open { opening, path: PathBuf::from(path), made, emptied: false }
    }

    fn write(opening: u32, bytes: &[u8]) -> Change {
        Change::Write { opening, offset: 0, bytes: bytes.to_vec() }
    }

    fn found(changes: &[Change], luck: Luck) -> BTreeMap<String, String> {
        let mut disk = Disk::empty(Path::new("/disk"));
        for change in changes {
            disk.take(change);
        }
        let tree = disk.after_cut(luck);
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or(b"/").to_vec()).unwrap();
        tree.paths().into_iter().map(|(path, bytes)| (path.display().to_string(), text(bytes))).collect()
    }

    #[test]
    fn a_file_is_there_once_it_and_its_name_were_synced() {
        let mut changes = vec![open(1, "/disk/a", true), write(1, b"text")];
        assert!(found(&changes, Luck::None).is_empty());
        assert_eq!(found(&changes, Luck::Names)["a"], "");
        changes.push(Change::Sync { opening: 1 });
        assert!(found(&changes, Luck::None).is_empty(), "its name was not synced");
        assert_eq!(found(&changes, Luck::Names)["a"], "text");
        changes.extend([open(2, "/disk", false), Change::Sync { opening: 2 }]);
        assert_eq!(found(&changes, Luck::None)["a"], "text");
    }

    #[test]
    fn a_rename_is_one_change_and_one_that_was_not_synced_may_be_lost() {
        let changes = vec![
            open(1, "/disk/a", true),
            write(1, b"old"),
            Change::Sync { opening: 1 },
            open(2, "/disk", false),
            Change::Sync { opening: 2 },
            open(3, "/disk/b", true),
            write(3, b"new"),
            Change::Sync { opening: 3 },
            Change::Rename { from: "/disk/b".into(), to: "/disk/a".into() },
        ];
        assert_eq!(found(&changes, Luck::None)["a"], "old");
        assert_eq!(found(&changes, Luck::All)["a"], "new");
        for seed in 0..50 {
            let found = found(&changes, Luck::Some(seed));
            assert!(found["a"] == "old" || (found["a"] == "new" && !found.contains_key("b")), "{found:?}");
        }
    }

    #[test]
    fn a_file_in_a_folder_whose_name_was_not_synced_is_lost() {
        let mut changes = vec![
            Change::MakeFolder { path: "/disk/f".into() },
            open(1, "/disk/f/a", true),
            Change::Sync { opening: 1 },
            open(2, "/disk/f", false),
            Change::Sync { opening: 2 },
        ];
        assert!(found(&changes, Luck::None).is_empty());
        changes.extend([open(3, "/disk", false), Change::Sync { opening: 3 }]);
        assert!(found(&changes, Luck::None).contains_key("f/a"));
    }

    #[test]
    fn a_write_that_was_not_synced_may_be_torn() {
        let changes = [open(1, "/disk/a", true), write(1, &[b'x'; 2048])];
        let torn = |seed| {
            let text = found(&changes, Luck::Some(seed)).remove("a").unwrap_or_default();
            text.contains('x') && text.len() >= 512 && text.trim_end_matches('\0').contains('\0')
        };
        assert!((0..100).any(torn));
    }
}
