//! Entries into the bolt file.
//!
//! Bolt takes buckets in order, and the merged row alternates between those of one ecosystem: entries wait in one file for each root
//! bucket, of which there are as many as ecosystems and releases of distributions.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use export_bolt::BoltWriter;
use export_pipeline::StageContext;
use export_trivy::{Entry, VULNERABILITY};

use super::error::TrivyError;
use super::pulse::Pulse;

/// Longest text of a waiting entry.
const MAX_TEXT: u32 = 1 << 30;

/// Entries that wait for their bucket's turn.
#[derive(Debug)]
pub(crate) struct Buckets {
    folder: PathBuf,
    files: BTreeMap<String, (PathBuf, BufWriter<File>)>,
}

impl Buckets {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, entry: &Entry) -> Result<(), TrivyError> {
        if !self.files.contains_key(&entry.bucket) {
            let path = self.folder.join(format!("bucket-{}", self.files.len()));
            let file = File::create_new(&path).map_err(|cause| TrivyError::Scratch {
                act: "create",
                path: path.clone(),
                cause,
            })?;
            self.files.insert(entry.bucket.clone(), (path, BufWriter::new(file)));
        }
        let Some((path, file)) = self.files.get_mut(&entry.bucket) else { return Err(TrivyError::Cut) };
        for text in [entry.package.as_bytes(), entry.id.as_bytes(), &entry.value] {
            let length = u32::try_from(text.len()).map_err(|_| TrivyError::Cut)?;
            let written = file.write_all(&length.to_le_bytes()).and_then(|()| file.write_all(text));
            written.map_err(|cause| TrivyError::Scratch { act: "write", path: path.clone(), cause })?;
        }
        Ok(())
    }

    /// Writes the database.
    pub(crate) fn write(self, path: &Path, cx: &StageContext) -> Result<(), TrivyError> {
        let mut writer = BoltWriter::create(path)?;
        let mut files = self.files;
        // Trivy crashes at its first finding where this bucket is missing.
        let mut names: Vec<String> = files.keys().cloned().collect();
        if !files.contains_key(VULNERABILITY) {
            names.push(VULNERABILITY.to_owned());
            names.sort();
        }
        let mut pulse = Pulse::new(cx);
        for name in names {
            writer.enter(name.as_bytes())?;
            if let Some((path, file)) = files.remove(&name) {
                let failed = |cause| TrivyError::Scratch { act: "read", path: path.clone(), cause };
                file.into_inner().map_err(|error| failed(error.into_error()))?;
                let mut file = BufReader::new(File::open(&path).map_err(failed)?);
                bucket(&mut writer, &mut file, &mut pulse).map_err(|error| match error {
                    Fault::Read(cause) => failed(cause),
                    Fault::Other(error) => error,
                })?;
            }
            writer.leave()?;
        }
        writer.finish()?;
        Ok(())
    }
}

enum Fault {
    Read(io::Error),
    Other(TrivyError),
}

impl<E: Into<TrivyError>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn bucket(writer: &mut BoltWriter, file: &mut impl Read, pulse: &mut Pulse<'_>) -> Result<(), Fault> {
    let mut open: Option<Vec<u8>> = None;
    while let Some(package) = text(file).map_err(Fault::Read)? {
        pulse.row()?;
        let id = text(file).map_err(Fault::Read)?.ok_or(TrivyError::Cut)?;
        let value = text(file).map_err(Fault::Read)?.ok_or(TrivyError::Cut)?;
        let package = Some(package).filter(|package| !package.is_empty());
        if open != package {
            if open.is_some() {
                writer.leave()?;
            }
            if let Some(package) = &package {
                writer.enter(package)?;
            }
            open = package;
        }
        writer.put(&id, &value)?;
    }
    if open.is_some() {
        writer.leave()?;
    }
    Ok(())
}

/// The next text; `None` at the end of the file.
fn text(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_TEXT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text)?;
    Ok(Some(text))
}
