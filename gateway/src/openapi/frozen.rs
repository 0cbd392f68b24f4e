//! What the document cannot say and clients still rely on: events, headers, trailers, and the scopes of each endpoint (design D27).

use std::collections::{BTreeMap, BTreeSet};

use export_contract::event::{EventType, ProgressStep, ProgressTick, RunEvent, WaitReason, Waiting};
use export_contract::run::{Phase, RunRef};
use export_contract::{Generation, PartIndex, RunId, TenantId, Timestamp};
use serde_json::{Value, json};

use super::OPERATIONS;
use super::operation::{Access, Place};
use crate::events::{Form, HEARTBEAT_LINE, RETRY, render_event, render_tick};

/// The samples, made by what makes the answers.
#[must_use]
pub fn frozen() -> Value {
    let run = RunId::from_parts(1_767_225_600_000, 7);
    let events: BTreeMap<&str, Value> = EventType::ALL
        .into_iter()
        .filter(|event| !event.is_of_retention())
        .map(|event| (event.as_str(), both(|form| render_event(&sample(&run, event), form))))
        .collect();
    let ticks: BTreeMap<&str, Value> = ProgressStep::ALL
        .into_iter()
        .filter_map(|step| Some((step, tick(&run, step)?)))
        .map(|(step, tick)| (step.as_str(), both(|form| render_tick(&tick, form))))
        .collect();
    let never: Vec<&str> =
        EventType::ALL.into_iter().filter(|event| event.is_of_retention()).map(EventType::as_str).collect();
    let mut sent = BTreeSet::new();
    let mut answered = BTreeSet::from(
        ["cache-control", "content-security-policy", "content-type", "referrer-policy", "x-content-type-options"]
            .map(str::to_owned),
    );
    let mut access = BTreeMap::new();
    for operation in OPERATIONS.iter() {
        let headers = operation.parameters.iter().filter(|parameter| parameter.place == Place::Header);
        sent.extend(headers.map(|parameter| parameter.name.to_ascii_lowercase()));
        let headers = operation.answers.iter().flat_map(|answer| &answer.headers);
        answered.extend(headers.map(|(name, _)| name.to_ascii_lowercase()));
        let who = match operation.access {
            Access::Open => json!("anybody"),
            Access::Link => json!("whoever has the link"),
            Access::Puller => json!("a client by its secret, or a token with export:download"),
            Access::Token(scopes) => json!(scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>()),
        };
        access.insert(format!("{} {}", operation.method, operation.path), who);
    }
    json!({
        "events": { "withId": events, "withoutId": ticks, "neverStreamed": never, "first": RETRY, "silence": HEARTBEAT_LINE },
        "headers": { "request": sent, "answer": answered, "trailers": ["repr-digest"] },
        "scopes": access,
    })
}

fn both(render: impl Fn(Form) -> bytes::Bytes) -> Value {
    let text = |form| String::from_utf8_lossy(&render(form)).into_owned();
    json!({ "text/event-stream": text(Form::ServerSent), "application/x-ndjson": text(Form::NdJson) })
}

fn sample(run: &RunId, event_type: EventType) -> RunEvent {
    RunEvent {
        ordinal: 4,
        run_id: run.clone(),
        event_type,
        phase: Some(Phase::Adapt),
        message: "what happened".to_owned(),
        at: Timestamp::from_micros(1_767_225_600_000_000).unwrap_or(Timestamp::from(std::time::UNIX_EPOCH)),
        metrics: BTreeMap::from([("records".to_owned(), 7)]),
        actor: Some("alice".to_owned()),
    }
}

fn tick(run: &RunId, step: ProgressStep) -> Option<ProgressTick> {
    let tenant: TenantId = "acme".parse().ok()?;
    let run = RunRef { tenant, run: run.clone(), generation: Generation::FIRST };
    let since = Timestamp::from_micros(1_767_225_600_000_000).ok()?;
    let waiting = (step == ProgressStep::StageWaiting).then_some(Waiting { reason: WaitReason::Staging, since });
    Some(ProgressTick { run, phase: Phase::Adapt, part: Some(PartIndex(3)), step, records: 7, bytes: 512, waiting })
}
