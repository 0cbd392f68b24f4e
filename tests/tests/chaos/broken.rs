//! Each check finds what breaks its invariant: in histories that were made wrong, and in a deployment that was broken on purpose.

use std::collections::BTreeMap;

use export_blobs::BlobKey;
use export_contract::event::{EventType, RunEvent};
use export_contract::message::{Artefact, Distribution};
use export_contract::profile::DistributionKind;
use export_contract::run::{Run, RunBundle, RunStatus};
use export_contract::{Digest, ErrorCode};
use export_runs::suite::{at, pending_run, tenant};
use export_tests::heavy;

use crate::checks::{self, CHECKS};
use crate::client;
use crate::fleet::Shape;
use crate::history::{Followed, History, Order, Survivor, Vitals};
use crate::story::{CALMED_WITHIN, Scale, Story};

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

/// A run that ended well, its timeline, and what a client saw of it.
fn add_run(history: &mut History) {
    let mut run = pending_run(&tenant("demo"));
    let id = run.id.to_string();
    run.status = RunStatus::Succeeded;
    let artefact = Artefact { digest: digest(7), bytes: 1 };
    run.distributions = vec![Distribution::new(DistributionKind::Http, format!("/runs/{id}"), &artefact, None)];
    run.bundle = Some(bundle(7));
    let types = [EventType::RunPending, EventType::RunRunning, EventType::RunSucceeded];
    let events: Vec<RunEvent> =
        (1..).zip(types).map(|(ordinal, event_type)| event(&run, ordinal, event_type)).collect();
    let seen = events.iter().map(|event| (event.ordinal, event.event_type.as_str().to_owned())).collect();
    history.references.insert(("demo".to_owned(), run.profile_id.to_string()), digest(7).to_string());
    history.orders.push(Order {
        profile: run.profile_id.to_string(),
        key: format!("key-{}", history.orders.len()),
        runs: [id.clone()].into(),
        requests: 2,
    });
    history.followed.push(Followed { run: id.clone(), seen, connections: 2, ended: true });
    history.downloads.insert(id.clone(), digest(7).to_string());
    history.staged.push(format!("demo/{id}/artefacts/sha256-00"));
    history.timelines.insert(id, events);
    history.runs.push(run);
}

fn bundle(byte: u8) -> RunBundle {
    serde_json::from_value(serde_json::json!({
        "digest": digest(byte), "bytes": 1, "records": 1, "rerunHash": digest(byte), "manifestDigest": digest(byte), "keyId": "key", "sidecars": {}
    }))
    .unwrap()
}

fn event(run: &Run, ordinal: u64, event_type: EventType) -> RunEvent {
    RunEvent {
        ordinal,
        run_id: run.id.clone(),
        event_type,
        phase: None,
        message: String::new(),
        at: at(0),
        metrics: BTreeMap::new(),
        actor: None,
    }
}

fn sound() -> History {
    let vitals = Vitals { resident_kib: 50_000, open_files: 30 };
    let mut history = History {
        cap: 4,
        most_active: BTreeMap::from([("demo".to_owned(), 4)]),
        looks: 9,
        survivors: vec![Survivor { name: "plan-1".to_owned(), before: vitals, after: vitals }],
        ..History::default()
    };
    add_run(&mut history);
    add_run(&mut history);
    history
}

/// Names of the checks that find something.
fn found(history: &History) -> Vec<&'static str> {
    CHECKS.iter().filter(|(_, check)| !check(history).is_empty()).map(|(name, _)| *name).collect()
}

/// What `spoil` does to a sound history is found, by the check that is named, and perhaps by others.
fn caught(name: &str, spoil: impl Fn(&mut History)) {
    let mut history = sound();
    spoil(&mut history);
    let found = found(&history);
    assert!(found.contains(&name), "{name} is blind: only {found:?} found something");
}

#[test]
fn a_sound_history_passes_every_check() {
    assert_eq!(found(&sound()), [""; 0]);
}

#[test]
fn a_run_that_is_lost_unended_or_failed_is_caught() {
    let check = "every_accepted_run_ends_once_and_well";
    caught(check, |history| drop(history.runs.pop()));
    caught(check, |history| history.runs[0].status = RunStatus::Running);
    caught(check, |history| {
        history.runs[0].status = RunStatus::Failed;
        history.runs[0].error_code = Some(ErrorCode::Internal);
    });
    caught(check, |history| history.orders[0].runs.clear());
    caught(check, |history| {
        let run = history.runs[0].clone();
        let events = history.timelines.get_mut(run.id.as_str()).unwrap();
        events.push(event(&run, 4, EventType::RunFailed));
    });
    caught(check, |history| {
        let events = history.timelines.values_mut().next().unwrap();
        drop(events.pop());
    });
}

#[test]
fn an_effect_that_happened_twice_is_caught() {
    let check = "no_effect_happens_twice";
    // Two runs for one key, one run for two keys, a run that nobody ordered.
    caught(check, |history| {
        let other = history.orders[1].runs.clone();
        history.orders[0].runs.extend(other);
    });
    caught(check, |history| history.orders[1].runs = history.orders[0].runs.clone());
    caught(check, |history| history.runs.push(pending_run(&tenant("demo"))));
    // A fact twice, a handing over twice.
    caught(check, |history| {
        let run = history.runs[0].clone();
        let events = history.timelines.get_mut(run.id.as_str()).unwrap();
        events.insert(2, event(&run, 3, EventType::RunRunning));
    });
    caught(check, |history| {
        let place = history.runs[0].distributions[0].clone();
        history.runs[0].distributions.push(place);
    });
}

#[test]
fn a_bundle_of_other_bytes_is_caught() {
    let check = "bundles_are_those_of_an_undisturbed_run";
    caught(check, |history| history.runs[0].bundle = Some(bundle(8)));
    caught(check, |history| history.runs[0].bundle = None);
    caught(check, |history| drop(history.downloads.pop_first()));
    caught(check, |history| *history.downloads.values_mut().next().unwrap() = digest(8).to_string());
    caught(check, |history| history.references.clear());
}

#[test]
fn an_event_that_is_missing_double_or_out_of_order_is_caught() {
    let check = "events_have_no_gap_and_come_in_order";
    caught(check, |history| drop(history.followed[0].seen.remove(1)));
    caught(check, |history| {
        let double = history.followed[0].seen[1].clone();
        history.followed[0].seen.insert(1, double);
    });
    caught(check, |history| history.followed[0].seen.swap(0, 1));
    caught(check, |history| history.followed[0].seen[1].1 = "run.signed".to_owned());
    caught(check, |history| history.followed[0].ended = false);
    caught(check, |history| history.timelines.values_mut().next().unwrap()[1].ordinal = 4);
}

#[test]
fn a_tenant_above_its_cap_is_caught_and_so_is_that_nobody_looked() {
    let check = "no_tenant_exceeds_its_cap";
    caught(check, |history| *history.most_active.values_mut().next().unwrap() = 5);
    caught(check, |history| history.looks = 0);
}

#[test]
fn what_is_left_in_staging_is_caught() {
    let check = "nothing_is_left_in_staging";
    caught(check, |history| history.staged.push("demo/01jzzzzzzzzzzzzzzzzzzzzzzz/g1/plan.json".to_owned()));
    caught(check, |history| {
        let run = history.runs[0].id.clone();
        history.staged.push(format!("demo/{run}/g1/scratch/part-1"));
    });
}

#[test]
fn a_process_that_grew_is_caught() {
    let check = "memory_and_files_come_back";
    caught(check, |history| history.survivors[0].after.resident_kib += 200_000);
    caught(check, |history| history.survivors[0].after.open_files += 100);
    caught(check, |history| history.survivors.clear());
}

/// A deployment whose second orchestrator believes in another cap, whose staging somebody changed a bundle in, and where something lies that is
/// of no run.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_broken_on_purpose_is_caught() {
    let _turn = heavy().await;
    let mut story =
        Story::begin(Shape { brokers: 1, cap: 1, believed_cap: 6, served: false, in_folder: false }).await.unwrap();
    story.disturb(Scale { seed: 1, runs: 36, faults: 0, at_once: 36, calmed_within: CALMED_WITHIN }).await.unwrap();
    story.end().await.unwrap();
    assert!(!checks::no_tenant_exceeds_its_cap(&story.history).is_empty(), "{:?}", story.history.most_active);
    for (name, check) in CHECKS.iter().filter(|(name, _)| *name != "no_tenant_exceeds_its_cap") {
        assert_eq!(check(&story.history), [""; 0], "{name}, before anything else was broken");
    }

    // The bundle of a run becomes another one in staging.
    let blobs = story.fleet.staging().await.unwrap();
    let run = story.history.runs.iter().find(|run| run.profile_id.as_str() == "chaos-raw").unwrap().clone();
    let bundle = run.bundle.clone().unwrap().digest;
    let key: BlobKey = format!("{}/{}/artefacts/sha256-{}", run.tenant, run.id, bundle.hex()).parse().unwrap();
    let mut bytes = blobs.get(&key, 1 << 30).await.unwrap().to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    blobs.put(&key, bytes.into()).await.unwrap();
    let clients = &story.clients[run.tenant.as_str()];
    story.history.downloads.remove(run.id.as_str());
    if let Ok(digest) = client::digest(clients, &run).await {
        story.history.downloads.insert(run.id.to_string(), digest);
    }
    assert_eq!(checks::bundles_are_those_of_an_undisturbed_run(&story.history).len(), 1);

    // Something lies in staging that is of no run, and no collector came.
    let key: BlobKey = "demo/01jzzzzzzzzzzzzzzzzzzzzzzz/g1/plan.json".parse().unwrap();
    blobs.put(&key, "{}".into()).await.unwrap();
    story.history.staged.push(key.to_string());
    assert_eq!(checks::nothing_is_left_in_staging(&story.history).len(), 1);
    story.collect().await.unwrap();
    assert_eq!(checks::nothing_is_left_in_staging(&story.history), [""; 0]);
}
