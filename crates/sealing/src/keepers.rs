//! The keepers of keys that a deployment can reach.

use std::sync::Arc;

#[cfg(feature = "awskms")]
use export_signing::awskms::KmsSettings;
#[cfg(feature = "vault")]
use export_signing::vault::VaultSettings;

use crate::age_file::AgeKey;
use crate::recipient::Recipient;
use crate::wrapping::{WrapError, Wrapping};

/// How KMS is reached; the key's name is set for each recipient.
#[cfg(feature = "awskms")]
pub type KmsAccess = KmsSettings;
/// How a Vault is reached; the key's name is set for each recipient.
#[cfg(feature = "vault")]
pub type VaultAccess = VaultSettings;

/// What a deployment can reach. Without any, there are age recipients only.
#[derive(Clone, Debug, Default)]
pub struct Keepers {
    /// AWS KMS.
    #[cfg(feature = "awskms")]
    pub kms: Option<KmsAccess>,
    /// A Vault.
    #[cfg(feature = "vault")]
    pub vault: Option<VaultAccess>,
}

impl Keepers {
    /// The key of a recipient, ready to wrap.
    ///
    /// # Errors
    /// When this deployment has no access to its keeper, or the settings for it cannot be used.
    pub async fn of(&self, recipient: &Recipient) -> Result<Arc<dyn Wrapping>, WrapError> {
        match recipient {
            Recipient::Age(key) => Ok(Arc::new(AgeKey::public(key.clone()))),
            Recipient::AwsKms(key) => self.kms(key).await,
            Recipient::Vault(name) => self.vault(name),
        }
    }

    #[cfg(feature = "awskms")]
    async fn kms(&self, key: &str) -> Result<Arc<dyn Wrapping>, WrapError> {
        let access = self.kms.as_ref().ok_or(WrapError::NotConfigured("AWS KMS", "kms = true"))?;
        let settings = KmsSettings { key: key.to_owned(), ..access.clone() };
        // The AWS SDK's futures are large.
        Ok(Arc::new(Box::pin(crate::kms::KmsKey::open(&settings)).await))
    }

    #[cfg(not(feature = "awskms"))]
    #[expect(clippy::unused_async, reason = "the driver is async where it is built in")]
    async fn kms(&self, _key: &str) -> Result<Arc<dyn Wrapping>, WrapError> {
        Err(WrapError::NotConfigured("AWS KMS", "kms = true"))
    }

    #[cfg(feature = "vault")]
    fn vault(&self, name: &str) -> Result<Arc<dyn Wrapping>, WrapError> {
        let access = self.vault.as_ref().ok_or(WrapError::NotConfigured("Vault", "vault_address"))?;
        let settings = VaultSettings { key: name.to_owned(), ..access.clone() };
        Ok(Arc::new(crate::vault::VaultKey::open(&settings)?))
    }

    #[cfg(not(feature = "vault"))]
    #[expect(clippy::unused_self, reason = "the driver looks into it where it is built in")]
    fn vault(&self, _name: &str) -> Result<Arc<dyn Wrapping>, WrapError> {
        Err(WrapError::NotConfigured("Vault", "vault_address"))
    }
}
