//! Runs as retention looks at them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use export_contract::profile::ProfileConfig;
use export_contract::retention::Expiry;
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{Digest, ProfileId, RunId, Timestamp};

const DAY: i64 = 86_400;

/// What a decision needs to know of a run that is not pruned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The run.
    pub(crate) run: RunRef,
    /// Its profile; what is counted is counted by profile, whatever the revision.
    pub(crate) profile: ProfileId,
    pub(crate) status: RunStatus,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) keep: Keep,
    pub(crate) needs: Needs,
    pub(crate) expiry: Option<Expiry>,
    /// The digests that a delta may name it by.
    pub(crate) known_as: Vec<Digest>,
}

/// How long a run that succeeded is kept, by the revision of the profile that it ran with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    /// Until its distributions expire; none where they do not.
    pub(crate) until: Option<Timestamp>,
    /// While it is among so many of its profile.
    pub(crate) last: Option<u32>,
}

/// What a run needs of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The base that plan found.
    pub(crate) base: Option<RunId>,
    /// The base as the request named it.
    pub(crate) base_name: Option<String>,
    /// The run that made the bundle that this one confirmed.
    pub(crate) bundle: Option<RunId>,
    /// What its admission named, where it has been admitted and has not succeeded.
    pub(crate) admitted: Option<Vec<RunId>>,
    /// What it asks for, as a hash, where its profile confirms bundles: two runs that ask for the same have the same. (Two that do
    /// not may have, too, which keeps a run for longer and no more.)
    pub(crate) asks: Option<u64>,
}

impl Facts {
    /// What the ledger says of a run; `admitted` is what its admission record names.
    pub(crate) fn of(run: Run, config: Option<&ProfileConfig>, admitted: Option<Vec<RunId>>) -> Self {
        let days = config.and_then(|config| config.retention_days);
        let stamped = run.distributions.iter().filter_map(|distribution| distribution.expires_at).max();
        // Runs whose distributions say nothing are kept from their end on.
        let counted = || Some(run.completed_at?.plus_seconds(i64::from(days?) * DAY));
        let keep = Keep { until: stamped.or_else(counted), last: config.and_then(|config| config.keep_last) };
        let confirms = config.is_some_and(|config| config.refresh_when_unchanged);
        let reference = run.reference();
        let asks = confirms.then(|| asks(&run));
        let mut known_as = Vec::new();
        let mut confirmed = None;
        if let Some(bundle) = run.bundle {
            confirmed = bundle.refreshes;
            if confirmed.is_none() {
                known_as.extend([bundle.digest, bundle.manifest_digest]);
                known_as.extend(bundle.state_digest);
            }
        }
        Self {
            run: reference,
            profile: run.profile_id,
            status: run.status,
            ended_at: run.completed_at,
            keep,
            needs: Needs { base: run.base, base_name: run.options.base_export_id, bundle: confirmed, admitted, asks },
            expiry: run.expiry,
            known_as,
        }
    }

    pub(crate) fn id(&self) -> &RunId {
        &self.run.run
    }

    /// Whether its bytes began to go.
    pub(crate) fn is_going(&self) -> bool {
        self.expiry.is_some_and(|expiry| expiry.is_final())
    }
}

fn asks(run: &Run) -> u64 {
    let mut hasher = DefaultHasher::new();
    run.profile_revision.hash(&mut hasher);
    // Equal values have equal texts: there is no map without an order in them.
    for text in [serde_json::to_string(&run.selectors), serde_json::to_string(&run.options)] {
        text.unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}
