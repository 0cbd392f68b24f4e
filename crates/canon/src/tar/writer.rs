//! Writing an archive.

use std::fmt;
use std::io::{self, Read, Write};

use super::header::{END_OF_ARCHIVE, folder_bytes, header_bytes, padding};
use super::{TarError, path};

/// Gives the headers of one archive and holds its entries to ascending order; for callers that write the bodies themselves.
///
/// After each header come the body, exactly as long as announced, and its [`padding`](super::padding); after the last one
/// [`END_OF_ARCHIVE`].
#[derive(Debug, Default)]
pub struct Headers {
    last: Option<String>,
}

impl Headers {
    /// Starts an archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// The header of the next file.
    ///
    /// # Errors
    /// [`TarError::Path`] and [`TarError::Order`].
    pub fn file(&mut self, path: &str, size: u64) -> Result<Vec<u8>, TarError> {
        let header = header_bytes(path, size)?;
        self.advance(path.to_owned())?;
        Ok(header)
    }

    /// The header of a folder. Its path sorts with the slash that ends it.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub fn folder(&mut self, path: &str) -> Result<Vec<u8>, TarError> {
        let header = folder_bytes(path)?;
        self.advance(format!("{path}/"))?;
        Ok(header)
    }

    fn advance(&mut self, path: String) -> Result<(), TarError> {
        if let Some(last) = &self.last
            && *last >= path
        {
            return Err(TarError::Order { path: path::shown(path.as_bytes()), before: path::shown(last.as_bytes()) });
        }
        self.last = Some(path);
        Ok(())
    }
}

/// Writes an archive whose bytes depend on paths and bodies alone.
///
/// After an error while an entry was written the archive is broken, and every later call says so.
pub struct TarWriter<W> {
    inner: W,
    headers: Headers,
    broken: bool,
}

impl<W: Write> TarWriter<W> {
    /// Starts an archive.
    pub fn new(inner: W) -> Self {
        Self { inner, headers: Headers::new(), broken: false }
    }

    /// Appends a regular file of exactly `size` bytes.
    ///
    /// # Errors
    /// [`TarError::Path`] and [`TarError::Order`], which leave the archive as it was; [`TarError::ShortBody`],
    /// [`TarError::LongBody`], [`TarError::ReadBody`] and [`TarError::Write`], which break it.
    pub fn append(&mut self, path: &str, size: u64, body: impl Read) -> Result<(), TarError> {
        self.check_whole()?;
        let header = self.headers.file(path, size)?;
        self.broken = true;
        self.inner.write_all(&header).map_err(TarError::Write)?;
        self.write_body(path, size, body)?;
        self.inner.write_all(padding(size)).map_err(TarError::Write)?;
        self.broken = false;
        Ok(())
    }

    /// Appends a folder. Readers make the folders that files need, so this is for empty ones.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_folder(&mut self, path: &str) -> Result<(), TarError> {
        self.check_whole()?;
        let header = self.headers.folder(path)?;
        self.broken = true;
        self.inner.write_all(&header).map_err(TarError::Write)?;
        self.broken = false;
        Ok(())
    }

    /// Writes the end marker, flushes and gives the writer back.
    ///
    /// # Errors
    /// [`TarError::Write`] and [`TarError::Broken`].
    pub fn finish(mut self) -> Result<W, TarError> {
        self.check_whole()?;
        self.inner.write_all(&END_OF_ARCHIVE).map_err(TarError::Write)?;
        self.inner.flush().map_err(TarError::Write)?;
        Ok(self.inner)
    }

    fn check_whole(&self) -> Result<(), TarError> {
        if self.broken { Err(TarError::Broken) } else { Ok(()) }
    }

    /// Copies by hand, so that errors of the source and of the archive are told apart.
    fn write_body(&mut self, path: &str, size: u64, mut body: impl Read) -> Result<(), TarError> {
        let mut buffer = vec![0; 64 << 10];
        let mut got = 0;
        loop {
            let length = match body.read(&mut buffer) {
                Ok(length) => length,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                Err(cause) => {
                    return Err(TarError::ReadBody { path: path.to_owned(), cause });
                }
            };
            if length == 0 {
                break;
            }
            got += length as u64;
            if got > size {
                return Err(TarError::LongBody { path: path.to_owned(), size });
            }
            self.inner.write_all(&buffer[..length]).map_err(TarError::Write)?;
        }
        if got < size { Err(TarError::ShortBody { path: path.to_owned(), size, got }) } else { Ok(()) }
    }
}

impl<W> fmt::Debug for TarWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TarWriter")
            .field("headers", &self.headers)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
