//! Retention: which runs still have bytes, and the steps towards none.

use async_trait::async_trait;
use export_contract::run::Run;
use export_contract::{RunId, TenantId, Timestamp};
use export_sqlite::rusqlite::{Connection, Result, Transaction, params};

use super::{SqliteRuns, failed, runs, timeline};
use crate::retention::{RetentionStep, RetentionStore, retained};
use crate::store::RunStoreError;

#[async_trait]
impl RetentionStore for SqliteRuns {
    async fn tenants_with_bytes(&self) -> std::result::Result<Vec<TenantId>, RunStoreError> {
        let act = "find tenants with runs that are kept";
        self.database.read(act, tenants).await.map_err(|cause| failed(act, cause))
    }

    async fn runs_with_bytes(
        &self,
        tenant: &TenantId,
        after: Option<&RunId>,
        limit: u32,
    ) -> std::result::Result<Vec<Run>, RunStoreError> {
        let act = "list runs that are kept";
        let (tenant, after) = (tenant.clone(), after.cloned());
        self.database
            .read(act, move |connection| page(connection, &tenant, after.as_ref(), limit))
            .await
            .map_err(|cause| failed(act, cause))
    }

    async fn retain(
        &self,
        tenant: &TenantId,
        run: &RunId,
        step: &RetentionStep,
        now: Timestamp,
    ) -> std::result::Result<bool, RunStoreError> {
        let act = "record a step of retention";
        let (tenant, run, step) = (tenant.clone(), run.clone(), step.clone());
        self.database
            .write(act, move |transaction| take(transaction, &tenant, &run, &step, now))
            .await
            .map_err(|cause| failed(act, cause))
    }
}

fn tenants(connection: &Connection) -> Result<Vec<TenantId>> {
    connection
        .prepare_cached("SELECT DISTINCT tenant FROM export_runs WHERE pruned_at IS NULL ORDER BY tenant")?
        .query_map([], |row| runs::tenant_in(row, 0))?
        .collect()
}

fn page(connection: &Connection, tenant: &TenantId, after: Option<&RunId>, limit: u32) -> Result<Vec<Run>> {
    let after = after.map_or("", RunId::as_str);
    let mut found: Vec<Run> = connection
        .prepare_cached(
            "SELECT document FROM export_runs WHERE tenant = ?1 AND pruned_at IS NULL AND _id > ?2
             ORDER BY _id LIMIT ?3",
        )?
        .query_map(params![tenant.as_str(), after, limit], |row| runs::run_in(row, 0))?
        .collect::<Result<_>>()?;
    for run in &mut found {
        run.distributions = timeline::distributions(connection, &run.id)?;
    }
    Ok(found)
}

fn take(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    id: &RunId,
    step: &RetentionStep,
    now: Timestamp,
) -> Result<bool> {
    let Some(before) = runs::find(transaction, tenant, id)? else { return Ok(false) };
    let Some((run, event)) = retained(&before.run, step, now) else { return Ok(false) };
    if timeline::has_fact(transaction, id, &event.key)? {
        return Ok(false);
    }
    runs::step(transaction, &before, &run, &event)?;
    match step {
        RetentionStep::Found { distribution } => {
            timeline::put_distributions(transaction, id, std::slice::from_ref(distribution))?;
        }
        RetentionStep::Removed { kind, location } => {
            mark(transaction, id, "pruned_at", (kind.as_str(), location), Some(now))?;
        }
        RetentionStep::Locked { kind, location, until } => {
            mark(transaction, id, "locked_until", (kind.as_str(), location), *until)?;
        }
        _ => {}
    }
    Ok(true)
}

fn mark(
    transaction: &Transaction<'_>,
    run: &RunId,
    column: &str,
    (kind, location): (&str, &str),
    at: Option<Timestamp>,
) -> Result<()> {
    let sql =
        format!("UPDATE export_distributions SET {column} = ?4 WHERE run_id = ?1 AND type = ?2 AND location = ?3");
    let at = at.map(|at| at.to_string());
    transaction.prepare_cached(&sql)?.execute(params![run.as_str(), kind, location, at])?;
    Ok(())
}
