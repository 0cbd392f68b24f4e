//! A key of the transit engine that encrypts other keys ("Encrypt data", "Decrypt data"), each bound to associated data.

use std::fmt;

use reqwest::{Method, Url};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Server, VaultError, VaultSettings, answer, url};
use crate::bundle::to_base64;

/// Encrypts and decrypts small secrets with a key of an AEAD type, such as `aes256-gcm96`, which never leaves the server.
pub struct VaultEnvelope {
    server: Server,
    encrypt_url: Url,
    decrypt_url: Url,
}

impl fmt::Debug for VaultEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultEnvelope").field("url", &self.encrypt_url.as_str()).finish_non_exhaustive()
    }
}

impl VaultEnvelope {
    /// Makes a client; asks the server for nothing yet. The setting `version` is not looked at: the latest version encrypts, and the
    /// ciphertext says which one that was.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn open(settings: &VaultSettings) -> Result<Self, VaultError> {
        let encrypt_url = url(settings, &["encrypt", &settings.key])?;
        let decrypt_url = url(settings, &["decrypt", &settings.key])?;
        Ok(Self { server: Server::new(settings)?, encrypt_url, decrypt_url })
    }

    /// Encrypts; gives `vault:v<version>:<base64>`.
    ///
    /// # Errors
    /// See [`VaultError`]; [`VaultError::is_transient`] tells which are worth another try.
    pub async fn encrypt(&self, plain: &[u8], bound: &[u8]) -> Result<String, VaultError> {
        let body = json!({ "plaintext": to_base64(plain), "associated_data": to_base64(bound) });
        let text = self.server.ask(Method::POST, &self.encrypt_url, Some(&body)).await?;
        answer::ciphertext(&text)
    }

    /// Decrypts what this key encrypted with the same associated data.
    ///
    /// # Errors
    /// See [`VaultError`]; [`VaultError::is_transient`] tells which are worth another try.
    pub async fn decrypt(&self, sealed: &str, bound: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let body = json!({ "ciphertext": sealed, "associated_data": to_base64(bound) });
        let text = Zeroizing::new(self.server.ask(Method::POST, &self.decrypt_url, Some(&body)).await?);
        answer::plaintext(&text)
    }
}
