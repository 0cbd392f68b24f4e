//! How this deployment encrypts.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use export_sealing::{Keepers, KmsAccess, Sealing, VaultAccess};

use crate::config::Config;
use crate::secrets;

/// The keepers of keys and the recipients of tenants. Asks no keeper for anything yet: a run that needs one that is away waits for it.
pub(crate) fn sealing(config: &Config) -> anyhow::Result<Sealing> {
    let settings = &config.encryption;
    let secret_access_key = match settings.kms_access_key_id.as_str() {
        "" => String::new(),
        _ => secrets::read(&settings.kms_secret_access_key_file)?,
    };
    let kms = settings.kms.then(|| KmsAccess {
        key: String::new(),
        region: settings.kms_region.clone(),
        endpoint: settings.kms_endpoint.clone(),
        access_key_id: settings.kms_access_key_id.clone(),
        secret_access_key,
        timeout: Duration::from_secs(settings.kms_timeout_seconds),
    });
    let vault = (!settings.vault_address.is_empty()).then(|| VaultAccess {
        address: settings.vault_address.clone(),
        mount: settings.vault_mount.clone(),
        key: String::new(),
        version: None,
        namespace: settings.vault_namespace.clone(),
        token_file: settings.vault_token_file.clone(),
        ca_file: Some(settings.vault_ca_file.clone()).filter(|path| !path.as_os_str().is_empty()),
        timeout: Duration::from_secs(settings.vault_timeout_seconds),
    });
    let tenants = settings.tenants.iter().map(|entry| (entry.tenant.to_string(), entry.recipients.clone()));
    let on_left_out =
        Arc::new(|context: &export_sealing::Context, recipient: &str, cause: &export_sealing::WrapError| {
            let because: Vec<String> =
                std::iter::successors(cause.source(), |cause| (**cause).source()).map(ToString::to_string).collect();
            tracing::warn!(
                tenant = context.tenant,
                run = context.run,
                recipient,
                because = because.join(": "),
                "a recipient cannot decrypt this run: {cause}"
            );
        });
    Ok(Sealing::new(Keepers { kms, vault }, tenants.collect(), on_left_out))
}
