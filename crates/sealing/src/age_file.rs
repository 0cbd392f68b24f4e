//! age keys and age files (<https://age-encryption.org/v1>).
//!
//! An age file does not say what it is called, so nothing in mode `age` binds a file to its path or run but the digests in the signed
//! provenance.

use std::fmt;
use std::io::{BufRead, BufReader, Chain, Cursor, Read, Write as _};

use age::secrecy::ExposeSecret as _;
use age::stream::StreamReader;
use age::{DecryptError, Decryptor, Encryptor};
use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::open::OpenError;
use crate::seal::SealError;
use crate::secret::RunKey;
use crate::wrapping::{Context, WrapError, Wrapped, Wrapping};

/// Most bytes of an age file's head that are read. 33 X25519 recipients and a stanza of noise have some 4 KiB.
pub const MAX_HEAD: usize = 32 << 10;
/// Most bytes of an identity file.
pub const MAX_IDENTITY_FILE: usize = 64 << 10;
/// Most identities that are tried.
const MAX_IDENTITIES: usize = 32;
/// How a line with a private key begins.
const IDENTITY: &str = "AGE-SECRET-KEY-1";

/// Private keys, which decrypt. Never printed.
#[derive(Clone)]
pub struct Identities(Vec<age::x25519::Identity>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public: Vec<String> = self.0.iter().map(|identity| identity.to_public().to_string()).collect();
        f.debug_tuple("Identities").field(&public).finish()
    }
}

/// Why an identity file cannot be used. Tells the line and never what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A line is neither a comment nor an identity.
    #[error(
        "line {0} is no age identity (AGE-SECRET-KEY-1…); only X25519 identities are read, as `age-keygen` makes them"
    )]
    Line(usize),
    /// There is no identity.
    #[error("it holds no age identity (AGE-SECRET-KEY-1…); make one with `age-keygen`")]
    Empty,
    /// More than are tried.
    #[error("it holds more than 32 identities")]
    TooMany,
}

impl Identities {
    /// The identities of a file as `age-keygen` writes it: one a line, comments with `#`.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let mut found = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let identity = Some(line).filter(|line| line.starts_with(IDENTITY)).and_then(|line| line.parse().ok());
            found.push(identity.ok_or(IdentityError::Line(at + 1))?);
            if found.len() > MAX_IDENTITIES {
                return Err(IdentityError::TooMany);
            }
        }
        if found.is_empty() { Err(IdentityError::Empty) } else { Ok(Self(found)) }
    }

    /// Whether one of them is the private half of this recipient.
    pub fn has(&self, recipient: &str) -> bool {
        self.0.iter().any(|identity| identity.to_public().to_string() == recipient)
    }

    /// Unwraps a run's key.
    ///
    /// # Errors
    /// When it is not for these identities, or not as it was.
    pub fn unwrap(&self, wrapped: &[u8]) -> Result<RunKey, OpenError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(256));
        let opened = open(self, wrapped)?;
        opened.take(256).read_to_end(&mut plain).map_err(|_| OpenError::Tampered)?;
        RunKey::from_bytes(plain).ok_or(OpenError::Tampered)
    }
}

/// An age key as a keeper of run keys.
#[derive(Clone, Debug)]
pub struct AgeKey {
    recipient: age::x25519::Recipient,
    identities: Option<Identities>,
}

impl AgeKey {
    /// A key whose private half is elsewhere.
    pub fn public(recipient: age::x25519::Recipient) -> Self {
        Self { recipient, identities: None }
    }

    /// The same with private halves.
    #[must_use]
    pub fn with(self, identities: Identities) -> Self {
        Self { identities: Some(identities), ..self }
    }
}

#[async_trait]
impl Wrapping for AgeKey {
    async fn wrap(&self, key: &RunKey, _context: &Context) -> Result<Wrapped, WrapError> {
        let wrapped = wrap(&self.recipient, key).map_err(|error| WrapError::Refused(Box::new(error)))?;
        Ok(Wrapped { bytes: wrapped, key_id: None })
    }

    async fn unwrap(&self, wrapped: &[u8], _context: &Context) -> Result<RunKey, WrapError> {
        let identities = self.identities.as_ref().ok_or(WrapError::NoPrivateHalf)?;
        identities.unwrap(wrapped).map_err(|error| WrapError::Refused(Box::new(error)))
    }

    fn binds_context(&self) -> bool {
        false
    }
}

fn wrap(recipient: &age::x25519::Recipient, key: &RunKey) -> Result<Vec<u8>, SealError> {
    let mut writer = encryptor(std::slice::from_ref(recipient))?.wrap_output(Vec::new()).map_err(SealError::Write)?;
    writer.write_all(key.expose()).and_then(|()| writer.finish()).map_err(SealError::Write)
}

/// A new identity for one run, whose text a keeper wraps, and its public half.
pub(crate) fn run_identity() -> Option<(RunKey, age::x25519::Recipient)> {
    let identity = age::x25519::Identity::generate();
    let text = Zeroizing::new(identity.to_string().expose_secret().as_bytes().to_vec());
    RunKey::from_bytes(text).map(|key| (key, identity.to_public()))
}

/// What encrypts one file.
pub(crate) fn encryptor(recipients: &[age::x25519::Recipient]) -> Result<Encryptor, SealError> {
    let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    Encryptor::with_recipients(recipients).map_err(|cause| SealError::Age(Box::new(cause)))
}

/// The plain bytes of an age file; they are only given out chunk by chunk, each after it was found to be unchanged.
pub(crate) type Plain<R> = StreamReader<Chain<Cursor<Vec<u8>>, BufReader<R>>>;

/// Opens an age file. Its head is read up to [`MAX_HEAD`] before anything is made of it.
pub(crate) fn open<R: Read>(identities: &Identities, reader: R) -> Result<Plain<R>, OpenError> {
    let mut reader = BufReader::with_capacity(crate::CHUNK, reader);
    let head = head(&mut reader)?;
    let decryptor = Decryptor::new_buffered(Cursor::new(head).chain(reader)).map_err(|error| fault(&error))?;
    if decryptor.is_scrypt() {
        return Err(OpenError::NotSealed("it is encrypted with a passphrase"));
    }
    let tried = identities.0.iter().map(|identity| identity as &dyn age::Identity);
    decryptor.decrypt(tried).map_err(|error| fault(&error))
}

/// The lines up to the one that begins with `---`.
fn head(reader: &mut impl BufRead) -> Result<Vec<u8>, OpenError> {
    let mut head = Vec::new();
    loop {
        let begins = head.len();
        let left = (MAX_HEAD - head.len()) as u64;
        reader.by_ref().take(left).read_until(b'\n', &mut head).map_err(OpenError::Read)?;
        let line = head.get(begins..).unwrap_or_default();
        if line.last() != Some(&b'\n') {
            let long = head.len() >= MAX_HEAD;
            return Err(if long { OpenError::NotSealed("its head is longer than 32 KiB") } else { OpenError::Cut });
        }
        if begins == 0 && line != b"age-encryption.org/v1\n" {
            return Err(OpenError::NotSealed("it is not an age v1 file"));
        }
        if line.starts_with(b"---") {
            return Ok(head);
        }
    }
}

fn fault(error: &DecryptError) -> OpenError {
    match error {
        DecryptError::NoMatchingKeys => OpenError::NotForUs,
        DecryptError::Io(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => OpenError::Cut,
        DecryptError::UnknownFormat => OpenError::NotSealed("it is not an age v1 file"),
        _ => OpenError::Tampered,
    }
}
