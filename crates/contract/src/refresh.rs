//! Refreshes: a run that finds nothing changed confirms an earlier bundle instead of making its own (decision 0008).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::message::{Artefact, SourceRead};
use crate::{Digest, Generation, RunId, Sequence, Timestamp};

/// The file beside a bundle with the newest statement that it is unchanged: an in-toto statement in a Sigstore bundle.
pub const FILE: &str = "refresh.sigstore.json";

/// `predicateType` of that statement.
pub const PREDICATE_TYPE: &str = "urn:export-center:refresh:v1";

/// An earlier run of the same profile revision, selectors and options, with a bundle of its own. Named at admission from the run
/// ledger; plan looks whether its bundle still is what the run asks for. It is the same tenant's, which is why none is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousRun {
    /// Which run.
    pub run: RunId,
    /// Its generation when it was found: where its result records are.
    pub generation: Generation,
    /// Digest of its bundle tar, by the ledger.
    pub bundle: Digest,
}

/// A plan's finding that nothing changed: everything that the later stages need of the earlier run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refresh {
    /// The run that made the bundle, and in whose corner of staging all of these lie.
    pub run: RunId,
    /// When the ledger was last known not to have changed.
    pub checked_at: Timestamp,
    /// Until when the profile calls the bundle fresh because of that.
    pub fresh_until: Timestamp,
    /// `export.json`.
    pub export_json: Artefact,
    /// The bundle tar.
    pub bundle: Artefact,
    /// As the earlier manifest has it.
    pub rerun_hash: Digest,
    /// Records in the bundle.
    pub records: u64,
    /// What was read for it.
    pub sources: Vec<SourceRead>,
    /// Id of the key that signed it.
    pub key_id: String,
    /// The files beside it by name.
    pub sidecars: BTreeMap<String, Artefact>,
    /// When it may be pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What the signed statement says of its subjects, `bundle.tar` and `export.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshPredicate {
    /// At this time there was nothing newer than what the bundle was made of.
    pub checked_at: Timestamp,
    /// Until when the profile calls the bundle fresh because of that.
    pub fresh_until: Timestamp,
    /// The manifest's `asOf`: confirming evidence does not make it newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
    /// The ledger position that the bundle was read at, and where the ledger still was.
    pub watermark: Sequence,
    /// The run that made the bundle.
    pub refreshes: RunId,
    /// The run that found it unchanged.
    pub invocation_id: RunId,
}
