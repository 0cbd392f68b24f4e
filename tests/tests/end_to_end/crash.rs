//! `kill -9` of each process in turn while a run is under way: the run succeeds, once, with the same bytes.

use std::time::SystemTime;

use export_client::{Client, RunSignal};
use export_contract::Timestamp;
use export_contract::event::RunEvent;
use export_contract::run::Run;
use export_tests::{Bundle, Deployment, Finished, LOCAL_TENANT, Setup, Store, finish, heavy, start, suspend};

use crate::evidence::parts_of;

/// Starts a run and waits until its timeline has what `until` looks for.
async fn run_until(client: &Client, until: impl Fn(&RunEvent) -> bool) -> Run {
    let run = start(client, "small-parts").await.unwrap();
    wait_for(client, &run, until).await;
    run
}

async fn wait_for(client: &Client, run: &Run, until: impl Fn(&RunEvent) -> bool) {
    let mut events = client.follow(run.id.as_str(), 0);
    while let Some(signal) = events.next().await.unwrap() {
        if matches!(&signal, RunSignal::Event(event) if until(event)) {
            return;
        }
    }
    panic!("run {} ended before what was waited for", run.id);
}

/// The run ends well, once, and with the bytes of an undisturbed one.
async fn assert_undisturbed(deployment: &mut Deployment, run: &Run, expected: &Finished, what: &str) {
    let restarted = Timestamp::from(SystemTime::now());
    let client = deployment.client().unwrap();
    let finished = finish(&client, run.id.as_str()).await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
    finished.assert_once();
    assert!(finished.run.completed_at > Some(restarted), "{what}: the run had ended before, which tests nothing");
    assert_eq!(finished.digest(), expected.digest(), "{what}");
    let mut facts: Vec<String> = finished.events.iter().map(told).collect();
    let mut expected_facts: Vec<String> = expected.events.iter().map(told).collect();
    facts.sort();
    expected_facts.sort();
    assert_eq!(facts, expected_facts, "{what}: another timeline");
    let bundle = deployment.download(&finished).await.unwrap();
    assert_eq!(Bundle::digest(&bundle.tar()).unwrap(), expected.digest().as_str(), "{what}");
}

/// What an entry says, times aside; parts may be done in any order.
fn told(event: &RunEvent) -> String {
    let counts: Vec<String> = event
        .metrics
        .iter()
        .filter(|(name, _)| *name != "duration_ms")
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    format!("{} {:?} {}", event.event_type.as_str(), event.phase, counts.join(" "))
}

async fn prepared(setup: Setup) -> (Deployment, Client, Finished) {
    // FerretDB goes through the whole ledger for each part.
    let (parts, records) = if setup.store == Store::Ferret { (16, 60) } else { (40, 500) };
    let deployment = Deployment::start(setup).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, u64::from(parts * records)).unwrap();
    let client = deployment.client().unwrap();
    parts_of(&client, records).await;
    let expected = deployment.run("small-parts").await.unwrap();
    expected.assert_once();
    expected.bundle();
    (deployment, client, expected)
}

fn is_part(event: &RunEvent) -> bool {
    event.event_type.as_str() == "adapter.complete"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_role_changes_neither_outcome_nor_bytes() {
    let _turn = heavy().await;
    kill_each_role(Setup::apart(Store::Sqlite, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_role_over_mongodb_and_s3_changes_neither_outcome_nor_bytes() {
    let _turn = heavy().await;
    kill_each_role(Setup::served(2)).await;
}

async fn kill_each_role(setup: Setup) {
    let (mut deployment, client, expected) = prepared(setup).await;
    // In the thick of it: parts are being written.
    for role in ["adapt-1", "orchestrator", "gateway"] {
        let run = run_until(&client, is_part).await;
        deployment.kill(role).await.unwrap();
        deployment.restart().await.unwrap();
        assert_undisturbed(&mut deployment, &run, &expected, &format!("{role} killed between parts")).await;
    }
    // Stages that take milliseconds are stopped first, so that they die with the command in their hands.
    for (role, before) in [
        ("plan", "run.running None"),
        ("resolve", "stage.completed Some(Plan)"),
        ("manifest", "stage.completed Some(Adapt)"),
        ("sign", "stage.completed Some(Manifest)"),
        ("distribute", "run.signed Some(Sign)"),
    ] {
        suspend(deployment.pid(role).unwrap()).unwrap();
        let run =
            run_until(&client, |event| format!("{} {:?}", event.event_type.as_str(), event.phase) == before).await;
        deployment.kill(role).await.unwrap();
        deployment.restart().await.unwrap();
        assert_undisturbed(&mut deployment, &run, &expected, &format!("{role} killed with its command")).await;
    }
    // Both processes of adapt at once, and then everything.
    let run = run_until(&client, is_part).await;
    deployment.kill("adapt-1").await.unwrap();
    deployment.kill("adapt-2").await.unwrap();
    deployment.restart().await.unwrap();
    assert_undisturbed(&mut deployment, &run, &expected, "both adapts killed").await;
    let run = run_until(&client, is_part).await;
    deployment.kill_all().await.unwrap();
    deployment.restart().await.unwrap();
    assert_undisturbed(&mut deployment, &run, &expected, "every role killed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_broker_changes_neither_outcome_nor_bytes() {
    let _turn = heavy().await;
    let (mut deployment, client, expected) = prepared(Setup::apart(Store::Sqlite, 2)).await;
    let run = run_until(&client, is_part).await;
    deployment.kill_and_restart_broker(false).await.unwrap();
    assert_undisturbed(&mut deployment, &run, &expected, "broker killed").await;
    let run = run_until(&client, is_part).await;
    deployment.kill_and_restart_broker(true).await.unwrap();
    assert_undisturbed(&mut deployment, &run, &expected, "broker killed and its store lost").await;
    // Whatever the loss left behind must not hold up the next run.
    let next = deployment.run("small-parts").await.unwrap();
    next.assert_once();
    assert_eq!(next.digest(), expected.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_one_process_survives_its_kill_during_a_run() {
    let _turn = heavy().await;
    let (mut deployment, client, expected) = prepared(Setup::together()).await;
    let run = run_until(&client, is_part).await;
    deployment.kill("all").await.unwrap();
    deployment.restart().await.unwrap();
    assert_undisturbed(&mut deployment, &run, &expected, "exportd all killed").await;
}
