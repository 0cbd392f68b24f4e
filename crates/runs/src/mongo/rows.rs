//! The documents as they are stored: the specification's names, in snake case.
//!
//! Times are RFC 3339 text, since BSON dates end at the millisecond. What may hold free member names is JSON text, since
//! `.` and `$` in names are not taken everywhere.

use std::collections::BTreeMap;

use export_contract::event::{EventType, RunEvent};
use export_contract::message::{Distribution, InputRange, PolicySnapshotRef};
use export_contract::profile::{DistributionKind, Profile, ProfileKind};
use export_contract::retention::Expiry;
use export_contract::run::{Phase, Replay, Run, RunBundle, RunOptions, RunProgress, RunRef, RunStatus};
use export_contract::selectors::Selectors;
use export_contract::{
    Digest, ErrorCode, Generation, PartIndex, ProfileId, RecordKey, RecordKind, RunId, TenantId, Timestamp, Version,
};
use serde::{Deserialize, Serialize};

use super::steps::Change;
use crate::store::NewEvent;

/// Of `export_runs`: a run's state after the event `last_ordinal`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunDocument {
    pub(super) _id: RunId,
    pub(super) tenant: TenantId,
    pub(super) profile_id: ProfileId,
    profile_revision: u32,
    profile_kind: ProfileKind,
    selectors: Selectors,
    options: RunOptions,
    /// Documents from before there were approvals have none.
    #[serde(default)]
    approval_json: Option<String>,
    requested_by: String,
    requested_at: Timestamp,
    correlation_id: String,
    /// Unique within the tenant: the client's key, or one of the run's own.
    pub(super) idempotency_key: String,
    pub(super) fingerprint: Option<String>,
    pub(super) status: RunStatus,
    generation: Generation,
    /// Documents from before there were replays have none.
    #[serde(default)]
    replay: Option<Replay>,
    phase: Option<Phase>,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    duration_ms: Option<u64>,
    error_code: Option<ErrorCode>,
    error_message: Option<String>,
    policy_snapshot_id: Option<String>,
    policy_snapshot_digest: Option<Digest>,
    /// The whole reference; documents from before it was kept have id and digest only.
    #[serde(default)]
    policy_snapshot_json: Option<String>,
    progress: RunProgress,
    bundle_json: Option<String>,
    #[serde(default)]
    base: Option<RunId>,
    #[serde(default)]
    expiry: Option<Expiry>,
    /// Whether nothing of it is left; documents from before there was retention do not have it.
    #[serde(default)]
    pub(super) pruned: bool,
    /// 0 until the first event is written.
    pub(super) last_ordinal: u64,
    /// Microseconds since 1970.
    pub(super) last_event_at: i64,
    /// Whether its end is still to be told of; documents from before there was an outbox are not in it.
    #[serde(default)]
    unannounced: bool,
}

/// Names an idempotency key so that a client's key is never a run's own.
pub(super) fn idempotency_key(run: &RunId, key: Option<&str>) -> String {
    key.map_or_else(|| format!("run:{run}"), |key| format!("key:{key}"))
}

impl RunDocument {
    pub(super) fn new(run: &Run, idempotency: Option<(&str, &str)>) -> Result<Self, serde_json::Error> {
        let snapshot = run.policy_snapshot_id.as_ref();
        let (policy_snapshot_id, policy_snapshot_digest) =
            snapshot.map(|snapshot| (snapshot.id.clone(), snapshot.digest.clone())).unzip();
        let policy_snapshot_json = snapshot.map(serde_json::to_string).transpose()?;
        Ok(Self {
            _id: run.id.clone(),
            tenant: run.tenant.clone(),
            profile_id: run.profile_id.clone(),
            profile_revision: run.profile_revision,
            profile_kind: run.profile_kind,
            selectors: run.selectors.clone(),
            options: run.options.clone(),
            approval_json: run.approval.as_ref().map(serde_json::to_string).transpose()?,
            requested_by: run.requested_by.clone(),
            requested_at: run.requested_at,
            correlation_id: run.correlation_id.clone(),
            idempotency_key: idempotency_key(&run.id, idempotency.map(|(key, _)| key)),
            fingerprint: idempotency.map(|(_, fingerprint)| fingerprint.to_owned()),
            status: run.status,
            generation: run.generation,
            replay: run.replay,
            phase: run.phase,
            started_at: run.started_at,
            completed_at: run.completed_at,
            duration_ms: run.duration_ms,
            error_code: run.error_code,
            error_message: run.error_message.clone(),
            policy_snapshot_id,
            policy_snapshot_digest,
            policy_snapshot_json,
            progress: run.progress,
            bundle_json: run.bundle.as_ref().map(serde_json::to_string).transpose()?,
            base: run.base.clone(),
            expiry: run.expiry,
            pruned: run.expiry.is_some_and(|expiry| expiry.pruned_at.is_some()),
            last_ordinal: 0,
            last_event_at: run.requested_at.as_micros(),
            unannounced: true,
        })
    }

    /// This document with the state of `run` after event `ordinal`.
    pub(super) fn with_state(&self, run: &Run, ordinal: u64, at: Timestamp) -> Result<Self, serde_json::Error> {
        Ok(Self {
            idempotency_key: self.idempotency_key.clone(),
            fingerprint: self.fingerprint.clone(),
            last_ordinal: ordinal,
            last_event_at: self.last_event_at.max(at.as_micros()),
            // The end of a new generation is to be told of, too.
            unannounced: self.unannounced || run.generation != self.generation,
            ..Self::new(run, None)?
        })
    }

    pub(super) fn run(&self) -> Result<Run, serde_json::Error> {
        let this = self.clone();
        let snapshot = match this.policy_snapshot_json {
            Some(text) => Some(serde_json::from_str(&text)?),
            None => this
                .policy_snapshot_id
                .zip(this.policy_snapshot_digest)
                .map(|(id, digest)| PolicySnapshotRef::new(id, digest)),
        };
        let bundle: Option<RunBundle> = this.bundle_json.as_deref().map(serde_json::from_str).transpose()?;
        Ok(Run {
            v: Version,
            id: this._id,
            tenant: this.tenant,
            profile_id: this.profile_id,
            profile_revision: this.profile_revision,
            profile_kind: this.profile_kind,
            selectors: this.selectors,
            options: this.options,
            approval: this.approval_json.as_deref().map(serde_json::from_str).transpose()?,
            requested_by: this.requested_by,
            requested_at: this.requested_at,
            correlation_id: this.correlation_id,
            status: this.status,
            generation: this.generation,
            replay: this.replay,
            phase: this.phase,
            started_at: this.started_at,
            completed_at: this.completed_at,
            duration_ms: this.duration_ms,
            error_code: this.error_code,
            error_message: this.error_message,
            policy_snapshot_id: snapshot,
            waiting: None,
            progress: this.progress,
            base: this.base,
            bundle,
            expiry: this.expiry,
            inputs: Vec::new(),
            distributions: Vec::new(),
        })
    }
}

/// Of `export_events`: a committed step. `change` is what it does to the run, as JSON text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct EventDocument {
    _id: String,
    run_id: RunId,
    pub(super) ordinal: u64,
    fact: String,
    event_type: EventType,
    phase: Option<Phase>,
    message: String,
    at: Timestamp,
    metrics: BTreeMap<String, u64>,
    actor: Option<String>,
    change: String,
}

/// The `_id` of an event: its run and ordinal, so that an ordinal is taken once.
pub(super) fn event_id(run: &RunId, ordinal: u64) -> String {
    format!("{run}/{ordinal:010}")
}

impl EventDocument {
    pub(super) fn new(run: &RunId, ordinal: u64, event: &NewEvent, change: &Change) -> Result<Self, serde_json::Error> {
        Ok(Self {
            _id: event_id(run, ordinal),
            run_id: run.clone(),
            ordinal,
            fact: event.key.clone(),
            event_type: event.event_type,
            phase: event.phase,
            message: event.message.clone(),
            at: event.at,
            metrics: event.metrics.clone(),
            actor: event.actor.clone(),
            change: serde_json::to_string(change)?,
        })
    }

    pub(super) fn fact(&self) -> Result<(NewEvent, Change), serde_json::Error> {
        let this = self.clone();
        let event = NewEvent {
            key: this.fact,
            event_type: this.event_type,
            phase: this.phase,
            message: this.message,
            at: this.at,
            metrics: this.metrics,
            actor: this.actor,
        };
        Ok((event, serde_json::from_str(&this.change)?))
    }

    pub(super) fn entry(self) -> RunEvent {
        RunEvent {
            ordinal: self.ordinal,
            run_id: self.run_id,
            event_type: self.event_type,
            phase: self.phase,
            message: self.message,
            at: self.at,
            metrics: self.metrics,
            actor: self.actor,
        }
    }
}

/// Of `export_inputs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InputDocument {
    _id: String,
    run_id: RunId,
    generation: Generation,
    part: PartIndex,
    kind: RecordKind,
    source: String,
    cursor: RecordKey,
    count: u64,
    hash: Digest,
}

impl InputDocument {
    pub(super) fn new(run: &RunRef, input: &InputRange) -> Self {
        let InputRange { kind, source, part, cursor, count, hash } = input.clone();
        Self {
            _id: format!("{}/{}/{part}/{kind}/{source}", run.run, run.generation),
            run_id: run.run.clone(),
            generation: run.generation,
            part,
            kind,
            source,
            cursor,
            count,
            hash,
        }
    }

    pub(super) fn input(self) -> InputRange {
        let Self { part, kind, source, cursor, count, hash, .. } = self;
        InputRange { kind, source, part, cursor, count, hash }
    }
}

/// Of `export_distributions`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DistributionDocument {
    _id: String,
    run_id: RunId,
    generation: Generation,
    #[serde(rename = "type")]
    kind: DistributionKind,
    location: String,
    sha256: Digest,
    size_bytes: u64,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    locked_until: Option<Timestamp>,
    #[serde(default)]
    pruned_at: Option<Timestamp>,
}

impl DistributionDocument {
    pub(super) fn new(run: &RunRef, distribution: &Distribution) -> Self {
        let Distribution { kind, location, sha256, size_bytes, expires_at, tags, locked_until, pruned_at } =
            distribution.clone();
        Self {
            _id: format!("{}/{}/{}/{location}", run.run, run.generation, kind.as_str()),
            run_id: run.run.clone(),
            generation: run.generation,
            kind,
            location,
            sha256,
            size_bytes,
            expires_at,
            tags,
            locked_until,
            pruned_at,
        }
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> (RunId, Generation) {
        (self.run_id.clone(), self.generation)
    }

    pub(super) fn distribution(self) -> Distribution {
        let Self { kind, location, sha256, size_bytes, expires_at, tags, locked_until, pruned_at, .. } = self;
        Distribution { kind, location, sha256, size_bytes, expires_at, tags, locked_until, pruned_at }
    }
}

/// Of `export_admissions`: the tenant's `sequence`-th slot was given to a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AdmissionDocument {
    _id: String,
    tenant: TenantId,
    pub(super) sequence: u64,
    pub(super) run_id: RunId,
    pub(super) generation: Generation,
}

impl AdmissionDocument {
    pub(super) fn new(sequence: u64, run: &RunRef) -> Self {
        Self {
            _id: format!("{}/{sequence:012}", run.tenant),
            tenant: run.tenant.clone(),
            sequence,
            run_id: run.run.clone(),
            generation: run.generation,
        }
    }
}

/// Of `export_profiles`: one revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ProfileDocument {
    pub(super) _id: String,
    tenant: TenantId,
    profile_id: ProfileId,
    revision: u32,
    pub(super) name: String,
    /// `json`, `trivy` or `mirror`.
    kind: String,
    variant: String,
    config_json: String,
    pub(super) description: String,
    pub(super) labels_json: String,
    created_by: String,
    created_at: Timestamp,
}

impl ProfileDocument {
    pub(super) fn new(profile: &Profile) -> Result<Self, serde_json::Error> {
        Ok(Self {
            _id: format!("{}/{}/{}", profile.tenant, profile.id, profile.revision),
            tenant: profile.tenant.clone(),
            profile_id: profile.id.clone(),
            revision: profile.revision,
            name: profile.name.clone(),
            kind: profile.kind.family().to_owned(),
            variant: profile.kind.variant().to_owned(),
            config_json: serde_json::to_string(&profile.config)?,
            description: profile.description.clone(),
            labels_json: serde_json::to_string(&profile.labels)?,
            created_by: profile.created_by.clone(),
            created_at: profile.created_at,
        })
    }

    pub(super) fn profile(self) -> Result<Profile, serde_json::Error> {
        let kind = serde_json::Value::String(format!("{}:{}", self.kind, self.variant));
        Ok(Profile {
            v: Version,
            id: self.profile_id,
            tenant: self.tenant,
            name: self.name,
            kind: serde_json::from_value(kind)?,
            revision: self.revision,
            config: serde_json::from_str(&self.config_json)?,
            description: self.description,
            labels: serde_json::from_str(&self.labels_json)?,
            created_by: self.created_by,
            created_at: self.created_at,
        })
    }
}
