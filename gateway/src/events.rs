//! `/api/export/runs/{id}/events`: the timeline as it grows, as server-sent events or NDJSON.
//!
//! What has an `id` comes from the run ledger, in order and without gaps; signals from the broker only say when to
//! look. Progress ticks have no `id`, so they never move `Last-Event-ID`.

use std::time::Duration;

use bytes::Bytes;
use export_authority::Scope;
use export_contract::ErrorCode;
use export_contract::event::{ProgressTick, RunEvent};
use export_contract::run::Run;
use export_pipeline::FeedSignal;
use export_runs::RunStoreError;
use futures::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use warp::Reply as _;
use warp::reply::Response;

use crate::authenticate::session;
use crate::metrics::Follower;
use crate::problem::Problem;
use crate::request::Incoming;
use crate::runs::find;
use crate::state::Gateway;

/// Silence after which a comment line is sent, as published.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the ledger is looked at without a signal, in case one was lost.
const LOOK: Duration = Duration::from_secs(2);
const PAGE: u32 = 200;
/// The first line of a stream: milliseconds after which a client that lost it comes back.
pub(crate) const RETRY: &str = "retry: 2000\n\n";
/// What is sent in silence.
pub(crate) const HEARTBEAT_LINE: &str = ": heartbeat\n\n";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    ServerSent,
    NdJson,
}

pub(crate) async fn follow(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["after"])?;
    let run = find(gateway, &session, id).await?;
    let after = match request.header("last-event-id").or(query.get("after").map(String::as_str)) {
        None | Some("") => 0,
        Some(text) => text.parse::<u64>().map_err(|_| {
            Problem::new(
                ErrorCode::InvalidRequest,
                format!("Last-Event-ID `{text}` is not a number of this run's events"),
            )
        })?,
    };
    let form = match request.header("accept") {
        Some(accept) if accept.contains("ndjson") => Form::NdJson,
        _ => Form::ServerSent,
    };
    if is_over(gateway, &run, after).await? {
        // Nothing will ever follow: 204 tells an EventSource to stop coming back.
        let mut response = Response::new(Bytes::new().into());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let place =
        gateway.event_places.clone().try_acquire_owned().map_err(|_| {
            Problem::new(ErrorCode::Unavailable, "all places for followers of events are taken, try again")
        })?;
    let (sender, receiver) = mpsc::channel(64);
    let follower = gateway.metrics.follower(place);
    tokio::spawn(relay(gateway.clone(), run, after, form, sender, follower));
    let mut response = warp::reply::stream(ReceiverStream::new(receiver).map(Ok::<_, std::io::Error>)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static(match form {
            Form::ServerSent => "text/event-stream",
            Form::NdJson => "application/x-ndjson",
        }),
    );
    headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Whether nothing of the run follows behind an event but what retention does later. An end is none where a replay followed.
async fn is_over(gateway: &Gateway, run: &Run, after: u64) -> Result<bool, RunStoreError> {
    let is_there = gateway.runs.run(&run.tenant, &run.id).await?;
    if is_there.is_some_and(|run| !run.status.is_terminal()) {
        return Ok(false);
    }
    let next = gateway.runs.events(&run.tenant, &run.id, after, PAGE).await?;
    Ok(next.iter().all(|event| event.event_type.is_of_retention()))
}

/// Writes the timeline until it ends or the client is gone.
async fn relay(
    gateway: Gateway,
    run: Run,
    mut after: u64,
    form: Form,
    sender: mpsc::Sender<Bytes>,
    _follower: Follower,
) {
    // Follow first, read then: an event between the two is seen by the read.
    let mut signals = match gateway.feed.follow(&run.tenant, &run.id).await {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!(run_id = %run.id, error = &error as &dyn std::error::Error, "following without signals");
            stream::pending().boxed()
        }
    };
    if form == Form::ServerSent && sender.send(Bytes::from_static(RETRY.as_bytes())).await.is_err() {
        return;
    }
    let mut quiet_since = Instant::now();
    let mut at_end = false;
    loop {
        match gateway.runs.events(&run.tenant, &run.id, after, PAGE).await {
            Ok(events) => {
                let full = events.len() == PAGE as usize;
                for event in events {
                    after = event.ordinal;
                    // On no stream, also where a replay followed.
                    if event.event_type.is_of_retention() {
                        continue;
                    }
                    quiet_since = Instant::now();
                    at_end = event.event_type.is_terminal();
                    if sender.send(render_event(&event, form)).await.is_err() {
                        return;
                    }
                    if at_end && matches!(is_over(&gateway, &run, after).await, Ok(true)) {
                        return;
                    }
                }
                if full {
                    continue;
                }
                // The ledger may not have told when it was asked at the end itself.
                if at_end && matches!(is_over(&gateway, &run, after).await, Ok(true)) {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(run_id = %run.id, error = &error as &dyn std::error::Error, "timeline not read");
            }
        }
        let look_again = tokio::time::sleep(LOOK);
        tokio::pin!(look_again);
        loop {
            tokio::select! {
                () = sender.closed() => return,
                () = &mut look_again => break,
                signal = signals.next() => match signal {
                    Some(FeedSignal::Recorded) => break,
                    Some(FeedSignal::Progress(tick)) => {
                        quiet_since = Instant::now();
                        if sender.send(render_tick(&tick, form)).await.is_err() {
                            return;
                        }
                    }
                    None => signals = stream::pending().boxed(),
                },
            }
        }
        if quiet_since.elapsed() >= HEARTBEAT {
            quiet_since = Instant::now();
            let beat: &'static [u8] = if form == Form::ServerSent { HEARTBEAT_LINE.as_bytes() } else { b"\n" };
            if sender.send(Bytes::from_static(beat)).await.is_err() {
                return;
            }
        }
    }
}

pub(crate) fn render_event(event: &RunEvent, form: Form) -> Bytes {
    let data = serde_json::to_string(event).unwrap_or_default();
    Bytes::from(match form {
        Form::ServerSent => format!("id: {}\nevent: {}\ndata: {data}\n\n", event.ordinal, event.event_type.as_str()),
        Form::NdJson => format!("{data}\n"),
    })
}

pub(crate) fn render_tick(tick: &ProgressTick, form: Form) -> Bytes {
    let data = serde_json::to_string(tick).unwrap_or_default();
    Bytes::from(match form {
        Form::ServerSent => format!("event: {}\ndata: {data}\n\n", tick.step.as_str()),
        Form::NdJson => format!("{data}\n"),
    })
}
