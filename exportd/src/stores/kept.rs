//! What the authority keeps for the system, as those who use it ask for it.

use std::error::Error;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use export_authority::{Secret, SecretError, SystemSecrets};
use export_blobs::{AccessKey, AccessKeySource};
use export_targets::oci::{Login, LoginSource};

use super::bearer::tokens;
use super::opened;
use crate::config::{Config, SigningDriver, SigningKey};

/// One secret at the authority.
#[derive(Debug)]
pub(super) struct Kept {
    secrets: SystemSecrets,
    name: String,
}

/// The secret that a setting names, where it does. Nothing is asked for yet.
pub(super) fn kept(config: &Config, name: &str) -> anyhow::Result<Option<Arc<Kept>>> {
    if name.is_empty() {
        return Ok(None);
    }
    let secrets = SystemSecrets::new(&config.authority.secrets_url, Arc::new(tokens(config)?));
    let secrets = secrets.context("cannot use authority.secrets_url")?;
    Ok(Some(Arc::new(Kept { secrets, name: name.to_owned() })))
}

impl Kept {
    async fn secret(&self) -> Result<Secret, SecretError> {
        self.secrets.get(&self.name).await
    }
}

#[async_trait]
impl AccessKeySource for Kept {
    async fn access_key(&self) -> Result<AccessKey, Box<dyn Error + Send + Sync>> {
        let secret = self.secret().await?;
        Ok(AccessKey {
            id: secret.member("access_key_id")?.to_owned(),
            secret: secret.member("secret_access_key")?.to_owned(),
            session_token: secret.optional("session_token").map(str::to_owned),
            expires_at: Some(secret.expires_at()),
        })
    }
}

#[async_trait]
impl LoginSource for Kept {
    async fn login(&self) -> Result<Login, Box<dyn Error + Send + Sync>> {
        let secret = self.secret().await?;
        Ok(Login { user: secret.member("username")?.to_owned(), password: secret.member("password")?.to_owned() })
    }
}

/// The signing key that the authority names in the place of `key`'s own settings. It is asked for once, at start: a run is signed by
/// what the gateway shows, which is read at start too.
pub(super) async fn signing_key(config: &Config, key: &SigningKey) -> anyhow::Result<SigningKey> {
    let Some(kept) = kept(config, &key.secret)? else {
        return Ok(key.clone());
    };
    let told = || format!("signing.keys: `{}`", key.name);
    let secret = opened(async || kept.secret().await, is_transient).await.with_context(told)?;
    let mut named = key.clone();
    let id = secret.member("key").with_context(told)?.to_owned();
    match secret.member("driver").with_context(told)? {
        "awskms" => (named.driver, named.kms_key) = (SigningDriver::AwsKms, id),
        "vault" => {
            let address =
                "the authority names a key at a Vault: set signing.vault_address and signing.vault_token_file";
            anyhow::ensure!(!config.signing.vault_address.is_empty(), "{}: {address}", told());
            (named.driver, named.vault_key) = (SigningDriver::Vault, id);
            if let Some(mount) = secret.optional("mount") {
                mount.clone_into(&mut named.vault_mount);
            }
            if let Some(version) = secret.optional("version") {
                named.vault_key_version =
                    version.parse().with_context(|| format!("{}: `version` must be a number", told()))?;
            }
        }
        _ => anyhow::bail!("{}: the authority's `driver` must be `awskms` or `vault`", told()),
    }
    Ok(named)
}

/// Whether it may be there in a while.
fn is_transient(error: &SecretError) -> bool {
    match error {
        SecretError::Token { .. } | SecretError::Exchange { .. } | SecretError::Paused { .. } => true,
        SecretError::Refused { status, .. } => *status == 429 || *status >= 500,
        SecretError::Address(_) | SecretError::Name(_) | SecretError::Answer { .. } => false,
    }
}
