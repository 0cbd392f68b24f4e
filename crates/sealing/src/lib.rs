//! Encryption of a bundle's files, in two modes, and of the run's key for those who may read it.
//!
//! [`RunSealer`] encrypts and [`Opener`] decrypts one file after the other, in bounded memory and without any async runtime: the offline
//! verifier uses them. In mode `age` each file is an age v1 file, in mode `aes-gcm` one of the form that
//! [`gcm`] and docs/encryption.md describe. [`Wrapping`] is the port behind which a recipient's key stands; drivers are age keys
//! ([`AgeKey`]), AWS KMS (feature `awskms`) and the transit engine of a Vault (feature `vault`). [`Sealing`] brings them together for a run.
//!
//! Keys are wiped from memory when they are dropped, and nothing prints one.

mod age_file;
#[cfg(feature = "testing")]
pub mod fuzzing;
pub mod gcm;
mod keepers;
#[cfg(feature = "awskms")]
mod kms;
mod open;
mod recipient;
mod seal;
mod sealing;
mod secret;
#[cfg(feature = "testing")]
pub mod suite;
#[cfg(feature = "vault")]
mod vault;
mod wrapping;

pub use age_file::{AgeKey, Identities, IdentityError, MAX_HEAD, MAX_IDENTITY_FILE};
pub use keepers::Keepers;
#[cfg(feature = "awskms")]
pub use keepers::KmsAccess;
#[cfg(feature = "vault")]
pub use keepers::VaultAccess;
pub use open::{OpenError, Opened, Opener};
pub use recipient::{Recipient, RecipientError};
pub use seal::{FileSealer, RunSealer, SealError};
pub use sealing::{OnLeftOut, Prepared, Sealing, SealingError};
pub use secret::RunKey;
pub use wrapping::{Context, WrapError, Wrapped, Wrapping};

/// Plain bytes of a chunk; age has the same.
pub const CHUNK: usize = 64 << 10;
/// Bytes that each chunk is longer when it is encrypted.
pub const TAG: usize = 16;
