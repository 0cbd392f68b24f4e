//! Where finished bundles are handed over to.

use std::sync::Arc;

use anyhow::Context as _;
use export_contract::profile::DistributionKind;
use export_signing::awskms::machine_credentials;
use export_targets::oci::{LoginSource, OciRegistry, OciTarget};
use export_targets::{
    DirectoryTarget, Download, ObjectCredentials, ObjectSettings, ObjectTarget, ServerSideEncryption, Target,
};

use super::kept::kept;
use crate::config::{Config, Sse};
use crate::secrets;

/// The targets of `allow.distribution`.
pub(crate) async fn targets(config: &Config) -> anyhow::Result<Vec<Arc<dyn Target>>> {
    let mut targets: Vec<Arc<dyn Target>> = Vec::new();
    for kind in &config.allow.distribution {
        match kind {
            DistributionKind::Http => targets.push(Arc::new(Download)),
            DistributionKind::Oci => targets.push(Arc::new(oci(config)?)),
            DistributionKind::Object => targets.push(Arc::new(object(config).await?)),
            DistributionKind::Directory => {
                targets.push(Arc::new(DirectoryTarget::new(config.directory.folder.clone())));
            }
        }
    }
    Ok(targets)
}

async fn object(config: &Config) -> anyhow::Result<ObjectTarget> {
    let settings = &config.object;
    let credentials = if let Some(kept) = kept(config, &settings.secret).context("object.secret")? {
        ObjectCredentials::Source(kept)
    } else if settings.access_key_id.is_empty() {
        let machine = machine_credentials().await;
        ObjectCredentials::Machine(
            machine.context("object.access_key_id: not set, and this machine has no credentials")?,
        )
    } else {
        let secret = secrets::read(&settings.secret_access_key_file)?;
        ObjectCredentials::Key { id: settings.access_key_id.clone(), secret }
    };
    let kms_key = Some(settings.sse_kms_key.clone()).filter(|key| !key.is_empty());
    ObjectTarget::new(&ObjectSettings {
        endpoint: settings.endpoint.clone(),
        bucket: settings.bucket.clone(),
        region: settings.region.clone(),
        prefix: settings.prefix.clone(),
        credentials,
        ca_pem: super::ca_pem(&settings.ca_file).context("object.ca_file")?,
        encryption: match settings.sse {
            Sse::Bucket => ServerSideEncryption::Bucket,
            Sse::Aes256 => ServerSideEncryption::Aes256,
            Sse::AwsKms => ServerSideEncryption::Kms(kms_key),
        },
    })
    .context("object.ca_file: the certificates cannot be used")
}

fn oci(config: &Config) -> anyhow::Result<OciTarget> {
    let mut registries = Vec::new();
    for registry in &config.oci.registries {
        let set = |path: &std::path::Path| !path.as_os_str().is_empty();
        let password =
            if set(&registry.password_file) { secrets::read(&registry.password_file)? } else { String::new() };
        let ca_pem = if set(&registry.ca_file) {
            let file = registry.ca_file.display();
            let told = || format!("cannot read `{file}`, `ca_file` of the registry `{}`", registry.host);
            Some(std::fs::read(&registry.ca_file).with_context(told)?)
        } else {
            None
        };
        let told = || format!("`secret` of the registry `{}`", registry.host);
        let login = kept(config, &registry.secret).with_context(told)?.map(|kept| kept as Arc<dyn LoginSource>);
        registries.push(OciRegistry {
            host: registry.host.clone(),
            login,
            user: registry.user.clone(),
            password,
            ca_pem,
            plain_http: registry.plain_http,
            prefix: registry.prefix.clone(),
        });
    }
    OciTarget::new(registries).context("cannot use `[[oci.registries]]`")
}
