//! A cancel in every phase: one end, nothing that is shown, and a free slot.

use export_contract::run::RunStatus;
use export_targets::liar::Lie;
use export_targets::registries::{PASSWORD, Program, USER};
use export_tests::{
    Deployment, LOCAL_TENANT, Puller, Roles, Setup, Store, finish, heavy, is_left_out, light, output, resume, start,
    suspend,
};
use serde_json::json;

use crate::{corner, is, small_parts, wait_for};

/// The role that is stopped, what is waited for before the cancel, and the record that must not come to be.
const PHASES: [(&str, &str, &str); 6] = [
    ("plan", "run.running -", "plan.json"),
    ("resolve", "stage.completed plan", "resolve.json"),
    ("adapt-1", "stage.completed resolve", "adapt.json"),
    ("manifest", "stage.completed adapt", "manifest.json"),
    ("sign", "stage.completed manifest", "sign.json"),
    ("distribute", "run.signed sign", "distribute.json"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_any_phase_ends_the_run_frees_its_slot_and_shows_nothing() {
    let _turn = heavy().await;
    let share = tempfile::tempdir().unwrap();
    let sections = format!(
        "[allow]\ndistribution = [\"http\", \"directory\"]\n[directory]\nfolder = \"{}\"\n[limits]\nactive_runs = 1\n",
        share.path().display()
    );
    let setup = Setup { roles: Roles::Apart { adapt: 1 }, ..Setup::together() };
    let deployment = Deployment::start_with(setup, "", &sections).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 2_000).unwrap();
    let client = deployment.client().unwrap();
    let profile = json!({
        "id": "small-parts", "name": "Small parts", "kind": "json:raw",
        "config": { "partitionRecords": 200, "distribution": ["http", "directory"] }
    });
    client.create_profile(&profile).await.unwrap();
    let shown = || {
        let names = std::fs::read_dir(share.path().join(LOCAL_TENANT)).into_iter().flatten();
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let mut bundles = Vec::new();
    for (role, before, record) in PHASES {
        let pid = deployment.pid(role).unwrap();
        suspend(pid).unwrap();
        let run = start(&client, "small-parts").await.unwrap();
        wait_for(&client, &run, |event| is(event, before)).await;
        // There is one slot: this one waits for it.
        let next = start(&client, "small-parts").await.unwrap();
        assert_eq!(client.run(next.id.as_str()).await.unwrap().status, RunStatus::Pending, "{role}");
        let cancelled = client.cancel_run(run.id.as_str()).await.unwrap();
        assert_eq!((cancelled.status, &cancelled.bundle), (RunStatus::Aborted, &None), "{role}");
        resume(pid).unwrap();
        let next = finish(&client, next.id.as_str()).await.unwrap();
        next.bundle();
        bundles.push(next.run.id.to_string());
        let ended = finish(&client, run.id.as_str()).await.unwrap();
        ended.assert_once();
        assert_eq!((ended.run.status, ended.run.error_code), (RunStatus::Aborted, None), "{role}");
        assert_eq!(ended.events.last().unwrap().actor.as_deref(), Some("local"), "{role}");
        assert_eq!(ended.run.distributions, [], "{role}");
        assert!(!corner(&deployment, &run.id).join("g1").join(record).exists(), "{role}: {record}");
    }
    bundles.sort();
    let mut found = shown();
    found.sort();
    assert_eq!(found, bundles, "of cancelled runs nothing is in the folder, not even half written");
    let api = deployment.api().await.unwrap();
    let log = api.json("/api/export/audit?action=run.cancelled").await.unwrap();
    assert_eq!(log["entries"].as_array().unwrap().len(), PHASES.len());
}

/// Assembly is half of adapt: its role is stopped once the parts are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_between_the_last_part_and_their_assembly_ends_the_run() {
    let _turn = light().await;
    let deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 400).unwrap();
    let client = deployment.client().unwrap();
    small_parts(&client, 200).await;
    let run = start(&client, "small-parts").await.unwrap();
    // Whichever comes first, the cancel or the end, there is one end.
    wait_for(&client, &run, |event| is(event, "adapter.complete adapt") && event.metrics.get("part") == Some(&1)).await;
    let cancelled = client.cancel_run(run.id.as_str()).await;
    let ended = finish(&client, run.id.as_str()).await.unwrap();
    ended.assert_once();
    let expected = if cancelled.is_ok() { RunStatus::Aborted } else { RunStatus::Succeeded };
    assert_eq!(ended.run.status, expected);
    assert_eq!(ended.run.bundle.is_some(), expected == RunStatus::Succeeded);
    deployment.run("small-parts").await.unwrap().bundle();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_half_way_through_a_push_leaves_no_tag_in_the_registry() {
    let _turn = light().await;
    if is_left_out(Program::DockerRegistry.name()) {
        return;
    }
    let setup = Setup { pushes_to: Some(Program::DockerRegistry), ..Setup::apart(Store::Sqlite, 1) };
    let deployment = Deployment::start(setup).await.unwrap();
    deployment.generate(LOCAL_TENANT, 9, 20_000).unwrap();
    let client = deployment.client().unwrap();
    let profile = json!({
        "id": "pushed", "name": "pushed", "kind": "json:raw", "config": { "distribution": ["http", "oci"] }
    });
    client.create_profile(&profile).await.unwrap();
    deployment.pushes().lie("PATCH", "/blobs/uploads/", 1, Lie::Stall(256 << 10));
    let run = start(&client, "pushed").await.unwrap();
    deployment.pushes().is_silent().await;
    client.cancel_run(run.id.as_str()).await.unwrap();
    let ended = finish(&client, run.id.as_str()).await.unwrap();
    assert_eq!((ended.run.status, ended.run.distributions), (RunStatus::Aborted, Vec::new()));
    // The next run is pushed by the same worker, which has let go of the first.
    let next = deployment.run("pushed").await.unwrap();
    next.bundle();
    let home = deployment.folder().join("home");
    let Some(oras) = Puller::installed("oras", &home).unwrap() else { return };
    let host = deployment.pushes().address().to_owned();
    output(oras.command().args(["login", "--plain-http", "-u", USER, "-p", PASSWORD, &host])).unwrap();
    let repository = format!("{host}/exports/{LOCAL_TENANT}/pushed");
    let tags = output(oras.command().args(["repo", "tags", "--plain-http", &repository])).unwrap();
    assert!(tags.lines().any(|tag| tag == next.run.id.as_str()), "{tags}");
    assert!(!tags.contains(run.id.as_str()), "{tags}");
}
