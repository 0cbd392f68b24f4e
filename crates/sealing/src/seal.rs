//! Encrypts files.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::EncryptError;
use age::stream::StreamWriter;

use crate::secret::RunKey;
use crate::{CHUNK, TAG, gcm};

/// Why a file was not encrypted.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No random numbers.
    #[error("the machine gives no random numbers")]
    Random,
    /// The run's key is not one of the mode.
    #[error("the run's key is not one of its mode")]
    Key,
    /// age refuses.
    #[error("age cannot encrypt to the recipients")]
    Age(#[source] Box<EncryptError>),
    /// The encrypted bytes cannot be taken.
    #[error("cannot write encrypted bytes")]
    Write(#[source] io::Error),
}

/// Encrypts the files of one run. Clones share the key.
#[derive(Clone)]
pub struct RunSealer(Arc<Way>);

enum Way {
    Age(Vec<age::x25519::Recipient>),
    Gcm { key: RunKey, run: String },
}

impl fmt::Debug for RunSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSealer").finish_non_exhaustive()
    }
}

impl RunSealer {
    /// Writes age files to these recipients.
    pub fn age(recipients: Vec<age::x25519::Recipient>) -> Self {
        Self(Arc::new(Way::Age(recipients)))
    }

    /// Writes files of mode `aes-gcm` under the key of run `run`.
    pub fn gcm(key: RunKey, run: &str) -> Self {
        Self(Arc::new(Way::Gcm { key, run: run.to_owned() }))
    }

    /// Begins the file whose path in `export.json` is `path`.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn file(&self, path: &str) -> Result<FileSealer, SealError> {
        let sealed = Sealed::default();
        let writer = match &*self.0 {
            Way::Age(recipients) => {
                let encryptor = crate::age_file::encryptor(recipients)?;
                Writer::Age(Box::new(encryptor.wrap_output(sealed.clone()).map_err(SealError::Write)?))
            }
            Way::Gcm { key, run } => Writer::Gcm(gcm::Writer::new(key, gcm::bound(run, path), sealed.clone())?),
        };
        Ok(FileSealer { head: sealed.len(), writer, sealed })
    }
}

/// One file on its way. Plain bytes go in, encrypted ones come out; it keeps a chunk and what was not taken yet.
pub struct FileSealer {
    head: u64,
    writer: Writer,
    sealed: Sealed,
}

enum Writer {
    Age(Box<StreamWriter<Sealed>>),
    Gcm(gcm::Writer<Sealed>),
}

impl fmt::Debug for FileSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSealer").finish_non_exhaustive()
    }
}

impl FileSealer {
    /// How long the file becomes when `plain` bytes go in: both modes have chunks of [`CHUNK`] with a tag each behind their head.
    pub fn sealed_bytes(&self, plain: u64) -> u64 {
        self.head + plain + plain.div_ceil(CHUNK as u64).max(1) * TAG as u64
    }

    /// Takes plain bytes.
    ///
    /// # Errors
    /// When a file grows beyond 2^32 chunks.
    pub fn push(&mut self, plain: &[u8]) -> Result<(), SealError> {
        let written = match &mut self.writer {
            Writer::Age(writer) => writer.write_all(plain),
            Writer::Gcm(writer) => writer.write_all(plain),
        };
        written.map_err(SealError::Write)
    }

    /// The encrypted bytes that came out since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        self.sealed.take()
    }

    /// Ends the file and gives its last bytes.
    ///
    /// # Errors
    /// When a file grows beyond 2^32 chunks.
    pub fn finish(self) -> Result<Vec<u8>, SealError> {
        match self.writer {
            Writer::Age(writer) => writer.finish().map(|_| ()),
            Writer::Gcm(writer) => writer.finish(),
        }
        .map_err(SealError::Write)?;
        Ok(self.sealed.take())
    }
}

/// Encrypted bytes that nobody took yet. age keeps its writer to itself, so that it is shared.
#[derive(Clone, Default)]
struct Sealed(Arc<Mutex<Vec<u8>>>);

impl Sealed {
    fn len(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
