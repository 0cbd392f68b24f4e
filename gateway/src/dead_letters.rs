//! `/api/export/dead-letters`: the commands that no stage could do, why, and the way on.

use std::fmt::Write as _;

use export_authority::Scope;
use export_contract::dead_letter::KeptLetter;
use export_contract::{ErrorCode, RunId};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::authenticate::{Session, session};
use crate::idempotency::{Asked, Repeated, once};
use crate::problem::Problem;
use crate::replay;
use crate::request::{Incoming, bad_parameter};
use crate::routes::{answer, call, item, json_response, path, reading, state};
use crate::runs::{find, next_page};
use crate::state::Gateway;

/// One page of letters.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LetterPage {
    letters: Vec<KeptLetter>,
    /// Begins the next page; absent at the end.
    next_cursor: Option<String>,
}

/// The paths of dead letters.
pub(crate) fn routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let list = path(&["api", "export", "dead-letters"])
        .and(warp::path::end())
        .and(reading())
        .and(call(gateway, |g, r| async move { list(&g, r).await }));
    let show = item("dead-letters", "")
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(show(&g, &id, r).await) });
    let again = item("dead-letters", "replay")
        .and(warp::post())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(again(&g, &id, r).await) });
    list.or(show).unify().or(again).unify().boxed()
}

async fn list(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let Session { tenant, .. } = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["run", "cursor", "limit"])?;
    let limit = Incoming::page_limit(&query)?;
    let run: Option<RunId> = query
        .get("run")
        .map(|text| text.parse())
        .transpose()
        .map_err(|error: export_contract::ids::ParseIdError| bad_parameter("run", error.to_string()))?;
    let after: u64 = match query.get("cursor") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| bad_parameter("cursor", format!("`{text}` is no `nextCursor` of an earlier page")))?,
    };
    let most = limit as usize;
    let mut letters = gateway.letters.letters(&tenant, run.as_ref(), after, most + 1).await?;
    let more = letters.len() > most;
    letters.truncate(most);
    let next_cursor = letters.last().filter(|_| more).map(|letter| letter.id.to_string());
    let mut response = json_response(StatusCode::OK, &LetterPage { letters, next_cursor: next_cursor.clone() });
    if let Some(next) = next_cursor {
        let mut address = format!("/api/export/dead-letters?cursor={next}&limit={limit}");
        if let Some(run) = run {
            let _infallible = write!(address, "&run={run}");
        }
        next_page(&mut response, &address);
    }
    Ok(response)
}

async fn show(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    request.query(&[])?;
    Ok(json_response(StatusCode::OK, &letter(gateway, &session, id).await?))
}

/// Replays the letter's run: it keeps the results that there are, so the letter's command is what is done again.
async fn again(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Run).await?;
    request.query(&[])?;
    let asked = Asked { operation: "replayDeadLetter", target: id, body: &[] };
    let work = async {
        let letter = letter(gateway, &session, id).await?;
        let run = find(gateway, &session, letter.run_id.as_str()).await?;
        if run.generation != letter.generation {
            let detail = format!(
                "the letter is of generation {} of run `{}`, which was replayed since and is in generation {}",
                letter.generation.0, run.id, run.generation.0
            );
            return Err(Problem::new(ErrorCode::RunConflict, detail));
        }
        replay::replay(gateway, &session, &request.visit, run, None).await
    };
    once(gateway, &session, &request, asked, Repeated::Same, work).await
}

async fn letter(gateway: &Gateway, session: &Session, id: &str) -> Result<KeptLetter, Problem> {
    let absent = || {
        let detail = format!("no dead letter `{id}` for tenant `{}`; they are kept for 90 days", session.tenant);
        Problem::new(ErrorCode::DeadLetterNotFound, detail)
    };
    // One spelling of each number.
    let number: u64 = id.parse().ok().filter(|number: &u64| number.to_string() == id).ok_or_else(absent)?;
    gateway.letters.letter(&session.tenant, number).await?.ok_or_else(absent)
}
