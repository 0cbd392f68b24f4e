//! The audit log: what is written of each request, and `GET /api/export/audit`.
//!
//! A request that changes something is written before it is done, and once more with what came of it before it is
//! answered. A process that stops in between leaves the first, which says so. Downloads and refusals of other requests are
//! written before they are answered; those that repeat within an hour are one entry.

mod actions;
mod page;
mod recent;

use std::fmt;
use std::sync::Arc;

use export_contract::approval::RunApproval;
use export_contract::audit::{AuditAction, AuditEntry, AuditOutcome};
use export_contract::{ErrorCode, Version};
use export_runs::AuditStore;
use http::{Method, StatusCode, header};
use warp::reply::Response;

pub(crate) use self::actions::{Manner, of};
pub(crate) use self::page::{AuditPage, routes};
use self::recent::{Recent, hourly};
use crate::problem::Problem;
use crate::state::Gateway;
use crate::visit::{Visit, Who};

/// The audit log as the gateway writes it.
#[derive(Clone)]
pub struct Audit {
    store: Arc<dyn AuditStore>,
    recent: Arc<Recent>,
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

impl Audit {
    /// A log in a store.
    pub fn new(store: Arc<dyn AuditStore>) -> Self {
        Self { store, recent: Arc::default() }
    }

    async fn write(&self, entry: &AuditEntry) -> Result<(), Problem> {
        self.store.note(entry).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, action = %entry.action, "the audit log cannot be written");
            Problem::new(ErrorCode::Unavailable, "the audit log cannot be written; nothing is done without it, try again")
        })
    }

    /// Writes an entry of which there is one an hour.
    async fn write_hourly(&self, entry: AuditEntry) -> Result<(), Problem> {
        let entry = AuditEntry { id: hourly(&entry), ..entry };
        if self.recent.has(&entry.id) {
            return Ok(());
        }
        self.write(&entry).await?;
        self.recent.add(entry.id);
        Ok(())
    }
}

/// Writes what is about to be done, where that changes something.
///
/// # Errors
/// When it cannot be written: then it must not be done.
pub(crate) async fn begun(gateway: &Gateway, visit: &Visit) -> Result<(), Problem> {
    let (Some((action, Manner::Changes, object)), Some(who)) = (of(&visit.method, &visit.path), visit.noted().who)
    else {
        return Ok(());
    };
    gateway.audit.write(&entry(visit, who, action, object, AuditOutcome::Begun)).await?;
    visit.note(|noted| noted.begun = Some(action));
    Ok(())
}

/// Writes that an approval lets the request's run read the evidence of other tenants, before there is such a run.
///
/// # Errors
/// When it cannot be written: then there must not be one.
pub(crate) async fn approved(gateway: &Gateway, visit: &Visit, approval: &RunApproval) -> Result<(), Problem> {
    let Some(who) = visit.noted().who else { return Ok(()) };
    let object = format!("approvals/{} of {}", approval.digest, approval.approver);
    let entry = entry(visit, who, AuditAction::ApprovalUsed, object.chars().take(256).collect(), AuditOutcome::Allowed);
    // The request has an entry of its own, under its id.
    gateway.audit.write(&AuditEntry { id: format!("{}-approval", visit.id), ..entry }).await
}

/// Writes what came of a request of a known caller.
///
/// # Errors
/// When something was read that cannot be written down: then it is not given. What was changed was written before.
pub(crate) async fn ended(
    gateway: &Gateway,
    visit: &Visit,
    response: &Response,
    code: Option<ErrorCode>,
) -> Result<(), Problem> {
    let noted = visit.noted();
    let Some(who) = noted.who else { return Ok(()) };
    let status = response.status();
    let outcome = if status.as_u16() < 400 { AuditOutcome::Allowed } else { AuditOutcome::Refused };
    let told = |action, object| AuditEntry {
        status: Some(status.as_u16()),
        error_code: code,
        ..entry(visit, who.clone(), action, object, outcome)
    };
    let known = of(&visit.method, &visit.path);
    if noted.too_many {
        // A flood of requests is no flood of entries.
        let (action, object) = known.map_or((AuditAction::AccessRefused, target(&visit.path)), |(a, _, o)| (a, o));
        return forgiving(gateway.audit.write_hourly(told(action, object)).await);
    }
    match known {
        // What came of a request that failed is not known.
        Some((_, Manner::Changes, _)) if noted.begun.is_some() && status.is_server_error() => Ok(()),
        Some((action, Manner::Changes, object)) => {
            let object = noted.object.or_else(|| made(response)).unwrap_or(object);
            forgiving(gateway.audit.write(&told(action, object)).await)
        }
        Some((action, Manner::Reads, object)) if outcome == AuditOutcome::Refused => {
            forgiving(gateway.audit.write_hourly(told(action, object)).await)
        }
        Some((action, Manner::Reads, object)) if gives(visit, status) => {
            gateway.audit.write_hourly(told(action, object)).await
        }
        None if status == StatusCode::FORBIDDEN => {
            let refused = told(AuditAction::AccessRefused, target(&visit.path));
            forgiving(gateway.audit.write_hourly(refused).await)
        }
        Some(_) | None => Ok(()),
    }
}

/// What was done or refused is done or refused: that it could not be written stands in the log of the process.
fn forgiving(outcome: Result<(), Problem>) -> Result<(), Problem> {
    outcome.or(Ok(()))
}

fn gives(visit: &Visit, status: StatusCode) -> bool {
    visit.method != Method::HEAD && matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT)
}

/// What the request made, by the address that its answer names.
fn made(response: &Response) -> Option<String> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    response.status().is_success().then(|| target(location))
}

/// A path as an object: below the API, and of bounded length.
fn target(path: &str) -> String {
    let path = path.strip_prefix("/api/export/").unwrap_or(path);
    path.trim_matches('/').chars().take(256).collect()
}

fn entry(visit: &Visit, who: Who, action: AuditAction, object: String, outcome: AuditOutcome) -> AuditEntry {
    AuditEntry {
        v: Version,
        id: visit.id.to_string(),
        tenant: who.tenant,
        at: visit.at,
        action,
        actor: who.actor,
        token_id: who.token_id,
        object,
        outcome,
        error_code: None,
        status: None,
        remote: visit.peer.map(|peer| peer.to_canonical().to_string()),
        correlation_id: Some(visit.correlation_id.clone()),
    }
}
