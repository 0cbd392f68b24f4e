//! Quotas: a run is counted in the transaction that writes it.

use std::collections::BTreeMap;

use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunRef};
use export_contract::{TenantId, Timestamp};
use export_sqlite::rusqlite::{Connection, OptionalExtension as _, Result, Transaction, params};

use super::{from_json, runs, to_json};
use crate::fold;
use crate::quota::{Day, Exceeded, Quotas, SlotCaps, SubmitOutcome, Submitted, Tally, Usage};
use crate::revision::Illegal;
use crate::store::{CreateOutcome, ReplayOutcome, ReplayWanted, Replayed};

pub(super) fn submit(
    transaction: &Transaction<'_>,
    run: Run,
    idempotency: Option<&(String, String)>,
    quotas: &Quotas,
) -> Result<std::result::Result<Submitted, Illegal>> {
    let tally = tally(transaction, &run.tenant, run.requested_at)?;
    let told = |outcome, tally: Tally| Ok(Ok(Submitted { outcome, runs_today: tally.runs }));
    if let Some((key, fingerprint)) = idempotency
        && let Some((existing, known)) = runs::by_idempotency_key(transaction, &run.tenant, key)?
    {
        // It counted when it was written.
        let same = known == *fingerprint;
        return told(if same { SubmitOutcome::Existing(existing) } else { SubmitOutcome::Conflict }, tally);
    }
    if let Some(exceeded) = refusal(transaction, &run.tenant, quotas, tally)? {
        return told(SubmitOutcome::Refused(exceeded), tally);
    }
    let tenant = run.tenant.clone();
    let run = match runs::create(transaction, run, idempotency)? {
        Ok(CreateOutcome::Created(run)) => run,
        Ok(CreateOutcome::Existing(run)) => return told(SubmitOutcome::Existing(run), tally),
        Ok(CreateOutcome::Conflict) => return told(SubmitOutcome::Conflict, tally),
        Err(illegal) => return Ok(Err(illegal)),
    };
    told(SubmitOutcome::Created(run), count_one(transaction, &tenant, tally)?)
}

/// The next generation of a run, counted as a run of the day in the transaction that makes it.
pub(super) fn replay(transaction: &Transaction<'_>, wanted: &ReplayWanted, quotas: &Quotas) -> Result<Replayed> {
    let RunRef { tenant, run: id, generation } = &wanted.run;
    let tally = tally(transaction, tenant, wanted.at)?;
    let told = |outcome, tally: Tally| Ok(Replayed { outcome, runs_today: tally.runs });
    let Some(before) = runs::find(transaction, tenant, id)? else { return told(ReplayOutcome::NotFound, tally) };
    let next = fold::replayed(&before.run, wanted.replay, &wanted.by, wanted.at);
    let Some((run, event)) = next.filter(|_| before.run.generation == *generation) else {
        return told(ReplayOutcome::Unfit(before.run), tally);
    };
    if let Some(exceeded) = refusal(transaction, tenant, quotas, tally)? {
        return told(ReplayOutcome::Refused(exceeded), tally);
    }
    runs::step(transaction, &before, &run, &event)?;
    for table in ["export_inputs", "export_distributions"] {
        // They say what the run's generation read and where its bundle is.
        transaction.prepare_cached(&format!("DELETE FROM {table} WHERE run_id = ?1"))?.execute(params![id.as_str()])?;
    }
    transaction.prepare_cached("UPDATE export_runs SET announced = 0 WHERE _id = ?1")?.execute(params![id.as_str()])?;
    told(ReplayOutcome::Replayed(run), count_one(transaction, tenant, tally)?)
}

/// Counts one run more.
fn count_one(transaction: &Transaction<'_>, tenant: &TenantId, tally: Tally) -> Result<Tally> {
    let counted = tally.counted();
    transaction
        .prepare_cached(
            "INSERT INTO export_quota_days (tenant, day, runs) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant, day) DO UPDATE SET runs = excluded.runs",
        )?
        .execute(params![tenant.as_str(), counted.day.0, counted.runs])?;
    transaction
        .prepare_cached("DELETE FROM export_quota_days WHERE tenant = ?1 AND day < ?2")?
        .execute(params![tenant.as_str(), counted.day.0 - 1])?;
    Ok(counted)
}

fn refusal(connection: &Connection, tenant: &TenantId, quotas: &Quotas, tally: Tally) -> Result<Option<Exceeded>> {
    if let Some(exceeded) = quotas.refuses_runs(tally) {
        return Ok(Some(exceeded));
    }
    if quotas.pending_runs.is_some()
        && let Some(exceeded) = quotas.refuses_pending(count(connection, tenant, "pending")?)
    {
        return Ok(Some(exceeded));
    }
    if quotas.bytes_per_day.is_some() {
        return Ok(quotas.refuses_bytes(bytes_since(connection, tenant, tally.day)?, tally));
    }
    Ok(None)
}

pub(super) fn usage(connection: &Connection, tenant: &TenantId, now: Timestamp) -> Result<Usage> {
    let tally = tally(connection, tenant, now)?;
    Ok(Usage {
        active_runs: count(connection, tenant, "running")?,
        pending_runs: count(connection, tenant, "pending")?,
        runs_today: tally.runs,
        bytes_today: bytes_since(connection, tenant, tally.day)?,
    })
}

fn tally(connection: &Connection, tenant: &TenantId, now: Timestamp) -> Result<Tally> {
    let last = connection
        .prepare_cached("SELECT day, runs FROM export_quota_days WHERE tenant = ?1 ORDER BY day DESC LIMIT 1")?
        .query_row(params![tenant.as_str()], |row| Ok(Tally { day: Day(row.get(0)?), runs: row.get(1)? }))
        .optional()?;
    Ok(Tally::at(last, now))
}

fn count(connection: &Connection, tenant: &TenantId, status: &str) -> Result<u32> {
    connection
        .prepare_cached("SELECT count(*) FROM export_runs WHERE tenant = ?1 AND status = ?2")?
        .query_row(params![tenant.as_str(), status], |row| row.get(0))
}

/// Bytes of the bundles of runs that ended on `day` or later. Dates are compared as text, which is their order.
fn bytes_since(connection: &Connection, tenant: &TenantId, day: Day) -> Result<u64> {
    let begin = day.begin();
    let date: String = begin.to_string().chars().take(10).collect();
    let bytes: i64 = connection
        .prepare_cached(
            "SELECT coalesce(sum(document ->> '$.bundle.bytes'), 0) FROM export_runs
             WHERE tenant = ?1 AND status = 'succeeded' AND last_event_at >= ?2
               AND substr(completed_at, 1, 10) >= ?3 AND document ->> '$.bundle.refreshes' IS NULL",
        )?
        .query_row(params![tenant.as_str(), begin.as_micros(), date], |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Running runs of a tenant, by kind.
pub(super) fn running(connection: &Connection, tenant: &TenantId) -> Result<BTreeMap<ProfileKind, u32>> {
    connection
        .prepare_cached(
            "SELECT document -> '$.profileKind', count(*) FROM export_runs
             WHERE tenant = ?1 AND status = 'running' GROUP BY 1",
        )?
        .query_map(params![tenant.as_str()], |row| Ok((from_json(0, row.get_ref(0)?.as_str()?)?, row.get(1)?)))?
        .collect()
}

/// The oldest pending run of a kind that has a free slot.
pub(super) fn oldest_pending(
    connection: &Connection,
    tenant: &TenantId,
    caps: &SlotCaps,
    running: &BTreeMap<ProfileKind, u32>,
) -> Result<Option<runs::Stored>> {
    connection
        .prepare_cached(
            "SELECT document, last_ordinal FROM export_runs
             WHERE tenant = ?1 AND status = 'pending'
               AND document ->> '$.profileKind' NOT IN (SELECT value FROM json_each(?2))
             ORDER BY _id LIMIT 1",
        )?
        .query_row(params![tenant.as_str(), to_json(&caps.full_kinds(running))?], runs::stored)
        .optional()
}
