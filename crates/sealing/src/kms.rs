//! Keys at AWS KMS.
//!
//! `Encrypt` and `Decrypt` of a symmetric key with the encryption context `{tenant, runId}`, which KMS keeps with the ciphertext: without
//! the very same one it decrypts nothing, and key policies can ask for it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use export_signing::awskms::{KmsEnvelope, KmsError, KmsSettings};

use crate::secret::RunKey;
use crate::wrapping::{Context, WrapError, Wrapped, Wrapping};

/// A symmetric key at KMS.
#[derive(Debug)]
pub(crate) struct KmsKey(KmsEnvelope);

impl KmsKey {
    pub(crate) async fn open(settings: &KmsSettings) -> Self {
        Self(KmsEnvelope::open(settings).await)
    }
}

#[async_trait]
impl Wrapping for KmsKey {
    async fn wrap(&self, key: &RunKey, context: &Context) -> Result<Wrapped, WrapError> {
        let (key_id, bytes) = self.0.encrypt(key.expose(), &members(context)).await.map_err(judged)?;
        Ok(Wrapped { bytes, key_id: Some(key_id) })
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<RunKey, WrapError> {
        let plain = self.0.decrypt(wrapped, &members(context)).await.map_err(judged)?;
        RunKey::from_bytes(plain).ok_or(WrapError::NotAKey)
    }

    fn binds_context(&self) -> bool {
        true
    }
}

fn members(context: &Context) -> BTreeMap<String, String> {
    BTreeMap::from([("runId".to_owned(), context.run.clone()), ("tenant".to_owned(), context.tenant.clone())])
}

fn judged(error: KmsError) -> WrapError {
    if error.is_transient() { WrapError::Unavailable(Box::new(error)) } else { WrapError::Refused(Box::new(error)) }
}
