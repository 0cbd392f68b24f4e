//! Keys of a Vault's transit engine.
//!
//! `encrypt` and `decrypt` with `associated_data` (Vault 1.13 and later, OpenBao), the JSON text `{"runId":…,"tenant":…}`: for
//! another tenant or run the server decrypts nothing. The key must be of an AEAD type, such as `aes256-gcm96`.

use async_trait::async_trait;
use export_signing::vault::{VaultEnvelope, VaultError, VaultSettings};

use crate::secret::RunKey;
use crate::wrapping::{Context, WrapError, Wrapped, Wrapping};

/// A key of a transit engine.
#[derive(Debug)]
pub(crate) struct VaultKey {
    envelope: VaultEnvelope,
    name: String,
}

impl VaultKey {
    pub(crate) fn open(settings: &VaultSettings) -> Result<Self, WrapError> {
        let envelope = VaultEnvelope::open(settings).map_err(judged)?;
        Ok(Self { envelope, name: settings.key.clone() })
    }
}

#[async_trait]
impl Wrapping for VaultKey {
    async fn wrap(&self, key: &RunKey, context: &Context) -> Result<Wrapped, WrapError> {
        let text = self.envelope.encrypt(key.expose(), &bound(context)).await.map_err(judged)?;
        // `vault:v3:…`: the version tells an operator when a rotated key may lose its old versions.
        let version = text.split(':').nth(1).unwrap_or_default().to_owned();
        Ok(Wrapped { bytes: text.into_bytes(), key_id: Some(format!("{}:{version}", self.name)) })
    }

    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<RunKey, WrapError> {
        let text = std::str::from_utf8(wrapped).map_err(|_| WrapError::NotAKey)?;
        let plain = self.envelope.decrypt(text, &bound(context)).await.map_err(judged)?;
        RunKey::from_bytes(plain).ok_or(WrapError::NotAKey)
    }

    fn binds_context(&self) -> bool {
        true
    }
}

/// Tenants and run ids are slugs and ULIDs, so that nothing in them has to be escaped.
fn bound(context: &Context) -> Vec<u8> {
    format!(r#"{{"runId":"{}","tenant":"{}"}}"#, context.run, context.tenant).into_bytes()
}

fn judged(error: VaultError) -> WrapError {
    if error.is_transient() { WrapError::Unavailable(Box::new(error)) } else { WrapError::Refused(Box::new(error)) }
}
