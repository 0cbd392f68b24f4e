//! A key in a file: cosign's encrypted private key.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use sigstore::crypto::SigningScheme;
use sigstore::crypto::signing_key::{SigStoreKeyPair, SigStoreSigner};
use sigstore::errors::SigstoreError;
use zeroize::Zeroizing;

use crate::keeping;
use crate::key::{KeyError, PublicKey};
use crate::signer::{SignError, Signer};

const SCHEME: SigningScheme = SigningScheme::ECDSA_P256_SHA256_ASN1;

/// The password of a key file. Printed nowhere, wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Takes the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a key file cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// A file cannot be read or written.
    #[error("cannot {act} `{}`", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The key cannot be made, or the file is not an encrypted cosign key of this password.
    #[error("`{}` is not an ECDSA P-256 cosign key of this password", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: SigstoreError,
    },
    /// The public half cannot be read.
    #[error("the public half of `{}` cannot be read", path.display())]
    Public {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: KeyError,
    },
}

/// Signs with a key that was read from a file at start.
pub struct FileSigner {
    signer: SigStoreSigner,
    public: PublicKey,
}

impl fmt::Debug for FileSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSigner").field("key_id", &self.public.key_id()).finish_non_exhaustive()
    }
}

impl FileSigner {
    /// Reads the encrypted key in `path`.
    ///
    /// # Errors
    /// See [`KeyFileError`].
    pub fn open(path: &Path, password: &Password) -> Result<Self, KeyFileError> {
        let text = fs::read(path).map_err(|cause| KeyFileError::File { act: "read", path: path.to_owned(), cause })?;
        let unusable = |cause| KeyFileError::Key { path: path.to_owned(), cause };
        let pair = SigStoreKeyPair::from_encrypted_pem(&text, &password.0).map_err(unusable)?;
        let pem = pair.public_key_to_pem().map_err(unusable)?;
        let public =
            PublicKey::from_pem(&pem).map_err(|cause| KeyFileError::Public { path: path.to_owned(), cause })?;
        Ok(Self { signer: pair.to_sigstore_signer(&SCHEME).map_err(unusable)?, public })
    }
}

#[async_trait]
impl Signer for FileSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.signer.sign(message).map_err(|cause| SignError::Refused(Box::new(cause)))?;
        self.public.verify(message, &signature).map_err(SignError::Invalid)?;
        Ok(signature)
    }
}

/// A trust root that trusts nobody: cosign before 3.0.4 demands one for bundles, also where a key says whom to trust.
const TRUSTED_ROOT: &str = "{\"mediaType\":\"application/vnd.dev.sigstore.trustedroot+json;version=0.1\"}\n";

/// Makes `<folder>/cosign.key` (for the owner's eyes), `cosign.pub` and `trusted_root.json` beside it. A key that is there stays:
/// it is never overwritten, and of two makers one wins.
///
/// # Errors
/// See [`KeyFileError`].
pub fn generate_key_pair(folder: &Path, password: &Password) -> Result<(), KeyFileError> {
    let key_path = folder.join("cosign.key");
    let public_path = folder.join("cosign.pub");
    keeping::make_folder(folder).map_err(failed("create", folder))?;
    if !key_path.exists() {
        let unusable = |cause| KeyFileError::Key { path: key_path.clone(), cause };
        let pair = SCHEME.create_signer().and_then(|signer| signer.to_sigstore_keypair()).map_err(unusable)?;
        let pem = pair.private_key_to_encrypted_pem(&password.0).map_err(unusable)?;
        // A key that signed something and is gone after a power cut would be a loss for good.
        keeping::write_once(&key_path, pem.as_bytes(), 0o600).map_err(failed("create", &key_path))?;
    }
    // The public half follows from the key that stands, whoever made it.
    let pem = FileSigner::open(&key_path, password)?.public.pem().to_owned();
    keep(&public_path, &pem)?;
    keep(&folder.join("trusted_root.json"), TRUSTED_ROOT)
}

/// Writes a public file, unless it says that already.
fn keep(path: &Path, text: &str) -> Result<(), KeyFileError> {
    if fs::read_to_string(path).ok().as_deref() == Some(text) {
        return Ok(());
    }
    keeping::replace(path, text.as_bytes(), 0o644).map_err(failed("replace", path))
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    move |cause| KeyFileError::File { act, path: path.to_owned(), cause }
}
