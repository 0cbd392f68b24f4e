//! Signatures that cosign reads: keys, detached signatures, DSSE envelopes and Sigstore bundles.
//!
//! [`Signer`] is the port; drivers hold keys in a file (feature `file`) at a Vault (feature `vault`) or at AWS KMS (feature `awskms`); the offline verifier
//! takes neither, and with them neither HTTP nor an async runtime. [`Signers`] says which key is for which run. Signatures are ECDSA P-256 over SHA-256, in
//! ASN.1 DER, and differ each time, so they never stand inside bytes that are compared (design D8).

#[cfg(feature = "awskms")]
pub mod awskms;
pub mod bundle;
pub mod dsse;
#[cfg(feature = "file")]
mod file;
pub mod keeping;
mod key;
mod signer;
mod signers;
pub mod statement;
#[cfg(feature = "testing")]
pub mod suite;
#[cfg(feature = "vault")]
pub mod vault;

#[cfg(feature = "file")]
pub use file::{FileSigner, KeyFileError, Password, generate_key_pair};
pub use key::{KeyError, PublicKey, SignatureInvalid};
pub use signer::{SignError, Signer};
pub use signers::{Rule, Signers};
