//! What a deployment hands over by, and whom its runs speak to.

use std::collections::BTreeMap;

use export_contract::profile::{DistributionKind, ProfileConfig};

use crate::error::PlanError;

/// A host that a run speaks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The host, with its port where it has one, or what else names it.
    pub host: String,
    /// Whether it may be spoken to: `offline` deployments speak to local hosts only, and to no OCI registry at all.
    pub may_be_reached: bool,
}

/// What a deployment hands over by. Fixed at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// The ways that are allowed and set up, each with the hosts that it leads to; the first one is the default. None: it leads to no
    /// other host.
    pub kinds: BTreeMap<DistributionKind, Vec<Destination>>,
    /// Whom every run speaks to, whatever its profile: stores, signers, policy engine. By the setting that names each.
    pub services: BTreeMap<String, Destination>,
}

impl Ways {
    /// Whatever a profile asks for; for whoever plans and hands nothing over.
    pub fn as_asked(config: &ProfileConfig) -> Self {
        let registry = |host: &String| Destination { host: host.clone(), may_be_reached: true };
        let of = |kind| match kind {
            DistributionKind::Oci => config.oci_registry.iter().map(registry).collect(),
            DistributionKind::Http | DistributionKind::Object | DistributionKind::Directory => Vec::new(),
        };
        let kinds = config.distribution.iter().map(|kind| (*kind, of(*kind))).collect();
        Self { kinds, services: BTreeMap::new() }
    }

    /// Whether a run of a profile may be made and handed over.
    ///
    /// # Errors
    /// The first way or host that may not be used.
    pub(crate) fn check(&self, config: &ProfileConfig) -> Result<(), PlanError> {
        for (setting, service) in &self.services {
            reachable(service, || format!("the deployment's `{setting}`"))?;
        }
        for kind in config.distribution.iter().copied() {
            let destinations = self.kinds.get(&kind).ok_or(PlanError::Distribution(kind))?;
            let chosen = match config.oci_registry.as_ref().filter(|_| kind == DistributionKind::Oci) {
                None => destinations.first(),
                Some(host) => {
                    Some(destinations.iter().find(|known| known.host == *host).ok_or_else(|| PlanError::Registry {
                        host: host.clone(),
                        known: destinations.iter().map(|d| d.host.clone()).collect(),
                    })?)
                }
            };
            if let Some(chosen) = chosen {
                reachable(chosen, || format!("the profile's distribution `{}`", kind.as_str()))?;
            }
        }
        Ok(())
    }
}

fn reachable(destination: &Destination, by: impl Fn() -> String) -> Result<(), PlanError> {
    if destination.may_be_reached {
        Ok(())
    } else {
        Err(PlanError::Offline { host: destination.host.clone(), by: by() })
    }
}
