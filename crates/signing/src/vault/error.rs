//! How a Vault fails, and which failures pass by themselves.

use std::io;
use std::path::PathBuf;

use crate::key::KeyError;
use crate::signer::SignError;

/// Why a Vault gave no key or no signature.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file that a setting names cannot be read: the token or the certificates.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The certificates cannot be used.
    #[error("`{}` holds no certificates in PEM", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// A setting cannot be what it should be. Its text is not shown: it may be a secret.
    #[error("the vault's {what} is not usable")]
    Setting {
        /// Which one.
        what: &'static str,
    },
    /// No HTTP client can be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// No answer, not all of it, or not in time.
    #[error("the vault does not answer")]
    Exchange(#[source] reqwest::Error),
    /// The answer is another status than 2xx.
    #[error("the vault answered with status {status}{said}")]
    Status {
        /// Status.
        status: u16,
        /// What the server gave as reason, after a colon; empty when it gave none.
        said: String,
    },
    /// The answer goes on and on.
    #[error("the vault's answer is longer than the {0} bytes that are read")]
    TooLong(usize),
    /// The answer is no JSON of the form that the API documents.
    #[error("the vault's answer is not understood")]
    Parse(#[source] serde_json::Error),
    /// The key is of another type.
    #[error("the vault's key is of type `{0}`, use `ecdsa-p256`")]
    KeyType(String),
    /// The key has no such version.
    #[error("the vault's key has no version {0}")]
    NoVersion(u32),
    /// The public half cannot be read.
    #[error("the vault's public key cannot be read")]
    Key(#[source] KeyError),
    /// The ciphertext has another form than `vault:v<version>:<base64>`.
    #[error("the vault's ciphertext is not of the form `vault:v…:…`")]
    Ciphertext,
    /// What was decrypted is not base64.
    #[error("the vault's plaintext is not base64")]
    Plaintext,
    /// The signature has another form than `vault:v<version>:<base64>`, or another version.
    #[error("the vault's signature is not of the form `vault:v{0}:…`")]
    Form(u32),
}

impl VaultError {
    /// Whether another try may help: the server is away, sealed, overloaded or behind (status 408, 412, 425, 429 and 5xx), or an
    /// agent is about to write the token file. All else waits for an operator.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Exchange(_) | Self::File { .. } => true,
            // 412: a replica that has not caught up asks for another try (Vault's HTTP API, "Status codes").
            Self::Status { status, .. } => matches!(status, 408 | 412 | 425 | 429 | 500..),
            _ => false,
        }
    }

    pub(super) fn judged(self) -> SignError {
        if self.is_transient() { SignError::Unavailable(Box::new(self)) } else { SignError::Refused(Box::new(self)) }
    }
}
