//! What belongs to a run in rows of its own: events, inputs, distributions.

use export_contract::event::{EventType, RunEvent};
use export_contract::message::{Distribution, InputRange};
use export_contract::run::{Phase, Run};
use export_contract::{PartIndex, RunId, TenantId};
use export_sqlite::rusqlite::types::Type;
use export_sqlite::rusqlite::{Connection, Error, OptionalExtension as _, Result, Row, Transaction, params};
use export_sqlite::undecodable;

use super::{from_json, to_json};
use crate::fold::{sort_distributions, sort_inputs};
use crate::store::NewEvent;

pub(super) fn read(
    connection: &Connection,
    tenant: &TenantId,
    id: &RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<RunEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT ordinal, event_type, phase, message, at, metrics, actor FROM export_events
         WHERE run_id = ?1 AND ordinal > ?2 AND EXISTS (SELECT 1 FROM export_runs WHERE _id = ?1 AND tenant = ?3)
         ORDER BY ordinal LIMIT ?4",
    )?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![id.as_str(), after, tenant.as_str(), limit], |row| {
        Ok(RunEvent {
            ordinal: unsigned(row, 0)?,
            run_id: id.clone(),
            event_type: event_type(row, 1)?,
            phase: row.get::<_, Option<String>>(2)?.map(|text| parsed(2, &text)).transpose()?,
            message: row.get(3)?,
            at: parsed(4, row.get_ref(4)?.as_str()?)?,
            metrics: from_json(5, row.get_ref(5)?.as_str()?)?,
            actor: row.get(6)?,
        })
    })?;
    rows.collect()
}

pub(super) fn has_fact(transaction: &Transaction<'_>, run: &RunId, fact: &str) -> Result<bool> {
    transaction
        .prepare_cached("SELECT 1 FROM export_events WHERE run_id = ?1 AND fact = ?2")?
        .query_row(params![run.as_str(), fact], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

pub(super) fn append(transaction: &Transaction<'_>, run: &Run, event: &NewEvent, ordinal: i64) -> Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO export_events (run_id, ordinal, fact, event_type, phase, message, at, metrics, actor)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            run.id.as_str(),
            ordinal,
            event.key,
            event.event_type.as_str(),
            event.phase.map(Phase::as_str),
            event.message,
            event.at.to_string(),
            to_json(&event.metrics)?,
            event.actor,
        ])?;
    Ok(())
}

pub(super) fn put_inputs(transaction: &Transaction<'_>, run: &RunId, inputs: &[InputRange]) -> Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO export_inputs (run_id, part, kind, source, cursor, count, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for input in inputs {
        statement.execute(params![
            run.as_str(),
            input.part.0,
            input.kind.as_str(),
            input.source,
            to_json(&input.cursor)?,
            signed(input.count)?,
            input.hash.as_str(),
        ])?;
    }
    Ok(())
}

pub(super) fn inputs(connection: &Connection, run: &RunId) -> Result<Vec<InputRange>> {
    let mut statement = connection
        .prepare_cached("SELECT part, kind, source, cursor, count, hash FROM export_inputs WHERE run_id = ?1")?;
    let rows = statement.query_map(params![run.as_str()], |row| {
        Ok(InputRange {
            part: PartIndex(row.get(0)?),
            kind: parsed(1, row.get_ref(1)?.as_str()?)?,
            source: row.get(2)?,
            cursor: from_json(3, row.get_ref(3)?.as_str()?)?,
            count: unsigned(row, 4)?,
            hash: parsed(5, row.get_ref(5)?.as_str()?)?,
        })
    })?;
    let mut inputs = rows.collect::<Result<Vec<_>>>()?;
    sort_inputs(&mut inputs);
    Ok(inputs)
}

pub(super) fn put_distributions(transaction: &Transaction<'_>, run: &RunId, rows: &[Distribution]) -> Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO export_distributions
         (run_id, type, location, sha256, size_bytes, expires_at, tags, locked_until, pruned_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for row in rows {
        statement.execute(params![
            run.as_str(),
            row.kind.as_str(),
            row.location,
            row.sha256.as_str(),
            signed(row.size_bytes)?,
            row.expires_at.map(|at| at.to_string()),
            to_json(&row.tags)?,
            row.locked_until.map(|at| at.to_string()),
            row.pruned_at.map(|at| at.to_string()),
        ])?;
    }
    Ok(())
}

pub(super) fn distributions(connection: &Connection, run: &RunId) -> Result<Vec<Distribution>> {
    let mut statement = connection.prepare_cached(
        "SELECT type, location, sha256, size_bytes, expires_at, tags, locked_until, pruned_at
         FROM export_distributions WHERE run_id = ?1",
    )?;
    let time =
        |row: &Row<'_>, column| row.get::<_, Option<String>>(column)?.map(|text| parsed(column, &text)).transpose();
    let rows = statement.query_map(params![run.as_str()], |row| {
        Ok(Distribution {
            kind: named(0, row.get_ref(0)?.as_str()?)?,
            location: row.get(1)?,
            sha256: parsed(2, row.get_ref(2)?.as_str()?)?,
            size_bytes: unsigned(row, 3)?,
            expires_at: time(row, 4)?,
            tags: from_json(5, row.get_ref(5)?.as_str()?)?,
            locked_until: time(row, 6)?,
            pruned_at: time(row, 7)?,
        })
    })?;
    let mut distributions = rows.collect::<Result<Vec<_>>>()?;
    sort_distributions(&mut distributions);
    Ok(distributions)
}

/// Reads text by the type's own parser.
fn parsed<T>(column: usize, text: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    text.parse().map_err(|cause: T::Err| undecodable(column, cause))
}

/// Reads a name of an enumeration as serde writes it.
fn named<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> Result<T> {
    use serde::de::IntoDeserializer as _;
    let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(text).map_err(|cause| undecodable(column, cause))
}

fn event_type(row: &Row<'_>, column: usize) -> Result<EventType> {
    named(column, row.get_ref(column)?.as_str()?)
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|cause| Error::FromSqlConversionFailure(column, Type::Integer, Box::new(cause)))
}

/// SQLite's integers are signed; a count beyond 2^63 is refused rather than wrapped.
fn signed(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|cause| Error::ToSqlConversionFailure(Box::new(cause)))
}
