//! What the orchestrator writes into the audit log: runs of schedules, and the use of keys.
//!
//! Each entry is written before the step after it, under an id that is made of what it is about: so it is there once,
//! however often the orchestrator comes to it.

use export_contract::audit::{AuditAction, AuditEntry, AuditOutcome};
use export_contract::run::RunRef;
use export_contract::schedule::{DueOutcome, DueRecord, Schedule};
use export_contract::{TenantId, Timestamp, Version};
use export_runs::RunStoreError;

use crate::ports::Ports;

/// The stage signed what a run made.
pub(crate) async fn key_used(ports: &Ports, run: &RunRef, key_id: &str) -> Result<(), RunStoreError> {
    let RunRef { tenant, run, generation } = run;
    let id = format!("key-{run}-{generation}");
    let object = format!("runs/{run}/keys/{key_id}");
    note(ports, AuditEntry { id, ..entry(tenant, ports.now(), AuditAction::KeyUsed, "sign", object) }).await
}

/// A due time came to a run, or to a refusal.
pub(crate) async fn due(ports: &Ports, schedule: &Schedule, record: &DueRecord) -> Result<(), RunStoreError> {
    if matches!(record.outcome, DueOutcome::Skipped | DueOutcome::Missed) {
        return Ok(());
    }
    let object = match &record.run {
        Some(run) => format!("runs/{run}"),
        None => format!("schedules/{}", schedule.id),
    };
    let actor = format!("schedule:{} for {}", schedule.id, schedule.created_by);
    let outcome = if record.run.is_some() { AuditOutcome::Allowed } else { AuditOutcome::Refused };
    let entry = AuditEntry {
        id: format!("due-{}-{}", schedule.id, record.due.as_micros()),
        outcome,
        error_code: record.error_code,
        correlation_id: Some(format!("schedule:{}:{}", schedule.id, record.due)),
        ..entry(&schedule.tenant, record.at, AuditAction::RunSubmitted, &actor, object)
    };
    note(ports, entry).await
}

async fn note(ports: &Ports, entry: AuditEntry) -> Result<(), RunStoreError> {
    match &ports.audit {
        Some(log) => log.note(&entry).await,
        None => Ok(()),
    }
}

fn entry(tenant: &TenantId, at: Timestamp, action: AuditAction, actor: &str, object: String) -> AuditEntry {
    AuditEntry {
        v: Version,
        id: String::new(),
        tenant: tenant.clone(),
        at,
        action,
        actor: actor.to_owned(),
        token_id: None,
        object,
        outcome: AuditOutcome::Allowed,
        error_code: None,
        status: None,
        remote: None,
        correlation_id: None,
    }
}
