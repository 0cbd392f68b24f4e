//! `POST /api/export/runs/{id}/replay`: a run that failed or was cancelled goes on in a new generation.

use export_authority::Scope;
use export_blobs::Workspace;
use export_contract::ErrorCode;
use export_contract::Generation;
use export_contract::run::{Phase, Replay, Run, RunRef, RunStatus};
use export_runs::{ReplayOutcome, ReplayWanted, Replayed};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use warp::reply::Response;

use crate::authenticate::{Session, session};
use crate::idempotency::{Asked, Repeated, once};
use crate::problem::Problem;
use crate::quota;
use crate::request::{Incoming, parse_json};
use crate::routes::json_response;
use crate::runs::{find, not_found, view};
use crate::state::{Gateway, now};
use crate::visit::Visit;

/// How a run is to be replayed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NewReplay {
    /// The first stage that is done again, with all that follow. Left out: the run goes on with the results that there are.
    from: Option<Phase>,
}

pub(crate) async fn create(gateway: &Gateway, id: &str, mut request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Run).await?;
    request.query(&[])?;
    let body = request.json_bytes(gateway.limits.body_bytes).await?;
    let asked = Asked { operation: "replayRun", target: id, body: &body };
    let work = async {
        let NewReplay { from } = parse_json(&body)?;
        let run = find(gateway, &session, id).await?;
        replay(gateway, &session, &request.visit, run, from).await
    };
    once(gateway, &session, &request, asked, Repeated::Same, work).await
}

/// Replays a run as it was read: of two that ask at once one does it.
pub(crate) async fn replay(
    gateway: &Gateway,
    session: &Session,
    visit: &Visit,
    run: Run,
    from: Option<Phase>,
) -> Result<Response, Problem> {
    fits(&run)?;
    let at = now();
    // What was approved was approved for a time, and a replay that reads anew asks anew.
    let reads = from.is_none_or(|from| from <= Phase::Adapt);
    if reads && run.approval.as_ref().is_some_and(|approval| approval.expires_at <= at) {
        let detail = "the approval that lets the run read the evidence of other tenants has expired: submit a new run with a new one";
        return Err(Problem::new(ErrorCode::ApprovalInvalid, detail));
    }
    let before = run.reference();
    let of = results(gateway, &run, from).await?;
    let by = session.caller.subject.clone();
    let wanted = ReplayWanted { run: before.clone(), replay: Replay { from, of }, by: by.clone(), at };
    let quotas = gateway.quotas.of(&session.tenant);
    let Replayed { outcome, runs_today } = gateway.runs.replay_run(&wanted, quotas).await?;
    let run = match outcome {
        ReplayOutcome::Replayed(run) => run,
        ReplayOutcome::Unfit(run) => {
            fits(&run)?;
            return Err(conflict(&run, "was replayed by another request"));
        }
        ReplayOutcome::Refused(exceeded) => return Err(quota::refusal(quotas, exceeded, runs_today, at)),
        ReplayOutcome::NotFound => return Err(not_found(run.id.as_str(), session)),
    };
    visit.note(|noted| noted.object = Some(format!("runs/{}/generations/{}", run.id, run.generation.0)));
    // Hints, all three: whoever misses one meets the ledger's word at the next step.
    if let Err(error) = gateway.queue.cancelled(&before, &by).await {
        tracing::warn!(run = %before, error = &error as &dyn std::error::Error, "workers of an earlier generation are not told to stop");
    }
    if let Err(error) = gateway.queue.requested(&run.reference()).await {
        tracing::warn!(run_id = %run.id, error = &error as &dyn std::error::Error, "request hint not published");
    }
    gateway.queue.recorded(&run.tenant, &run.id).await;
    tracing::info!(run_id = %run.id, tenant = %run.tenant, generation = %run.generation, from = from.map(tracing::field::display), "run replayed");
    let mut response = json_response(StatusCode::ACCEPTED, &view(run.clone()));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/export/runs/{}", run.id)) {
        response.headers_mut().insert(http::header::LOCATION, location);
    }
    let headers = quota::headers(quotas, runs_today, at);
    response.headers_mut().extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
    Ok(response)
}

/// Whether the run is in a state to be replayed, by the reason why not.
fn fits(run: &Run) -> Result<(), Problem> {
    if let Some(expiry) = run.expiry {
        let detail = format!(
            "run `{}` is no longer kept: its retention ended at {}, and its results with it; submit a new run",
            run.id, expiry.since
        );
        return Err(Problem::new(ErrorCode::Pruned, detail));
    }
    match run.status {
        RunStatus::Failed | RunStatus::Aborted => Ok(()),
        RunStatus::Pending | RunStatus::Running => Err(conflict(run, "has not ended; cancel it first")),
        RunStatus::Succeeded => {
            Err(conflict(run, "has its bundle, which stays as it is; submit a new run for another"))
        }
    }
}

fn conflict(run: &Run, why: &str) -> Problem {
    Problem::new(ErrorCode::RunConflict, format!("run `{}` {why}", run.id))
}

/// The newest generation with results that the next one can begin with.
async fn results(gateway: &Gateway, run: &Run, from: Option<Phase>) -> Result<Generation, Problem> {
    // Each result is built on the one before, so the last one that is needed tells.
    let last = match from {
        None => Some(Phase::Plan),
        Some(from) => Phase::ALL.into_iter().rfind(|phase| *phase < from),
    };
    let Some(last) = last else { return Ok(run.generation) };
    for generation in (1..=run.generation.0).rev().map(Generation) {
        let corner = Workspace::new(gateway.blobs.clone(), RunRef { generation, ..run.reference() });
        if gateway.blobs.head(&corner.result_key(last, None)).await?.is_some() {
            return Ok(generation);
        }
    }
    match from {
        None => Ok(run.generation),
        Some(from) => Err(conflict(
            run,
            &format!(
                "cannot begin at `{from}`: `{last}` has no result; name an earlier stage, or none to go on where it ended"
            ),
        )),
    }
}
