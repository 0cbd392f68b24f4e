//! What a pass did.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::AddAssign;

use export_contract::{ProfileId, RunId, TenantId};
use serde::Serialize;

use crate::error::Chain;

/// What a pass did to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Deed {
    /// It stays as it was.
    Kept,
    /// It is no longer offered from now on.
    Expiring,
    /// It is not offered, and its bytes are still there.
    Waiting,
    /// It is offered again.
    Spared,
    /// It did not succeed, and a target that it was handed over to has let go of it.
    Withdrawn,
    /// Its bytes are gone but for what a target keeps locked.
    Locked,
    /// Nothing of it is left.
    Pruned,
    /// Something of it could not be removed; the next pass tries again.
    Failed,
    /// Staging holds bytes of it, and the ledger does not know it.
    Orphan,
    /// Such bytes were removed.
    OrphanRemoved,
}

impl Deed {
    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Expiring => "expiring",
            Self::Waiting => "waiting",
            Self::Spared => "spared",
            Self::Withdrawn => "withdrawn",
            Self::Locked => "locked",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
            Self::Orphan => "orphan",
            Self::OrphanRemoved => "orphanRemoved",
        }
    }
}

/// What is told of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub run: RunId,
    /// Its profile, where the ledger knows the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileId>,
    /// What was done.
    pub deed: Deed,
    /// Why, for people.
    pub why: String,
}

/// Objects that went from staging, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// How many.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

impl AddAssign for Freed {
    fn add_assign(&mut self, more: Self) {
        self.objects = self.objects.saturating_add(more.objects);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// The sums of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    /// Whether nothing was changed, and the sums are what would be.
    pub dry_run: bool,
    /// Runs that stay.
    pub kept: u64,
    /// Runs that are no longer offered from now on.
    pub expiring: u64,
    /// Runs that are not offered, and whose bytes wait for the end of the grace.
    pub waiting: u64,
    /// Runs that are offered again.
    pub spared: u64,
    /// Runs of which nothing is left.
    pub pruned: u64,
    /// Distributions of runs that did not succeed which targets have let go of.
    pub withdrawn: u64,
    /// What went from staging.
    pub freed: Freed,
    /// Distributions that a target keeps locked though their time is over.
    pub locked: u64,
    /// Corners of staging whose run the ledger does not know.
    pub orphans: u64,
    /// What failed, by kind of target, or `staging` and `ledger`.
    pub failures: BTreeMap<&'static str, u64>,
}

impl Pass {
    /// Counts and logs a failure.
    pub(super) fn failed(&mut self, kind: &'static str, error: &(dyn Error + 'static), what: &str) {
        self.count(kind);
        tracing::warn!(kind, error = %Chain(error), "retention {what}");
    }

    pub(super) fn count(&mut self, kind: &'static str) {
        *self.failures.entry(kind).or_default() += 1;
    }
}
