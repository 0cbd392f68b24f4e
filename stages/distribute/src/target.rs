//! The port, and the one list of its drivers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use export_contract::Timestamp;
use export_contract::message::{Distribution, RunSigned};
use export_contract::profile::DistributionKind;

use crate::download::Download;

/// Why a target did not take a bundle.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It does not answer; worth another try.
    #[error("the target is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refuses for good.
    #[error("the target refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A way of handing a bundle over.
#[async_trait]
pub trait Target: Send + Sync + fmt::Debug {
    /// Which way.
    fn kind(&self) -> DistributionKind;

    /// Hands the bundle over and says where it is. May be called again for the same run, and then gives the same answer.
    ///
    /// Of a run that confirms an earlier bundle (`plan.refresh`), the tar lies in that run's corner of staging, and is where that run
    /// handed it over; the files beside it are the run's own.
    async fn distribute(&self, signed: &RunSigned, expires_at: Option<Timestamp>) -> Result<Distribution, TargetError>;
}

/// The list. A new driver is a line here.
const TARGETS: &[fn() -> Arc<dyn Target>] = &[|| Arc::new(Download)];

/// Whether this build has a driver of that kind, allowed or not.
pub(crate) fn has_driver(kind: DistributionKind) -> bool {
    TARGETS.iter().any(|make| make().kind() == kind)
}

/// The drivers of the list that `allow` names.
pub fn registered(allow: &BTreeSet<DistributionKind>) -> Vec<Arc<dyn Target>> {
    TARGETS.iter().map(|make| make()).filter(|target| allow.contains(&target.kind())).collect()
}
