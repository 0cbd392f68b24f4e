//! A symmetric key at KMS that encrypts other keys: `Encrypt` and `Decrypt` (at most 4096 bytes), each under an encryption context.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use zeroize::Zeroizing;

use super::{KmsError, KmsSettings, client};

/// Encrypts and decrypts small secrets with a key of spec `SYMMETRIC_DEFAULT`, which never leaves KMS.
pub struct KmsEnvelope {
    client: Client,
    key: String,
}

impl fmt::Debug for KmsEnvelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsEnvelope").field("key", &self.key).finish_non_exhaustive()
    }
}

impl KmsEnvelope {
    /// Makes a client; asks KMS for nothing yet.
    pub async fn open(settings: &KmsSettings) -> Self {
        Self { client: client(settings).await, key: settings.key.clone() }
    }

    /// Encrypts; gives the ARN of the key that did, and the ciphertext.
    ///
    /// # Errors
    /// See [`KmsError`]; [`KmsError::is_transient`] tells which are worth another try.
    pub async fn encrypt(
        &self,
        plain: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<(String, Vec<u8>), KmsError> {
        let mut request = self.client.encrypt().key_id(&self.key).plaintext(Blob::new(plain));
        for (name, value) in context {
            request = request.encryption_context(name, value);
        }
        let answer = request.send().await.map_err(|cause| KmsError::of("encrypt", cause))?;
        let key = answer.key_id.unwrap_or_else(|| self.key.clone());
        let sealed = answer.ciphertext_blob.map(Blob::into_inner).ok_or(KmsError::NoText)?;
        Ok((key, sealed))
    }

    /// Decrypts what this key encrypted under the same context.
    ///
    /// # Errors
    /// See [`KmsError`]; [`KmsError::is_transient`] tells which are worth another try.
    pub async fn decrypt(
        &self,
        sealed: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let mut request = self.client.decrypt().key_id(&self.key).ciphertext_blob(Blob::new(sealed));
        for (name, value) in context {
            request = request.encryption_context(name, value);
        }
        let answer = request.send().await.map_err(|cause| KmsError::of("decrypt", cause))?;
        answer.plaintext.map(|plain| Zeroizing::new(plain.into_inner())).ok_or(KmsError::NoText)
    }
}
