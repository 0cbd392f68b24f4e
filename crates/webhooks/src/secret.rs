//! Secrets of webhooks: made here, shown once, kept encrypted.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng as _;
use zeroize::{Zeroize as _, Zeroizing};

/// How a shown secret begins, so that people and scanners know it.
const PREFIX: &str = "whsec_";
/// How a kept one does; another form gets another.
const SEALED: &str = "v1:";
/// Bytes of a secret that is made here; the specification takes 24 to 64.
const BYTES: usize = 32;

/// What signs the messages of one webhook. Printed nowhere, wiped when it is dropped.
#[expect(missing_debug_implementations, reason = "it must not be printed")]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// A new random secret.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new(vec![0; BYTES]);
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The secret as receivers take it: `whsec_` and base64. For the one answer that shows it.
    pub fn shown(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.0.as_slice()))
    }

    /// A secret from what was shown; `None` where it is none.
    pub fn from_shown(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then(|| Self(Zeroizing::new(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Why a kept secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealedSecretError {
    /// The key is not 32 bytes in hex.
    #[error("the key for secrets of webhooks is not 64 hex digits")]
    Key,
    /// The cipher refused to work.
    #[error("the secret of the webhook cannot be encrypted")]
    Seal,
    /// It was encrypted with another key, is another webhook's, or was changed.
    #[error("the secret of the webhook cannot be decrypted: was `webhooks.key_file` replaced?")]
    Open,
}

/// Encrypts secrets for the store: AES-256-GCM under the deployment's key, bound to tenant and webhook.
pub struct SecretKeeper {
    key: RandomizedNonceKey,
}

impl std::fmt::Debug for SecretKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKeeper").finish_non_exhaustive()
    }
}

impl SecretKeeper {
    /// A keeper with the key of a key file: 64 hex digits.
    ///
    /// # Errors
    /// When it is something else.
    pub fn new(hex_key: &str) -> Result<Self, SealedSecretError> {
        let mut key = hex::decode(hex_key.trim()).map_err(|_| SealedSecretError::Key)?;
        let made = RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_| SealedSecretError::Key);
        key.zeroize();
        Ok(Self { key: made? })
    }

    /// The secret as it is kept.
    ///
    /// # Errors
    /// When the cipher does not work.
    pub fn seal(&self, secret: &WebhookSecret, tenant: &str, webhook: &str) -> Result<String, SealedSecretError> {
        let mut bytes = secret.bytes().to_vec();
        let bound = bound(tenant, webhook);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(bound.as_bytes()), &mut bytes)
            .map_err(|_| SealedSecretError::Seal)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        Ok(format!("{SEALED}{}", STANDARD.encode(sealed)))
    }

    /// The secret of what is kept.
    ///
    /// # Errors
    /// When it was not sealed with this key for this webhook.
    pub fn open(&self, sealed: &str, tenant: &str, webhook: &str) -> Result<WebhookSecret, SealedSecretError> {
        let refuse = SealedSecretError::Open;
        let text = sealed.strip_prefix(SEALED).ok_or(refuse)?;
        let whole = STANDARD.decode(text).map_err(|_| refuse)?;
        let (nonce, rest) = whole.split_at_checked(NONCE_LEN).ok_or(refuse)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refuse)?;
        let mut bytes = Zeroizing::new(rest.to_vec());
        let bound = bound(tenant, webhook);
        let plain = self.key.open_in_place(nonce, Aad::from(bound.as_bytes()), &mut bytes).map_err(|_| refuse)?;
        Ok(WebhookSecret(Zeroizing::new(plain.to_vec())))
    }
}

/// What a sealed secret is bound to; ids hold no `/`.
fn bound(tenant: &str, webhook: &str) -> String {
    format!("export-center/webhook/{tenant}/{webhook}")
}
