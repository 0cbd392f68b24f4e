//! `/api/export/runs`.

use std::collections::BTreeMap;

use export_authority::Scope;
use export_canon::digesting::sha256;
use export_contract::message::Distribution;
use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunOptions, RunProgress, RunStatus};
use export_contract::selectors::{SelectorError, SelectorRequest};
use export_contract::{ErrorCode, Generation, RunId, Version};
use export_runs::{CancelOutcome, CreateOutcome, RunFilter, find_base};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use warp::reply::Response;

use crate::authenticate::{Session, session};
use crate::problem::{FieldError, Problem};
use crate::profiles;
use crate::request::{Incoming, parse_json};
use crate::routes::json_response;
use crate::state::{Gateway, new_id, now};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewRun {
    profile_id: String,
    #[serde(default)]
    selectors: SelectorRequest,
    #[serde(default)]
    options: RunOptions,
}

/// A run as the API shows it, with the addresses that belong to it.
#[derive(Serialize)]
struct RunView {
    #[serde(flatten)]
    run: Run,
    links: BTreeMap<&'static str, String>,
}

/// Longest `Idempotency-Key`.
const MAX_KEY: usize = 255;

pub(crate) async fn create(gateway: &Gateway, mut request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Run).await?;
    let key = idempotency_key(&request)?;
    let media = request.header("content-type").is_some_and(|media| media.contains("json"));
    if !media {
        return Err(Problem::new(ErrorCode::UnsupportedMedia, "the body must be `application/json`"));
    }
    let body = request.bytes(gateway.limits.body_bytes).await?;
    let wanted: NewRun = parse_json(&body)?;
    let profile = profiles::find(gateway, &session, &wanted.profile_id, None).await?;
    if !gateway.supported.contains(&profile.kind) {
        return Err(Problem::new(
            ErrorCode::ProfileUnsupported,
            format!("no adapter of this deployment makes `{}`", profile.kind),
        ));
    }
    let requested_at = now();
    let selectors = wanted.selectors.resolve(&session.tenant, requested_at).map_err(|faults| {
        let errors = faults.into_iter().map(|SelectorError { path, problem }| FieldError { path, problem }).collect();
        Problem::new(ErrorCode::InvalidSelector, "the selectors are not valid").with_errors(errors)
    })?;
    let options = options(gateway, &session, profile.kind, wanted.options).await?;
    let id = new_id();
    let run = Run {
        v: Version,
        id: id.clone(),
        tenant: session.tenant.clone(),
        profile_id: profile.id.clone(),
        profile_revision: profile.revision,
        profile_kind: profile.kind,
        selectors,
        options,
        requested_by: session.caller.subject.clone(),
        requested_at,
        correlation_id: correlation(&request).unwrap_or_else(|| id.to_string()),
        status: RunStatus::Pending,
        generation: Generation::FIRST,
        phase: None,
        started_at: None,
        completed_at: None,
        duration_ms: None,
        error_code: None,
        error_message: None,
        policy_snapshot_id: None,
        progress: RunProgress::default(),
        base: None,
        bundle: None,
        expiry: None,
        inputs: Vec::new(),
        distributions: Vec::new(),
    };
    let fingerprint = sha256(&body).hex();
    let run = match gateway.runs.create_run(&run, key.as_deref().map(|key| (key, fingerprint.as_str()))).await? {
        CreateOutcome::Created(run) | CreateOutcome::Existing(run) => run,
        CreateOutcome::Conflict => {
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
    Ok(response)
}

/// Judges the base of a delta and names it by its run: a digest may later be that of another run as well (design D25).
async fn options(
    gateway: &Gateway,
    session: &Session,
    kind: ProfileKind,
    mut options: RunOptions,
) -> Result<RunOptions, Problem> {
    let at_base = |code, problem: String| {
        let errors = vec![FieldError { path: "options.baseExportId".to_owned(), problem: problem.clone() }];
        Problem::new(code, problem).with_errors(errors)
    };
    if kind != ProfileKind::MirrorDelta {
        if options.base_export_id.is_some() || options.reset_baseline {
            let problem = format!("only `mirror:delta` builds upon a base, the profile is `{kind}`");
            return Err(at_base(ErrorCode::InvalidRequest, problem));
        }
        return Ok(options);
    }
    let Some(name) = options.base_export_id.take() else {
        let problem = "a delta needs a base: the id of a run that made a mirror, or the digest of its export.json; \
                       or set options.resetBaseline";
        return if options.reset_baseline {
            Ok(options)
        } else {
            Err(at_base(ErrorCode::BaseMissing, problem.to_owned()))
        };
    };
    if options.reset_baseline {
        let problem = "a delta that resets the baseline builds upon nothing: leave out one of the two".to_owned();
        return Err(at_base(ErrorCode::InvalidRequest, problem));
    }
    let Some(base) = find_base(&*gateway.runs, &session.tenant, &name).await? else {
        let problem = format!("tenant `{}` has no finished mirror `{name}`", session.tenant);
        return Err(at_base(ErrorCode::BaseMissing, problem));
    };
    if let Some(expiry) = base.expiry {
        let problem = format!(
            "run `{}`, which made this mirror, is no longer kept: its retention ended at {}; name a later one, or set \
             options.resetBaseline",
            base.id, expiry.since
        );
        return Err(at_base(ErrorCode::BaseMissing, problem));
    }
    if base.bundle.is_none_or(|bundle| bundle.state_digest.is_none()) {
        let problem = format!("run `{}` made `{}`, a delta builds upon a mirror", base.id, base.profile_kind);
        return Err(at_base(ErrorCode::BaseMismatch, problem));
    }
    options.base_export_id = Some(base.id.to_string());
    Ok(options)
}

pub(crate) async fn list(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let Session { tenant, .. } = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["status", "profile", "cursor", "limit"])?;
    let bad = |name: &str, problem: String| {
        Problem::new(ErrorCode::InvalidRequest, format!("query parameter `{name}` is not valid"))
            .with_errors(vec![FieldError { path: name.to_owned(), problem }])
    };
    let limit = match query.get("limit") {
        None => 50,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=200).contains(limit))
            .ok_or_else(|| bad("limit", format!("`{text}` is not a number from 1 to 200")))?,
    };
    let filter = RunFilter {
        status: query
            .get("status")
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: export_contract::run::UnknownStatus| bad("status", error.to_string()))?,
        profile: query
            .get("profile")
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: export_contract::ids::ParseIdError| bad("profile", error.to_string()))?,
        before: query
            .get("cursor")
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: export_contract::ids::ParseIdError| bad("cursor", error.to_string()))?,
        limit,
    };
    let page = gateway.runs.runs(&tenant, &filter).await?;
    let next = page.runs.last().filter(|_| page.more).map(|run| run.id.to_string());
    let runs: Vec<RunView> = page.runs.into_iter().map(view).collect();
    let mut response = json_response(StatusCode::OK, &serde_json::json!({ "runs": runs, "nextCursor": next }));
    if let Some(next) = next
        && let Ok(link) =
            HeaderValue::from_str(&format!("</api/export/runs?cursor={next}&limit={limit}>; rel=\"next\""))
    {
        response.headers_mut().insert(http::header::LINK, link);
    }
    Ok(response)
}

pub(crate) async fn show(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    let run = find(gateway, &session, id).await?;
    Ok(json_response(StatusCode::OK, &view(run)))
}

pub(crate) async fn cancel(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Run).await?;
    let absent = || not_found(id, &session);
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

fn not_found(id: &str, session: &Session) -> Problem {
    Problem::new(ErrorCode::RunNotFound, format!("no run `{id}` for tenant `{}`", session.tenant))
}

fn view(mut run: Run) -> RunView {
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
    run.distributions.sort_by(|a: &Distribution, b| (a.kind, &a.location).cmp(&(b.kind, &b.location)));
    RunView { run, links }
}

fn idempotency_key(request: &Incoming) -> Result<Option<String>, Problem> {
    let Some(key) = request.header("idempotency-key") else {
        return Ok(None);
    };
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Problem::new(
            ErrorCode::InvalidRequest,
            format!("Idempotency-Key must have 1 to {MAX_KEY} characters"),
        ));
    }
    Ok(Some(key.to_owned()))
}

/// The client's own correlation id, where it sends one that can stand in logs.
fn correlation(request: &Incoming) -> Option<String> {
    request
        .header("x-correlation-id")
        .filter(|id| {
            (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        })
        .map(str::to_owned)
}
