//! A bundle that is unpacked: its files are read as the tar that they came in, so that nothing is judged otherwise because it lies in a
//! folder.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use export_canon::tar::{END_OF_ARCHIVE, Headers, padding};

use super::BUNDLE;
use crate::error::{Problem, VerifyError, shown};

/// Most files of a tree; the reader of archives takes no more.
const MAX_FILES: usize = 100_000;
/// Deepest folder; no bundle has one below four.
const MAX_DEPTH: usize = 32;

/// The files of a folder, sorted by path.
pub(super) struct Tree {
    folder: PathBuf,
    files: Vec<(String, u64)>,
}

impl Tree {
    /// Finds every file. Links and whatever else is no file are refused, because a bundle has none.
    pub(super) fn walk(folder: &Path) -> Result<Self, VerifyError> {
        let mut tree = Self { folder: folder.to_owned(), files: Vec::new() };
        tree.enter(folder, "", 0)?;
        tree.files.sort();
        Ok(tree)
    }

    fn enter(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), VerifyError> {
        let read = |cause| VerifyError::Read { path: folder.to_owned(), cause };
        if depth > MAX_DEPTH {
            return Err(VerifyError::rule(prefix, "folders lie too deep in one another"));
        }
        for entry in fs::read_dir(folder).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| VerifyError::rule(prefix, "a file's name in it is not UTF-8"))?;
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().map_err(read)?;
            if kind.is_dir() {
                self.enter(&entry.path(), &path, depth + 1)?;
            } else if kind.is_file() {
                if self.files.len() >= MAX_FILES {
                    return Err(VerifyError::rule("tree", "it holds more than 100,000 files"));
                }
                self.files.push((path, entry.metadata().map_err(read)?.len()));
            } else {
                return Err(VerifyError::malformed(&path, Problem::NotAFile));
            }
        }
        Ok(())
    }

    /// Length of the tar.
    pub(super) fn tar_bytes(&self) -> Result<u64, VerifyError> {
        let mut headers = Headers::new();
        let mut sum = END_OF_ARCHIVE.len() as u64;
        for (path, bytes) in &self.files {
            sum += header(&mut headers, path, *bytes)?.len() as u64 + bytes + padding(*bytes).len() as u64;
        }
        Ok(sum)
    }

    /// The tar.
    pub(super) fn into_tar(self) -> Result<TreeTar, VerifyError> {
        // What has no place in an archive is found before the first byte is read.
        self.tar_bytes()?;
        Ok(TreeTar {
            folder: self.folder,
            files: self.files.into_iter(),
            headers: Headers::new(),
            open: None,
            ready: io::Cursor::new(Vec::new()),
            ended: false,
        })
    }
}

fn header(headers: &mut Headers, path: &str, bytes: u64) -> Result<Vec<u8>, VerifyError> {
    headers.file(path, bytes).map_err(|cause| VerifyError::archive(&shown(path), cause))
}

/// The tar of a tree, made while it is read.
pub(super) struct TreeTar {
    folder: PathBuf,
    files: std::vec::IntoIter<(String, u64)>,
    headers: Headers,
    /// The file whose body is being read, and what of it is still to come.
    open: Option<(io::Take<File>, u64)>,
    /// Header, padding or end marker.
    ready: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl TreeTar {
    /// Goes on to what comes behind a body or a header.
    fn next(&mut self) -> io::Result<()> {
        if let Some((body, bytes)) = self.open.take() {
            if body.limit() > 0 {
                // The file became shorter since it was found.
                return Err(VerifyError::CutOff(BUNDLE.to_owned()).inside());
            }
            self.ready = io::Cursor::new(padding(bytes).to_vec());
            return Ok(());
        }
        let Some((path, bytes)) = self.files.next() else {
            self.ready = io::Cursor::new(if self.ended { Vec::new() } else { END_OF_ARCHIVE.to_vec() });
            self.ended = true;
            return Ok(());
        };
        self.ready = io::Cursor::new(header(&mut self.headers, &path, bytes).map_err(VerifyError::inside)?);
        self.open = Some((File::open(self.folder.join(&path))?.take(bytes), bytes));
        Ok(())
    }
}

impl Read for TreeTar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let got = self.ready.read(buffer)?;
            if got > 0 {
                return Ok(got);
            }
            if let Some((body, _)) = &mut self.open {
                let got = body.read(buffer)?;
                if got > 0 {
                    return Ok(got);
                }
            }
            if self.ended {
                return Ok(0);
            }
            self.next()?;
        }
    }
}
