//! Taking a bundle's files while they are verified.

use std::io::{self, Read, Write};

use crate::error::VerifyError;

/// Where the files of a bundle go while they are read. Nothing of it is proven before [`verify_into`](crate::verify_into) has ended without
/// a fault; until then it must be kept where nobody takes it for good.
pub trait Unpack {
    /// Opens a file of the tar for writing; it is flushed when it is whole. Paths are safe, relative, and come once each, in the order of
    /// their names in the tar. Encrypted files are given plain, under the paths of `export.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    fn file(&mut self, path: &str) -> io::Result<Box<dyn Write>>;

    /// Keeps a file that travels with the tar.
    ///
    /// # Errors
    /// When it cannot be written.
    fn beside(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
}

/// A file that is copied: its path, and where it goes.
pub(crate) type Copy<'a> = (String, Box<dyn Write + 'a>);

/// Gives what it reads to somebody else as well. After a failure to write it reads nothing more: a copy must not miss anything.
pub(crate) struct Tee<'a, R> {
    inner: R,
    copy: Option<Copy<'a>>,
    failed: bool,
}

impl<'a, R: Read> Tee<'a, R> {
    pub(crate) fn new(inner: R, copy: Option<Copy<'a>>) -> Self {
        Self { inner, copy, failed: false }
    }

    /// Flushes the copy.
    pub(crate) fn finish(self) -> Result<(), VerifyError> {
        match self.copy {
            Some((path, mut copy)) => copy.flush().map_err(|cause| VerifyError::Write { path, cause }),
            None => Ok(()),
        }
    }
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("the copy is not whole"));
        }
        let got = self.inner.read(buffer)?;
        if let Some((path, copy)) = &mut self.copy
            && let Err(cause) = copy.write_all(buffer.get(..got).unwrap_or_default())
        {
            self.failed = true;
            return Err(VerifyError::Write { path: path.clone(), cause }.inside());
        }
        Ok(got)
    }
}
