//! Where finished bundles are handed over to.

use std::sync::Arc;

use anyhow::Context as _;
use export_contract::profile::DistributionKind;
use export_targets::oci::{OciRegistry, OciTarget};
use export_targets::{Download, Target};

use crate::config::Config;
use crate::secrets;

/// The ways of `allow.distribution` that there are; asking for them takes no secret.
pub(crate) fn ways(config: &Config) -> impl Iterator<Item = DistributionKind> {
    let is_there = |kind: &DistributionKind| match kind {
        DistributionKind::Http | DistributionKind::Oci => true,
        DistributionKind::Object | DistributionKind::Directory => false,
    };
    config.allow.distribution.iter().copied().filter(is_there)
}

/// The targets of `allow.distribution`.
///
/// # Errors
/// When what one needs cannot be read or used.
pub(crate) fn targets(config: &Config) -> anyhow::Result<Vec<Arc<dyn Target>>> {
    let target = |kind: &DistributionKind| -> anyhow::Result<Option<Arc<dyn Target>>> {
        Ok(match kind {
            DistributionKind::Http => Some(Arc::new(Download)),
            DistributionKind::Oci => Some(Arc::new(oci(config)?)),
            DistributionKind::Object | DistributionKind::Directory => None,
        })
    };
    config.allow.distribution.iter().filter_map(|kind| target(kind).transpose()).collect()
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
        registries.push(OciRegistry {
            host: registry.host.clone(),
            user: registry.user.clone(),
            password,
            ca_pem,
            plain_http: registry.plain_http,
            prefix: registry.prefix.clone(),
        });
    }
    OciTarget::new(registries).context("cannot use `[[oci.registries]]`")
}
