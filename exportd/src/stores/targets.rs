//! Where finished bundles are handed over to.

use std::sync::Arc;

use export_contract::profile::DistributionKind;
use export_targets::{Download, Target};

use crate::config::Config;

/// The targets of `allow.distribution`.
pub(crate) fn targets(config: &Config) -> Vec<Arc<dyn Target>> {
    let target = |kind: &DistributionKind| -> Option<Arc<dyn Target>> {
        match kind {
            DistributionKind::Http => Some(Arc::new(Download)),
            DistributionKind::Oci | DistributionKind::Object | DistributionKind::Directory => None,
        }
    };
    config.allow.distribution.iter().filter_map(target).collect()
}
