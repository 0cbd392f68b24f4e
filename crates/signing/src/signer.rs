//! The port.

use std::fmt;

use async_trait::async_trait;

use crate::key::{PublicKey, SignatureInvalid};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key's keeper does not answer; worth another try.
    #[error("the signer is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The key's keeper refuses for good: wrong key, no permission, wrong password.
    #[error("the signer refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The signature that came back does not verify.
    #[error("the signer gave a signature that does not verify")]
    Invalid(#[source] SignatureInvalid),
}

impl SignError {
    /// What [`Self::kind`] may give.
    pub const KINDS: [&'static str; 3] = ["unavailable", "refused", "invalid"];

    /// `unavailable`, `refused` or `invalid`; for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
            Self::Invalid(_) => "invalid",
        }
    }
}

/// Holds a private key and signs with it. Every promise here is kept by the conformance suite, which each driver runs.
#[async_trait]
pub trait Signer: Send + Sync + fmt::Debug {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs SHA-256 of `message`; the signature is ASN.1 DER and verifies under [`Self::public_key`].
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// Signs and verifies a nonce; for readiness.
    async fn check(&self) -> Result<(), SignError> {
        let nonce: [u8; 32] = rand::random();
        let signature = self.sign(&nonce).await?;
        self.public_key().verify(&nonce, &signature).map_err(SignError::Invalid)
    }
}
