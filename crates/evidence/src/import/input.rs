//! Reads files, archives and lines into documents, with bounded memory and without trust.
//!
//! Nothing is ever written to disk, so a name inside an archive can do no harm: it is only ever part of an id.

mod archive;
mod batch;
mod lines;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use export_canon::zst::{BoundedDecoder, ZstError};

use super::refusal::{Position, Refusal, RefusalCode};
use super::walk::{Found, InputFile, Shape};
use super::{ImportLimits, ImportProgress};

pub(crate) use self::batch::{Batch, Batcher, Item};

/// A document as it was found, not yet parsed.
#[derive(Debug)]
pub(crate) struct RawDocument {
    pub(crate) file: Arc<InputFile>,
    pub(crate) position: Position,
    /// Path that is part of its id: upstream's, the archive's or the file's.
    pub(crate) path: String,
    /// Where it stands beside others, for policy findings and their snapshot.
    pub(crate) folder: String,
    pub(crate) bytes: Bytes,
}

/// The import was given up while this was reading.
#[derive(Debug)]
pub(crate) struct GivenUp;

/// Reads everything that was found, in order, into `out`.
pub(crate) fn read_all(
    found: Found,
    limits: &ImportLimits,
    progress: &dyn ImportProgress,
    out: &mut Batcher,
) -> Result<(), GivenUp> {
    for source in found.skipped {
        out.push(Item::Skipped(source))?;
    }
    for (path, cause) in found.unreadable {
        let position = Position { path: path.clone(), entry: None, line: None, upstream_path: None };
        let reason = format!("cannot read: {cause}");
        out.push(Item::Refused(Refusal { position, code: RefusalCode::Unreadable, reason, source: path }))?;
    }
    for file in found.files {
        FileReader { file: Arc::new(file), limits, progress, out: &mut *out }.read()?;
        progress.file_read();
    }
    out.flush()
}

/// Passes on documents that were made here, each with the name of its source.
pub(crate) fn read_made(
    documents: impl Iterator<Item = (&'static str, Vec<u8>)>,
    out: &mut Batcher,
) -> Result<(), GivenUp> {
    let mut files: BTreeMap<&str, Arc<InputFile>> = BTreeMap::new();
    for (source, bytes) in documents {
        let file = Arc::clone(files.entry(source).or_insert_with(|| Arc::new(InputFile::made(source))));
        let position = Position { path: source.to_owned(), entry: None, line: None, upstream_path: None };
        let (path, folder) = (String::new(), String::new());
        out.push(Item::Document(RawDocument { file, position, path, folder, bytes: Bytes::from(bytes) }))?;
    }
    out.flush()
}

/// Reads one file.
struct FileReader<'a> {
    file: Arc<InputFile>,
    limits: &'a ImportLimits,
    progress: &'a dyn ImportProgress,
    out: &'a mut Batcher,
}

impl FileReader<'_> {
    fn read(&mut self) -> Result<(), GivenUp> {
        if let Shape::Foreign(advice) = self.file.shape {
            return self.refuse(self.position(), RefusalCode::UnsupportedFormat, advice.to_owned());
        }
        let file = match File::open(&self.file.path) {
            Ok(file) => file,
            Err(cause) => return self.refuse_unreadable(self.position(), &cause),
        };
        let counted = Counted { inner: file, progress: self.progress };
        if self.file.shape == Shape::Zip {
            return self.read_zip(counted);
        }
        if !self.file.is_zstd {
            return self.read_plain(BufReader::new(counted));
        }
        match BoundedDecoder::new(counted, self.limits.plain_bytes_of(self.file.bytes)) {
            Ok(decoder) => self.read_plain(BufReader::with_capacity(1 << 17, decoder)),
            Err(cause) => self.refuse_unreadable(self.position(), &io::Error::other(cause)),
        }
    }

    fn read_plain(&mut self, mut reader: impl BufRead) -> Result<(), GivenUp> {
        match self.file.shape {
            Shape::Lines => self.read_lines(reader, None),
            Shape::Tar => self.read_tar(reader),
            Shape::Document | Shape::Zip | Shape::Foreign(_) => {
                let path = self.file.document_path.clone();
                self.read_document(&mut reader, self.position(), path)
            }
        }
    }

    /// Reads one document to its end.
    fn read_document(&mut self, reader: &mut dyn Read, position: Position, path: String) -> Result<(), GivenUp> {
        let limit = self.limits.document_bytes;
        let mut bytes = Vec::new();
        match reader.take(limit + 1).read_to_end(&mut bytes) {
            Err(cause) => self.refuse_unreadable(position, &cause),
            Ok(_) if bytes.len() as u64 > limit => self.refuse_too_large(position),
            Ok(_) => self.found(position, path, bytes),
        }
    }

    fn found(&mut self, position: Position, path: String, bytes: Vec<u8>) -> Result<(), GivenUp> {
        let folder = match &position.entry {
            Some(entry) => format!("{}/{}", position.path, folder_of(entry)),
            None => folder_of(&position.path).to_owned(),
        };
        let file = Arc::clone(&self.file);
        self.out.push(Item::Document(RawDocument { file, position, path, folder, bytes: Bytes::from(bytes) }))
    }

    fn position(&self) -> Position {
        Position { path: self.file.shown.clone(), entry: None, line: None, upstream_path: None }
    }

    fn refuse(&mut self, position: Position, code: RefusalCode, reason: String) -> Result<(), GivenUp> {
        let source = self.file.source.clone();
        self.out.push(Item::Refused(Refusal { position, code, reason, source }))
    }

    fn refuse_too_large(&mut self, position: Position) -> Result<(), GivenUp> {
        let reason = format!("larger than the limit of {} bytes", self.limits.document_bytes);
        self.refuse(position, RefusalCode::TooLarge, reason)
    }

    /// Names what could not be read. Where it was the cap on decompression, the rest of the file is left unread.
    fn refuse_unreadable(&mut self, position: Position, cause: &io::Error) -> Result<(), GivenUp> {
        let inner = cause.get_ref().and_then(|inner| inner.downcast_ref::<ZstError>());
        let code = match inner {
            Some(ZstError::OutputTooLarge { .. }) => RefusalCode::LimitReached,
            _ => RefusalCode::Unreadable,
        };
        self.refuse(position, code, format!("cannot read this and what follows: {cause}"))
    }

    fn refuse_limit(&mut self, what: &str) -> Result<(), GivenUp> {
        self.refuse(self.position(), RefusalCode::LimitReached, format!("{what}; the rest of the file was not read"))
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once(['/', '\\']).map_or("", |(folder, _)| folder)
}

/// Tells the progress how much of a file was read.
struct Counted<'a> {
    inner: File,
    progress: &'a dyn ImportProgress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        self.progress.bytes_read(got as u64);
        Ok(got)
    }
}

impl io::Seek for Counted<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
