//! Runs: their documents, slots and steps.

use std::collections::BTreeMap;

use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{ProfileId, RunId, TenantId, Timestamp};
use export_sqlite::rusqlite::{Connection, OptionalExtension as _, Result, Row, ToSql, Transaction, params};
use export_sqlite::undecodable;

use super::{from_json, quota, timeline, to_json};
use crate::fold;
use crate::quota::SlotCaps;
use crate::revision::Illegal;
use crate::store::{Admission, CancelOutcome, CreateOutcome, NewEvent, RunFilter, RunPage, StepOutcome};

/// A run and the number of its newest event.
pub(super) struct Stored {
    pub(super) run: Run,
    last_ordinal: i64,
}

pub(super) fn create(
    transaction: &Transaction<'_>,
    run: Run,
    idempotency: Option<&(String, String)>,
) -> Result<std::result::Result<CreateOutcome<Run>, Illegal>> {
    let event = match fold::written(&run) {
        Ok(event) => event,
        Err(illegal) => return Ok(Err(illegal)),
    };
    if let Some((key, fingerprint)) = idempotency
        && let Some((existing, known)) = by_idempotency_key(transaction, &run.tenant, key)?
    {
        let outcome = if known == *fingerprint { CreateOutcome::Existing(existing) } else { CreateOutcome::Conflict };
        return Ok(Ok(outcome));
    }
    let (key, fingerprint) = idempotency.map(|(key, fingerprint)| (key, fingerprint)).unzip();
    let written = transaction
        .prepare_cached(
            "INSERT INTO export_runs (_id, document, last_ordinal, last_event_at, idempotency_key, fingerprint)
             VALUES (?1, ?2, 1, ?3, ?4, ?5) ON CONFLICT (_id) DO NOTHING",
        )?
        .execute(params![run.id.as_str(), document(&run)?, event.at.as_micros(), key, fingerprint])?;
    if written == 0 {
        return Ok(Ok(CreateOutcome::Conflict));
    }
    timeline::append(transaction, &run, &event, 1)?;
    Ok(Ok(CreateOutcome::Created(run)))
}

pub(super) fn find_whole(connection: &Connection, tenant: &TenantId, id: &RunId) -> Result<Option<Run>> {
    let Some(Stored { mut run, .. }) = find(connection, tenant, id)? else {
        return Ok(None);
    };
    run.inputs = timeline::inputs(connection, id)?;
    run.distributions = timeline::distributions(connection, id)?;
    Ok(Some(run))
}

pub(super) fn page(connection: &Connection, tenant: &TenantId, filter: &RunFilter) -> Result<RunPage> {
    let limit = filter.limit.clamp(1, 200);
    let ask = limit + 1;
    let tenant = tenant.as_str();
    let status = filter.status.map(RunStatus::as_str);
    let mut sql = "SELECT document FROM export_runs WHERE tenant = ?1".to_owned();
    let mut values: Vec<&dyn ToSql> = vec![&tenant];
    let profile = filter.profile.as_ref().map(ProfileId::as_str);
    let before = filter.before.as_ref().map(RunId::as_str);
    for (condition, value) in
        [(" AND status = ?", &status), (" AND profile_id = ?", &profile), (" AND _id < ?", &before)]
    {
        if value.is_some() {
            values.push(value);
            sql.push_str(condition);
            sql.push_str(&values.len().to_string());
        }
    }
    values.push(&ask);
    sql.push_str(" ORDER BY _id DESC LIMIT ?");
    sql.push_str(&values.len().to_string());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut runs = statement.query_map(values.as_slice(), |row| run_in(row, 0))?.collect::<Result<Vec<Run>>>()?;
    let limit = limit as usize;
    let more = runs.len() > limit;
    runs.truncate(limit);
    Ok(RunPage { runs, more })
}

pub(super) fn admit(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    caps: &SlotCaps,
    now: Timestamp,
) -> Result<Admission> {
    let mut running = quota::running(transaction, tenant)?;
    let mut admitted = Vec::new();
    while running.values().sum::<u32>() < caps.active {
        let Some(before) = quota::oldest_pending(transaction, tenant, caps, &running)? else { break };
        let Some((run, event)) = fold::admitted(&before.run, now) else { break };
        step(transaction, &before, &run, &event)?;
        *running.entry(run.profile_kind).or_default() += 1;
        admitted.push(run);
    }
    Ok(if admitted.is_empty() { Admission::Nothing } else { Admission::Admitted(admitted) })
}

pub(super) fn record(
    transaction: &Transaction<'_>,
    wanted: &RunRef,
    event: &NewEvent,
    outcome: &StepOutcome,
) -> Result<bool> {
    let Some(before) = find(transaction, &wanted.tenant, &wanted.run)? else {
        return Ok(false);
    };
    let Some(run) = fold::applied(&before.run, wanted, event, outcome) else {
        return Ok(false);
    };
    if timeline::has_fact(transaction, &run.id, &event.key)? {
        return Ok(false);
    }
    step(transaction, &before, &run, event)?;
    timeline::put_inputs(transaction, &run.id, &outcome.inputs)?;
    timeline::put_distributions(transaction, &run.id, &outcome.distributions)?;
    Ok(true)
}

pub(super) fn cancel(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    id: &RunId,
    by: &str,
    now: Timestamp,
) -> Result<CancelOutcome> {
    let Some(before) = find(transaction, tenant, id)? else {
        return Ok(CancelOutcome::NotFound);
    };
    Ok(match fold::aborted(&before.run, by, now) {
        Some((run, event)) => {
            step(transaction, &before, &run, &event)?;
            CancelOutcome::Cancelled(run)
        }
        None if before.run.status == RunStatus::Aborted => CancelOutcome::AlreadyCancelled(before.run),
        None => CancelOutcome::Ended(before.run),
    })
}

pub(super) fn tenants_waiting(connection: &Connection) -> Result<Vec<TenantId>> {
    connection
        .prepare_cached("SELECT DISTINCT tenant FROM export_runs WHERE status = 'pending' ORDER BY tenant")?
        .query_map([], |row| tenant_in(row, 0))?
        .collect()
}

pub(super) fn silent(connection: &Connection, status: RunStatus, since: Timestamp, limit: u32) -> Result<Vec<Run>> {
    connection
        .prepare_cached(
            "SELECT document FROM export_runs WHERE status = ?1 AND last_event_at < ?2
             ORDER BY last_event_at, _id LIMIT ?3",
        )?
        .query_map(params![status.as_str(), since.as_micros(), limit], |row| run_in(row, 0))?
        .collect()
}

/// The newest run of each kind that succeeded, by ids, which rise with time.
pub(super) fn last_successes(connection: &Connection) -> Result<BTreeMap<ProfileKind, Timestamp>> {
    let mut statement = connection.prepare_cached(
        "SELECT document FROM export_runs WHERE status = 'succeeded' AND document ->> '$.profileKind' = ?1 ORDER BY _id DESC LIMIT 1",
    )?;
    let mut found = BTreeMap::new();
    for kind in ProfileKind::ALL {
        let read = |row: &Row<'_>| from_json::<Run>(0, row.get_ref(0)?.as_str()?);
        let newest = statement.query_row([kind.as_str()], read).optional()?;
        found.extend(newest.and_then(|run| run.completed_at).map(|at| (kind, at)));
    }
    Ok(found)
}

pub(super) fn active(connection: &Connection) -> Result<BTreeMap<TenantId, u32>> {
    connection
        .prepare_cached("SELECT tenant, count(*) FROM export_runs WHERE status = 'running' GROUP BY tenant")?
        .query_map([], |row| Ok((tenant_in(row, 0)?, row.get(1)?)))?
        .collect()
}

/// Writes the run after a step and appends the step's event.
pub(super) fn step(transaction: &Transaction<'_>, before: &Stored, run: &Run, event: &NewEvent) -> Result<()> {
    let ordinal = before.last_ordinal + 1;
    timeline::append(transaction, run, event, ordinal)?;
    transaction
        .prepare_cached(
            "UPDATE export_runs SET document = ?2, last_ordinal = ?3, last_event_at = max(last_event_at, ?4)
             WHERE _id = ?1",
        )?
        .execute(params![run.id.as_str(), document(run)?, ordinal, event.at.as_micros()])?;
    Ok(())
}

pub(super) fn find(connection: &Connection, tenant: &TenantId, id: &RunId) -> Result<Option<Stored>> {
    connection
        .prepare_cached("SELECT document, last_ordinal FROM export_runs WHERE _id = ?1 AND tenant = ?2")?
        .query_row(params![id.as_str(), tenant.as_str()], stored)
        .optional()
}

pub(super) fn by_idempotency_key(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    key: &str,
) -> Result<Option<(Run, String)>> {
    transaction
        .prepare_cached("SELECT document, fingerprint FROM export_runs WHERE tenant = ?1 AND idempotency_key = ?2")?
        .query_row(params![tenant.as_str(), key], |row| Ok((run_in(row, 0)?, row.get(1)?)))
        .optional()
}

/// The run as it is kept: inputs and distributions have rows of their own.
fn document(run: &Run) -> Result<String> {
    to_json(&Run { inputs: Vec::new(), distributions: Vec::new(), ..run.clone() })
}

pub(super) fn stored(row: &Row<'_>) -> Result<Stored> {
    Ok(Stored { run: run_in(row, 0)?, last_ordinal: row.get(1)? })
}

pub(super) fn run_in(row: &Row<'_>, column: usize) -> Result<Run> {
    from_json(column, row.get_ref(column)?.as_str()?)
}

pub(super) fn tenant_in(row: &Row<'_>, column: usize) -> Result<TenantId> {
    row.get_ref(column)?
        .as_str()?
        .parse()
        .map_err(|cause: export_contract::ids::ParseIdError| undecodable(column, cause))
}
