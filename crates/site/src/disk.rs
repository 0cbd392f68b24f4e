//! Every change that a site makes to its file system, in one place, so that a test can stop it before any of them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Asked before each step; an error stops it, as if the machine had stopped.
type Before = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// Bytes that are written in one step.
const PIECE: usize = 64 << 10;

/// The file system.
#[derive(Clone)]
pub struct Disk {
    before: Before,
}

impl Default for Disk {
    fn default() -> Self {
        Self { before: Arc::new(|_| Ok(())) }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

impl Disk {
    /// A disk that asks `before` ahead of every step, for tests.
    pub fn watched(before: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { before: Arc::new(before) }
    }

    fn step<T>(&self, what: &str, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        (self.before)(what)?;
        act()
    }

    /// Makes a folder and those above it.
    pub(crate) fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.step("make a folder", || fs::create_dir_all(path))
    }

    /// Opens a new file.
    pub(crate) fn create(&self, path: &Path) -> io::Result<Output> {
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            self.make_folder(folder)?;
        }
        let file = self.step("create a file", || OpenOptions::new().write(true).create_new(true).open(path))?;
        Ok(Output { disk: self.clone(), file })
    }

    /// Writes a new file, whole.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut output = self.create(path)?;
        output.write_all(bytes)?;
        output.flush()
    }

    /// Gives a file a second name, or copies it where the file system has no such thing.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(folder) = to.parent().filter(|folder| !folder.is_dir()) {
            self.make_folder(folder)?;
        }
        self.step("link a file", || fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ())))
    }

    /// Renames.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", || fs::rename(from, to))
    }

    /// Removes a folder and all in it; nothing there is no error.
    pub(crate) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        match self.step("remove a folder", || fs::remove_dir_all(path)) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Points `link` at `target` in one step, whatever it pointed at before.
    pub(crate) fn switch(&self, link: &Path, target: &Path) -> io::Result<()> {
        let next = with_suffix(link, ".next");
        match self.step("remove a link", || fs::remove_file(&next)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        self.step("make a link", || std::os::unix::fs::symlink(target, &next))?;
        self.step("switch", || fs::rename(&next, link))?;
        link.parent().map_or(Ok(()), |folder| self.sync(folder))
    }

    /// Waits until a file or folder is on the disk.
    pub(crate) fn sync(&self, path: &Path) -> io::Result<()> {
        self.step("sync", || File::open(path)?.sync_all())
    }

    /// Waits until a folder and all in it are on the disk.
    pub(crate) fn sync_all(&self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.sync_all(&entry.path())?;
            } else {
                self.sync(&entry.path())?;
            }
        }
        self.sync(folder)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Output {
    disk: Disk,
    file: File,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..bytes.len().min(PIECE)).unwrap_or_default();
        let file = &mut self.file;
        self.disk.step("write", || file.write(piece))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
