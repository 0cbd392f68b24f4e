//! `/api/export/runs`.

use std::collections::{BTreeMap, BTreeSet};

use export_authority::{ApprovalWanted as Wanted, Scope};
use export_canon::digesting::sha256;
use export_contract::approval::RunApproval;
use export_contract::message::Distribution;
use export_contract::run::{Run, RunOptions, RunStatus};
use export_contract::selectors::SelectorRequest;
use export_contract::{ErrorCode, RunId, TenantId, Timestamp};
use export_runs::schedule::KEY_PREFIX;
use export_runs::submit::{self, RunRequester, RunWanted};
use export_runs::{CancelOutcome, RunFilter, SubmitOutcome, Submitted};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use warp::reply::Response;

use crate::audit;
use crate::authenticate::{Session, session};
use crate::idempotency::{Asked, Repeated, key, once};
use crate::problem::{FieldError, Problem};
use crate::quota;
use crate::request::{Incoming, bad_parameter, parse_json};
use crate::routes::json_response;
use crate::state::{Gateway, new_id, now};
use crate::visit::correlation;

/// A run that somebody wants.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewRun {
    /// The profile, its newest revision; `json:raw` is taken for `json-raw`.
    profile_id: String,
    #[serde(default)]
    selectors: SelectorRequest,
    #[serde(default)]
    options: RunOptions,
    /// What lets it read the evidence of other tenants: a DSSE envelope.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    approval: Option<Box<RawValue>>,
}

/// The approval of a run and the other tenants whose evidence it permits to read.
type Approved = Option<(RunApproval, BTreeSet<TenantId>)>;

/// A run as the API shows it, with the addresses that belong to it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RunView {
    #[serde(flatten)]
    run: Run,
    /// Paths on the gateway.
    links: BTreeMap<&'static str, String>,
}

/// One page of runs.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunPage {
    runs: Vec<RunView>,
    /// Begins the next page; absent at the end.
    next_cursor: Option<String>,
}

pub(crate) async fn create(gateway: &Gateway, mut request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Run).await?;
    request.query(&[])?;
    let key = run_key(&request)?;
    let body = request.json_bytes(gateway.limits.body_bytes).await?;
    let wanted: NewRun = parse_json(&body)?;
    let requested_at = now();
    let id = new_id();
    let approved = approved(gateway, &session, &wanted, requested_at)?;
    if let Some((approval, _)) = &approved {
        audit::approved(gateway, &request.visit, approval).await?;
    }
    let prepared = RunWanted {
        tenant: &session.tenant,
        profile: &wanted.profile_id,
        selectors: &wanted.selectors,
        options: &wanted.options,
        until: requested_at,
        approved,
    };
    let run = submit::prepare(&*gateway.runs, &gateway.supported, prepared).await?.requested(RunRequester {
        id: id.clone(),
        by: session.caller.subject.clone(),
        at: requested_at,
        correlation_id: correlation(&request.headers).unwrap_or_else(|| id.to_string()),
    });
    let fingerprint = sha256(&body).hex();
    let quotas = gateway.quotas.of(&session.tenant);
    let key = key.as_deref().map(|key| (key, fingerprint.as_str()));
    let Submitted { outcome, runs_today } = gateway.runs.submit_run(&run, key, quotas).await?;
    let run = match outcome {
        SubmitOutcome::Created(run) | SubmitOutcome::Existing(run) => run,
        SubmitOutcome::Refused(exceeded) => return Err(quota::refusal(quotas, exceeded, runs_today, requested_at)),
        SubmitOutcome::Conflict => {
            return Err(Problem::new(
                ErrorCode::IdempotencyMismatch,
                "this Idempotency-Key came with another body before; use a new key for a new run",
            ));
        }
    };
    // The run is written: a hint that gets lost is made up for by the orchestrator's own round.
    if let Err(error) = gateway.queue.requested(&run.reference()).await {
        tracing::warn!(run_id = %run.id, error = &error as &dyn std::error::Error, "request hint not published");
    }
    tracing::info!(run_id = %run.id, tenant = %run.tenant, profile_kind = %run.profile_kind, correlation_id = run.correlation_id, "run submitted");
    let location = format!("/api/export/runs/{}", run.id);
    let mut response = json_response(StatusCode::ACCEPTED, &view(run));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(http::header::LOCATION, location);
    }
    let headers = quota::headers(quotas, runs_today, requested_at);
    response.headers_mut().extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
    Ok(response)
}

/// What an approval that came with the request permits. A request that names other tenants without one is refused for it before the
/// selectors are looked at: what other tenants there are is not for the caller to learn.
fn approved(gateway: &Gateway, session: &Session, wanted: &NewRun, now: Timestamp) -> Result<Approved, Problem> {
    let refuse = |detail: String| {
        tracing::warn!(tenant = %session.tenant, actor = session.caller.subject, detail, "cross-tenant export refused");
        let faults = vec![FieldError { path: "approval".to_owned(), problem: detail.clone() }];
        Problem::new(ErrorCode::ApprovalInvalid, detail).with_errors(faults)
    };
    let Some(envelope) = &wanted.approval else {
        return match wanted.selectors.others(&session.tenant).next() {
            None => Ok(None),
            Some(other) => Err(refuse(format!(
                "`{other}` is another tenant: its evidence is exported with a signed approval only"
            ))),
        };
    };
    let asked = Wanted { tenant: &session.tenant, profile: &wanted.profile_id, selectors: &wanted.selectors };
    let (approval, tenants) =
        gateway.approvers.check(envelope.get(), asked, now).map_err(|refused| refuse(refused.to_string()))?;
    tracing::info!(tenant = %session.tenant, actor = session.caller.subject, approver = approval.approver, approval = %approval.digest, "cross-tenant export approved");
    Ok(Some((approval, tenants)))
}

pub(crate) async fn list(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let Session { tenant, .. } = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["status", "profile", "cursor", "limit"])?;
    let limit = Incoming::page_limit(&query)?;
    let filter = RunFilter {
        status: query
            .get("status")
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: export_contract::run::UnknownStatus| bad_parameter("status", error.to_string()))?,
        profile: query
            .get("profile")
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: export_contract::ids::ParseIdError| bad_parameter("profile", error.to_string()))?,
        before: query
            .get("cursor")
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: export_contract::ids::ParseIdError| bad_parameter("cursor", error.to_string()))?,
        limit,
    };
    let page = gateway.runs.runs(&tenant, &filter).await?;
    let next = page.runs.last().filter(|_| page.more).map(|run| run.id.to_string());
    let runs: Vec<RunView> = page.runs.into_iter().map(view).collect();
    let mut response = json_response(StatusCode::OK, &RunPage { runs, next_cursor: next.clone() });
    if let Some(next) = next {
        let mut address = format!("/api/export/runs?cursor={next}&limit={limit}");
        for name in ["status", "profile"] {
            if let Some(value) = query.get(name) {
                address = format!("{address}&{name}={value}");
            }
        }
        next_page(&mut response, &address);
    }
    Ok(response)
}

pub(crate) async fn show(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    request.query(&[])?;
    let mut run = find(gateway, &session, id).await?;
    if run.status == RunStatus::Running {
        // A hint, like everything that is not the ledger's.
        match gateway.feed.waiting(&run.tenant, &run.id).await {
            Ok(waiting) => run.waiting = waiting,
            Err(error) => {
                tracing::debug!(run_id = %run.id, error = &error as &dyn std::error::Error, "not known what it waits for");
            }
        }
    }
    Ok(json_response(StatusCode::OK, &view(run)))
}

pub(crate) async fn cancel(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Run).await?;
    request.query(&[])?;
    let asked = Asked { operation: "cancelRun", target: id, body: &[] };
    once(gateway, &session, &request, asked, Repeated::Same, end(gateway, &session, id)).await
}

async fn end(gateway: &Gateway, session: &Session, id: &str) -> Result<Response, Problem> {
    let absent = || not_found(id, session);
    let parsed: RunId = id.parse().map_err(|_| absent())?;
    match gateway.runs.cancel(&session.tenant, &parsed, &session.caller.subject, now()).await? {
        CancelOutcome::Cancelled(run) | CancelOutcome::AlreadyCancelled(run) => {
            // The ledger says so already; workers that miss this hint meet the ledger's word at their next step.
            if let Err(error) = gateway.queue.cancelled(&run.reference(), &session.caller.subject).await {
                tracing::warn!(run_id = %run.id, error = &error as &dyn std::error::Error, "cancel not published");
            }
            gateway.queue.recorded(&run.tenant, &run.id).await;
            Ok(json_response(StatusCode::OK, &view(run)))
        }
        CancelOutcome::Ended(run) => Err(Problem::new(
            ErrorCode::RunConflict,
            format!("run `{id}` has ended as `{}` and cannot be cancelled", run.status),
        )),
        CancelOutcome::NotFound => Err(absent()),
    }
}

/// The run of the session's tenant, by id.
pub(crate) async fn find(gateway: &Gateway, session: &Session, id: &str) -> Result<Run, Problem> {
    let absent = || not_found(id, session);
    let parsed: RunId = id.parse().map_err(|_| absent())?;
    gateway.runs.run(&session.tenant, &parsed).await?.ok_or_else(absent)
}

pub(crate) fn not_found(id: &str, session: &Session) -> Problem {
    Problem::new(ErrorCode::RunNotFound, format!("no run `{id}` for tenant `{}`", session.tenant))
}

pub(crate) fn view(mut run: Run) -> RunView {
    let base = format!("/api/export/runs/{}", run.id);
    let mut links = BTreeMap::from([
        ("self", base.clone()),
        ("events", format!("{base}/events")),
        ("cancel", format!("{base}/cancel")),
    ]);
    if run.bundle.is_some() && run.expiry.is_none() {
        links.insert("download", format!("{base}/download"));
        links.insert("manifest", format!("{base}/manifest"));
        links.insert("provenance", format!("{base}/provenance"));
    }
    if matches!(run.status, RunStatus::Failed | RunStatus::Aborted) && run.expiry.is_none() {
        links.insert("replay", format!("{base}/replay"));
    }
    run.distributions.sort_by(|a: &Distribution, b| (a.kind, &a.location).cmp(&(b.kind, &b.location)));
    RunView { run, links }
}

/// Names the next page of a list (RFC 8288).
pub(crate) fn next_page(response: &mut Response, address: &str) {
    if let Ok(link) = HeaderValue::from_str(&format!("<{address}>; rel=\"next\"")) {
        response.headers_mut().insert(http::header::LINK, link);
    }
}

fn run_key(request: &Incoming) -> Result<Option<String>, Problem> {
    let key = key(request)?;
    if key.as_ref().is_some_and(|key| key.starts_with(KEY_PREFIX)) {
        let problem = format!("an Idempotency-Key must not begin with `{KEY_PREFIX}`: such are the keys of schedules");
        return Err(Problem::new(ErrorCode::InvalidRequest, problem));
    }
    Ok(key)
}
