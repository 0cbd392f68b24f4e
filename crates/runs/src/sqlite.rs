//! The run ledger in one SQLite file.
//!
//! Every call that writes is one transaction that holds the write lock from its beginning, so its reads are current and
//! nothing of it is seen before all of it is.

mod audit;
mod entries;
mod profiles;
mod quota;
mod retention;
mod runs;
mod timeline;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use export_contract::event::RunEvent;
use export_contract::profile::{Profile, ProfileKind};
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{ProfileId, RunId, TenantId, Timestamp};
use export_sqlite::{Database, SqliteError, undecodable};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entries::{deleted_profiles, is_deleted, mark_deleted};
use crate::quota::{Quotas, SlotCaps, Submitted, Usage};
use crate::revision::Illegal;
use crate::store::{
    Admission, CancelOutcome, CreateOutcome, DeleteOutcome, NewEvent, ReplayWanted, Replayed, RunFilter, RunPage,
    RunStore, RunStoreError, StepOutcome,
};

/// The schema, step by step; steps are only ever appended.
const SCHEMA: &[&str] = &[
    include_str!("sqlite/schema.sql"),
    include_str!("sqlite/distributions.sql"),
    include_str!("sqlite/retention.sql"),
    include_str!("sqlite/entries.sql"),
    include_str!("sqlite/quota.sql"),
    include_str!("sqlite/answers.sql"),
];

/// The run ledger of one machine: a SQLite file that several processes may open.
#[derive(Clone, Debug)]
pub struct SqliteRuns {
    database: Database,
}

impl SqliteRuns {
    /// Opens the file and creates what is missing. Blocks for at most about ten seconds; meant for start-up.
    ///
    /// # Errors
    /// When the file cannot be opened or written, or a later version of this program wrote it.
    pub fn open(path: &Path) -> Result<Self, RunStoreError> {
        let database = Database::open(path, SCHEMA).map_err(|cause| failed("open the run ledger", cause))?;
        Ok(Self { database })
    }
}

#[async_trait]
impl RunStore for SqliteRuns {
    async fn profiles(&self, tenant: &TenantId) -> Result<Vec<Profile>, RunStoreError> {
        let act = "list profiles";
        let deleted = deleted_profiles(self, tenant).await?;
        let tenant = tenant.clone();
        let mut profiles = self
            .database
            .read(act, move |connection| profiles::newest_of_all(connection, &tenant))
            .await
            .map_err(|cause| failed(act, cause))?;
        profiles.retain(|profile| !deleted.contains(&profile.id));
        Ok(profiles)
    }

    async fn profile(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        revision: Option<u32>,
    ) -> Result<Option<Profile>, RunStoreError> {
        let act = "read a profile";
        if revision.is_none() && is_deleted(self, tenant, id).await? {
            return Ok(None);
        }
        let (tenant, id) = (tenant.clone(), id.clone());
        self.database
            .read(act, move |connection| profiles::find(connection, &tenant, &id, revision))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn create_profile(&self, profile: &Profile) -> Result<CreateOutcome<Profile>, RunStoreError> {
        let act = "create a profile";
        if is_deleted(self, &profile.tenant, &profile.id).await? {
            return Ok(CreateOutcome::Conflict);
        }
        let profile = profile.clone();
        let outcome = self.database.try_write(act, move |transaction| profiles::create(transaction, profile)).await;
        judged(act, outcome)
    }

    async fn update_profile(&self, profile: &Profile, expected: u32) -> Result<bool, RunStoreError> {
        let act = "update a profile";
        if is_deleted(self, &profile.tenant, &profile.id).await? {
            return Ok(false);
        }
        let profile = profile.clone();
        let outcome =
            self.database.try_write(act, move |transaction| profiles::update(transaction, &profile, expected)).await;
        judged(act, outcome)
    }

    async fn profile_revisions(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<Profile>, RunStoreError> {
        let act = "list the revisions of a profile";
        if is_deleted(self, tenant, id).await? {
            return Ok(Vec::new());
        }
        let (tenant, id) = (tenant.clone(), id.clone());
        self.database
            .read(act, move |connection| profiles::revisions(connection, &tenant, &id, before, limit))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn delete_profile(
        &self,
        tenant: &TenantId,
        id: &ProfileId,
        by: &str,
        now: Timestamp,
    ) -> Result<DeleteOutcome, RunStoreError> {
        mark_deleted(self, tenant, id, by, now).await
    }

    async fn create_run(
        &self,
        run: &Run,
        idempotency: Option<(&str, &str)>,
    ) -> Result<CreateOutcome<Run>, RunStoreError> {
        let act = "create a run";
        let run = run.clone();
        let idempotency = idempotency.map(|(key, fingerprint)| (key.to_owned(), fingerprint.to_owned()));
        let outcome =
            self.database.try_write(act, move |transaction| runs::create(transaction, run, idempotency.as_ref())).await;
        judged(act, outcome)
    }

    async fn run(&self, tenant: &TenantId, id: &RunId) -> Result<Option<Run>, RunStoreError> {
        let act = "read a run";
        let (tenant, id) = (tenant.clone(), id.clone());
        self.database
            .read(act, move |connection| runs::find_whole(connection, &tenant, &id))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn runs(&self, tenant: &TenantId, filter: &RunFilter) -> Result<RunPage, RunStoreError> {
        let act = "list runs";
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.database
            .read(act, move |connection| runs::page(connection, &tenant, &filter))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn events(
        &self,
        tenant: &TenantId,
        id: &RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<RunEvent>, RunStoreError> {
        let act = "read the timeline of a run";
        let (tenant, id) = (tenant.clone(), id.clone());
        self.database
            .read(act, move |connection| timeline::read(connection, &tenant, &id, after, limit))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn submit_run(
        &self,
        run: &Run,
        idempotency: Option<(&str, &str)>,
        quotas: &Quotas,
    ) -> Result<Submitted, RunStoreError> {
        let act = "submit a run";
        let (run, quotas) = (run.clone(), quotas.clone());
        let idempotency = idempotency.map(|(key, fingerprint)| (key.to_owned(), fingerprint.to_owned()));
        let outcome = self
            .database
            .try_write(act, move |transaction| quota::submit(transaction, run, idempotency.as_ref(), &quotas))
            .await;
        judged(act, outcome)
    }

    async fn usage(&self, tenant: &TenantId, now: Timestamp) -> Result<Usage, RunStoreError> {
        let act = "read what a tenant has of its quotas";
        let tenant = tenant.clone();
        self.database
            .read(act, move |connection| quota::usage(connection, &tenant, now))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn admit_within(
        &self,
        tenant: &TenantId,
        caps: &SlotCaps,
        now: Timestamp,
    ) -> Result<Admission, RunStoreError> {
        let act = "admit runs";
        let (tenant, caps) = (tenant.clone(), caps.clone());
        self.database
            .write(act, move |transaction| runs::admit(transaction, &tenant, &caps, now))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn record(&self, run: &RunRef, event: &NewEvent, outcome: &StepOutcome) -> Result<bool, RunStoreError> {
        let act = "record a step of a run";
        let (run, event, outcome) = (run.clone(), event.clone(), outcome.clone());
        self.database
            .write(act, move |transaction| runs::record(transaction, &run, &event, &outcome))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn cancel(
        &self,
        tenant: &TenantId,
        id: &RunId,
        by: &str,
        now: Timestamp,
    ) -> Result<CancelOutcome, RunStoreError> {
        let act = "cancel a run";
        let (tenant, id, by) = (tenant.clone(), id.clone(), by.to_owned());
        self.database
            .write(act, move |transaction| runs::cancel(transaction, &tenant, &id, &by, now))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn replay_run(&self, wanted: &ReplayWanted, quotas: &Quotas) -> Result<Replayed, RunStoreError> {
        let act = "replay a run";
        let (wanted, quotas) = (wanted.clone(), quotas.clone());
        self.database
            .write(act, move |transaction| quota::replay(transaction, &wanted, &quotas))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn tenants_waiting(&self) -> Result<Vec<TenantId>, RunStoreError> {
        let act = "find waiting tenants";
        self.database.read(act, runs::tenants_waiting).await.map_err(|cause| failed(act, cause))
    }

    async fn silent_runs(
        &self,
        status: RunStatus,
        silent_since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Run>, RunStoreError> {
        let act = "find silent runs";
        self.database
            .read(act, move |connection| runs::silent(connection, status, silent_since, limit))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn active(&self) -> Result<BTreeMap<TenantId, u32>, RunStoreError> {
        let act = "count running runs";
        self.database.read(act, runs::active).await.map_err(|cause| failed(act, cause))
    }

    async fn last_successes(&self) -> Result<BTreeMap<ProfileKind, Timestamp>, RunStoreError> {
        let act = "find the last successes";
        self.database.read(act, runs::last_successes).await.map_err(|cause| failed(act, cause))
    }

    async fn check(&self) -> Result<(), RunStoreError> {
        // Tables and indexes were made at opening, so what is left to prove is that both ways work.
        let act = "reach the run ledger";
        self.database
            .write(act, |transaction| transaction.query_row("SELECT count(*) FROM export_profiles", [], |_| Ok(())))
            .await
            .map_err(|cause| failed(act, cause))?;
        self.database
            .read(act, |connection| connection.query_row("SELECT count(*) FROM export_profiles", [], |_| Ok(())))
            .await
            .map_err(|cause| failed(act, cause))
    }
}

fn failed(act: &str, cause: SqliteError) -> RunStoreError {
    let act = act.to_owned();
    if cause.is_transient() {
        RunStoreError::Unavailable { act, cause: Box::new(cause) }
    } else {
        RunStoreError::Refused { act, cause: Box::new(cause) }
    }
}

fn judged<T>(act: &str, outcome: Result<Result<T, Illegal>, SqliteError>) -> Result<T, RunStoreError> {
    outcome
        .map_err(|cause| failed(act, cause))?
        .map_err(|cause| RunStoreError::Refused { act: act.to_owned(), cause: Box::new(cause) })
}

fn to_json<T: Serialize>(value: &T) -> export_sqlite::rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|cause| export_sqlite::rusqlite::Error::ToSqlConversionFailure(Box::new(cause)))
}

fn from_json<T: DeserializeOwned>(column: usize, text: &str) -> export_sqlite::rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|cause| undecodable(column, cause))
}
