//! Every wire type that was ever written must still be read: the samples in `tests/wire/` are frozen.
//! A new version of a type gets a new sample beside the old one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::PathBuf;

use export_contract::approval::Approval;
use export_contract::audit::{AuditAction, AuditEntry};
use export_contract::dead_letter::DeadLetter;
use export_contract::event::{EventType, ProgressStep, ProgressTick, RunEvent};
use export_contract::manifest::ExportManifest;
use export_contract::message::{
    HandOver, ManifestWritten, PartAdapted, PartsResolved, RunAdapted, RunAdmitted, RunDistributed, RunPlanned,
    RunSigned, StageEvent,
};
use export_contract::profile::Profile;
use export_contract::refresh::RefreshPredicate;
use export_contract::run::Run;
use export_contract::schedule::Schedule;
use export_contract::webhook::{Delivery, Webhook};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn sample(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads the sample, and writes it again to the same value: no member is lost on the way through.
fn survives<T: Serialize + DeserializeOwned>(name: &str) {
    let text = sample(name);
    let value: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let before: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_value(&value).unwrap(), before, "{name}");
}

#[test]
fn frozen_samples_of_every_version_are_read_without_loss() {
    survives::<StageEvent>("stage_event.requested.v1.json");
    survives::<StageEvent>("stage_event.admitted.v1.json");
    survives::<StageEvent>("stage_event.done.v1.json");
    survives::<StageEvent>("stage_event.joined.v1.json");
    survives::<StageEvent>("stage_event.failed.v1.json");
    survives::<StageEvent>("stage_event.cancelled.v1.json");
    survives::<RunAdmitted>("run_admitted.v1.json");
    survives::<RunAdmitted>("run_admitted.refresh.v1.json");
    survives::<RunPlanned>("run_planned.v1.json");
    survives::<RunPlanned>("run_planned.v1.policy.json");
    survives::<RunPlanned>("run_planned.refresh.v1.json");
    survives::<PartsResolved>("parts_resolved.v1.json");
    survives::<PartAdapted>("part_adapted.v1.json");
    survives::<RunAdapted>("run_adapted.v1.json");
    survives::<ManifestWritten>("manifest_written.v1.json");
    survives::<ManifestWritten>("manifest_written.v1.encrypted.json");
    survives::<RunSigned>("run_signed.v1.json");
    survives::<RunDistributed>("run_distributed.v1.json");
    survives::<HandOver>("hand_over.v1.json");
    survives::<Profile>("profile.v1.json");
    survives::<Profile>("profile.v1.encrypted.json");
    survives::<Run>("run.v1.json");
    survives::<Run>("run.v1.policy.json");
    survives::<Run>("run.refresh.v1.json");
    survives::<Run>("run.expiring.v1.json");
    survives::<RefreshPredicate>("refresh_predicate.v1.json");
    survives::<RunEvent>("run_event.json");
    survives::<ProgressTick>("progress_tick.json");
    survives::<ProgressTick>("progress_tick.waiting.json");
    survives::<ExportManifest>("export_manifest.1.0.json");
    survives::<Approval>("approval.v1.json");
    survives::<Run>("run.approved.v1.json");
    survives::<Run>("run.replayed.v1.json");
    survives::<RunEvent>("run_event.replayed.json");
    survives::<RunPlanned>("run_planned.across.v1.json");
    survives::<PartsResolved>("parts_resolved.across.v1.json");
    survives::<ExportManifest>("export_manifest.1.0.across.json");
    survives::<RunAdmitted>("run_admitted.delta.v1.json");
    survives::<RunPlanned>("run_planned.delta.v1.json");
    survives::<PartAdapted>("part_adapted.mirror.v1.json");
    survives::<RunAdapted>("run_adapted.delta.v1.json");
    survives::<ManifestWritten>("manifest_written.delta.v1.json");
    survives::<ExportManifest>("export_manifest.1.0.delta.json");
    survives::<ExportManifest>("export_manifest.1.0.encrypted.json");
    survives::<ExportManifest>("export_manifest.1.0.policy.json");
    survives::<DeadLetter>("dead_letter.v1.json");
    survives::<Schedule>("schedule.v1.json");
    survives::<Webhook>("webhook.v1.json");
    survives::<Delivery>("delivery.v1.json");
    survives::<AuditEntry>("audit_entry.v1.json");
    survives::<AuditEntry>("audit_entry.begun.v1.json");
    survives::<Run>("run.traced.v1.json");
    survives::<RunAdmitted>("run_admitted.traced.v1.json");
}

/// Puts a member that no build knows into every object, but for those whose members are names of somebody else's.
fn grown(value: &mut serde_json::Value, inside: &str) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                grown(member, name);
            }
            if !GIVEN.contains(&inside) {
                members.insert("ofALaterBuild".to_owned(), serde_json::json!({ "deep": [1, null, "x"] }));
            }
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(|value| grown(value, inside)),
        _ => {}
    }
}

/// Objects with free member names, and what a person wrote, on which the bytes depend: an unknown member there is refused.
const GIVEN: [&str; 9] =
    ["metrics", "sidecars", "labels", "config", "options", "selectors", "window", "compression", "encryption"];

/// The sample with more members everywhere is read to the same value.
fn ignores_more<T: Serialize + DeserializeOwned>(name: &str) {
    let mut more: serde_json::Value = serde_json::from_str(&sample(name)).unwrap();
    let before = more.clone();
    grown(&mut more, "");
    assert_ne!(more, before);
    let value: T = serde_json::from_value(more).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(serde_json::to_value(&value).unwrap(), before, "{name}");
}

/// Old and new processes run beside each other during an upgrade: a minor version may add members, and no process stumbles over them.
#[test]
fn members_of_a_later_build_are_ignored_wherever_processes_talk() {
    for name in ["requested", "admitted", "done", "joined", "failed", "cancelled"] {
        ignores_more::<StageEvent>(&format!("stage_event.{name}.v1.json"));
    }
    ignores_more::<RunAdmitted>("run_admitted.v1.json");
    ignores_more::<RunPlanned>("run_planned.v1.json");
    ignores_more::<PartsResolved>("parts_resolved.v1.json");
    ignores_more::<PartAdapted>("part_adapted.v1.json");
    ignores_more::<RunAdapted>("run_adapted.v1.json");
    ignores_more::<ManifestWritten>("manifest_written.v1.json");
    ignores_more::<RunSigned>("run_signed.v1.json");
    ignores_more::<RunDistributed>("run_distributed.v1.json");
    ignores_more::<HandOver>("hand_over.v1.json");
    ignores_more::<Run>("run.v1.json");
    ignores_more::<RunEvent>("run_event.json");
    ignores_more::<ProgressTick>("progress_tick.json");
    ignores_more::<DeadLetter>("dead_letter.v1.json");
    ignores_more::<Delivery>("delivery.v1.json");
    ignores_more::<AuditEntry>("audit_entry.v1.json");
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let newer = sample("profile.v1.json").replacen("\"v\": 1", "\"v\": 2", 1);
    let error = serde_json::from_str::<Profile>(&newer).unwrap_err().to_string();
    assert!(error.contains("schema version 2 is not supported"), "{error}");
}

#[test]
fn the_names_of_events_are_those_that_are_published() {
    let names: Vec<&str> =
        EventType::ALL.iter().map(|kind| kind.as_str()).chain(ProgressStep::ALL.map(ProgressStep::as_str)).collect();
    assert_eq!(names, sample("event_names.txt").lines().collect::<Vec<_>>());
    for kind in EventType::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}

#[test]
fn the_actions_of_the_audit_log_are_those_that_are_published() {
    let names: Vec<&str> = AuditAction::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(names, sample("audit_actions.txt").lines().collect::<Vec<_>>());
    for action in AuditAction::ALL {
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        assert_eq!(action.as_str().parse::<AuditAction>().unwrap(), *action);
    }
}

#[test]
fn the_error_codes_are_those_that_are_published() {
    let names: Vec<&str> = export_contract::ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let published = sample("error_codes.txt");
    for name in published.lines() {
        assert!(names.contains(&name), "{name} was published and is gone");
    }
    for name in names {
        assert!(published.lines().any(|line| line == name), "{name} is not on the list in tests/wire/error_codes.txt");
    }
}
