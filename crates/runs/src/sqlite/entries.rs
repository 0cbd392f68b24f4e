//! Schedules, webhooks and deliveries: a row each, and the outbox of runs.

use async_trait::async_trait;
use export_contract::run::{Run, RunRef};
use export_contract::{TenantId, Timestamp};
use export_sqlite::rusqlite::{OptionalExtension as _, params};

use super::{SqliteRuns, failed, from_json, to_json};
use crate::entries::{Entries, Entry, Page};
use crate::store::RunStoreError;
use crate::webhook::Outbox;

#[async_trait]
impl Entries for SqliteRuns {
    async fn entries<E: Entry>(&self, tenant: &TenantId, page: Option<Page>) -> Result<Vec<E>, RunStoreError> {
        let act = format!("list each {}", E::NAME);
        let tenant = tenant.clone();
        let table = E::TABLE;
        self.database
            .read(&act, move |connection| match page {
                None => connection
                    .prepare_cached(&format!("SELECT document FROM {table} WHERE tenant = ?1 ORDER BY id"))?
                    .query_map(params![tenant.as_str()], |row| from_json(0, row.get_ref(0)?.as_str()?))?
                    .collect(),
                Some(Page { parent, before, limit }) => connection
                    .prepare_cached(&format!(
                        "SELECT document FROM {table}
                         WHERE tenant = ?1 AND parent = ?2 AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
                    ))?
                    .query_map(params![tenant.as_str(), parent, before, limit], |row| {
                        from_json(0, row.get_ref(0)?.as_str()?)
                    })?
                    .collect(),
            })
            .await
            .map_err(|cause| failed(&act, cause))
    }

    async fn entry<E: Entry>(&self, tenant: &TenantId, id: &str) -> Result<Option<E>, RunStoreError> {
        let act = format!("read a {}", E::NAME);
        let (tenant, id) = (tenant.clone(), id.to_owned());
        self.database
            .read(&act, move |connection| {
                connection
                    .prepare_cached(&format!("SELECT document FROM {} WHERE tenant = ?1 AND id = ?2", E::TABLE))?
                    .query_row(params![tenant.as_str(), id], |row| from_json(0, row.get_ref(0)?.as_str()?))
                    .optional()
            })
            .await
            .map_err(|cause| failed(&act, cause))
    }

    async fn add<E: Entry>(&self, entry: E) -> Result<Option<E>, RunStoreError> {
        let act = format!("write a {}", E::NAME);
        let entry = entry.with_revision(1);
        self.database
            .write(&act, move |transaction| {
                let written = transaction
                    .prepare_cached(&format!(
                        "INSERT INTO {} (tenant, id, parent, revision, due, document) VALUES (?1, ?2, ?3, 1, ?4, ?5)
                         ON CONFLICT (tenant, id) DO NOTHING",
                        E::TABLE
                    ))?
                    .execute(params![
                        entry.tenant().as_str(),
                        entry.id(),
                        entry.parent(),
                        entry.due().map(Timestamp::as_micros),
                        to_json(&entry)?
                    ])?;
                Ok((written == 1).then_some(entry))
            })
            .await
            .map_err(|cause| failed(&act, cause))
    }

    async fn replace<E: Entry>(&self, entry: E) -> Result<bool, RunStoreError> {
        let act = format!("change a {}", E::NAME);
        self.database
            .write(&act, move |transaction| {
                let written = transaction
                    .prepare_cached(&format!(
                        "UPDATE {} SET revision = ?3, due = ?4, document = ?5
                         WHERE tenant = ?1 AND id = ?2 AND revision = ?3 - 1",
                        E::TABLE
                    ))?
                    .execute(params![
                        entry.tenant().as_str(),
                        entry.id(),
                        entry.revision(),
                        entry.due().map(Timestamp::as_micros),
                        to_json(&entry)?
                    ])?;
                Ok(written == 1)
            })
            .await
            .map_err(|cause| failed(&act, cause))
    }

    async fn remove<E: Entry>(&self, tenant: &TenantId, id: &str) -> Result<bool, RunStoreError> {
        let act = format!("remove a {}", E::NAME);
        let (tenant, id) = (tenant.clone(), id.to_owned());
        self.database
            .write(&act, move |transaction| {
                let removed = transaction
                    .prepare_cached(&format!("DELETE FROM {} WHERE tenant = ?1 AND id = ?2", E::TABLE))?
                    .execute(params![tenant.as_str(), id])?;
                Ok(removed == 1)
            })
            .await
            .map_err(|cause| failed(&act, cause))
    }

    async fn due<E: Entry>(&self, now: Timestamp, limit: u32) -> Result<Vec<E>, RunStoreError> {
        let act = format!("find each {} that is due", E::NAME);
        self.database
            .read(&act, move |connection| {
                connection
                    .prepare_cached(&format!(
                        "SELECT document FROM {} WHERE due <= ?1 ORDER BY due, tenant, id LIMIT ?2",
                        E::TABLE
                    ))?
                    .query_map(params![now.as_micros(), limit], |row| from_json(0, row.get_ref(0)?.as_str()?))?
                    .collect()
            })
            .await
            .map_err(|cause| failed(&act, cause))
    }
}

#[async_trait]
impl Outbox for SqliteRuns {
    async fn unannounced(&self, limit: u32) -> Result<Vec<Run>, RunStoreError> {
        let act = "read the outbox";
        self.database
            .read(act, move |connection| {
                connection
                    .prepare_cached(
                        "SELECT document FROM export_runs
                         WHERE announced = 0 AND status IN ('succeeded', 'failed', 'aborted')
                         ORDER BY last_event_at, _id LIMIT ?1",
                    )?
                    .query_map(params![limit], |row| from_json(0, row.get_ref(0)?.as_str()?))?
                    .collect()
            })
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn announced(&self, run: &RunRef) -> Result<bool, RunStoreError> {
        let act = "take a run out of the outbox";
        let run = run.clone();
        self.database
            .write(act, move |transaction| {
                transaction
                    .prepare_cached(
                        "UPDATE export_runs SET announced = 1
                         WHERE _id = ?1 AND tenant = ?2 AND document ->> '$.generation' = ?3
                           AND announced = 0 AND status IN ('succeeded', 'failed', 'aborted')",
                    )?
                    .execute(params![run.run.as_str(), run.tenant.as_str(), run.generation.0])
                    .map(|changed| changed > 0)
            })
            .await
            .map_err(|cause| failed(act, cause))
    }
}
