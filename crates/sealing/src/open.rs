//! Decrypts files.

use std::fmt;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use export_contract::encryption::{Encrypted, EncryptionMode, WrappedKey};

use crate::age_file::{self, Identities};
use crate::gcm;
use crate::secret::RunKey;

/// Most characters of a wrapped key that are decoded.
const MAX_WRAPPED: usize = 16 << 10;

/// Why a file, or the key for it, cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The bytes cannot be read.
    #[error("cannot read the encrypted bytes")]
    Read(#[source] io::Error),
    /// It is for others.
    #[error("it is encrypted to other recipients than the identities given")]
    NotForUs,
    /// It does not decrypt.
    #[error("it does not decrypt: its bytes are changed, or it is of another key, path or run")]
    Tampered,
    /// It ends before its end.
    #[error("it is cut off")]
    Cut,
    /// It is no encrypted file of the mode.
    #[error("it is no encrypted file: {0}")]
    NotSealed(&'static str),
}

/// Decrypts the files of one run.
pub struct Opener(Way);

enum Way {
    Age(Identities),
    Gcm { key: RunKey, run: String },
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

impl Opener {
    /// With age identities: those that the run's key was wrapped for in mode `aes-gcm`, those of the files themselves in mode `age`.
    ///
    /// # Errors
    /// When the run's key is for others, or does not unwrap.
    pub fn with_identities(encrypted: &Encrypted, run: &str, identities: &Identities) -> Result<Self, OpenError> {
        match encrypted.mode {
            EncryptionMode::Age => Ok(Self(Way::Age(identities.clone()))),
            EncryptionMode::AesGcm => {
                let ours = encrypted.recipients.iter().find(|wrapped| identities.has(&wrapped.recipient));
                let wrapped = wrapped_bytes(ours.ok_or(OpenError::NotForUs)?)?;
                Self::with_key(encrypted.mode, run, identities.unwrap(&wrapped)?)
            }
        }
    }

    /// With the run's key, which a keeper unwrapped.
    ///
    /// # Errors
    /// When it is no key of the mode.
    pub fn with_key(mode: EncryptionMode, run: &str, key: RunKey) -> Result<Self, OpenError> {
        match mode {
            EncryptionMode::Age => {
                let identity = std::str::from_utf8(key.expose()).ok().and_then(|text| Identities::parse(text).ok());
                identity.map(|identity| Self(Way::Age(identity))).ok_or(OpenError::Tampered)
            }
            EncryptionMode::AesGcm => Ok(Self(Way::Gcm { key, run: run.to_owned() })),
        }
    }

    /// Begins to decrypt the file whose path in `export.json` is `path`.
    ///
    /// # Errors
    /// When it does not begin as it should, or is for others.
    pub fn open<R: Read>(&self, path: &str, reader: R) -> Result<Opened<R>, OpenError> {
        Ok(Opened {
            plain: match &self.0 {
                Way::Age(identities) => Plain::Age(Box::new(age_file::open(identities, reader)?)),
                Way::Gcm { key, run } => Plain::Gcm(gcm::Reader::new(key, gcm::bound(run, path), reader)?),
            },
            failed: false,
        })
    }
}

/// The bytes of a wrapped key.
///
/// # Errors
/// When there are none, or they are not in base64.
pub(crate) fn wrapped_bytes(wrapped: &WrappedKey) -> Result<Vec<u8>, OpenError> {
    let text = wrapped.wrapped_key.as_deref().filter(|text| text.len() <= MAX_WRAPPED);
    text.and_then(|text| STANDARD.decode(text).ok()).ok_or(OpenError::NotSealed("its wrapped key cannot be read"))
}

/// The plain bytes of a file. Each chunk is given out after it was found to be unchanged; only the end of the reader means that the file
/// is whole. Faults are an [`OpenError`] inside [`io::Error`], and once there was one there is nothing more.
pub struct Opened<R> {
    plain: Plain<R>,
    failed: bool,
}

enum Plain<R> {
    Age(Box<age_file::Plain<R>>),
    Gcm(gcm::Reader<R>),
}

impl<R> fmt::Debug for Opened<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl<R: Read> Read for Opened<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other(OpenError::Tampered));
        }
        let read = match &mut self.plain {
            Plain::Age(reader) => reader.read(buffer).map_err(of_age),
            Plain::Gcm(reader) => reader.read_plain(buffer),
        };
        read.map_err(|fault| {
            self.failed = true;
            match fault {
                // Of the bytes below: whoever gave them knows what is inside.
                OpenError::Read(cause) => cause,
                fault => io::Error::other(fault),
            }
        })
    }
}

/// age tells its own faults by kind and those of the reader below as they came.
fn of_age(cause: io::Error) -> OpenError {
    match cause.kind() {
        io::ErrorKind::InvalidData => OpenError::Tampered,
        io::ErrorKind::UnexpectedEof => OpenError::Cut,
        _ => OpenError::Read(cause),
    }
}
