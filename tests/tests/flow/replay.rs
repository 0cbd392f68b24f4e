//! A run that failed goes on: with the results that there are, or from a stage on.

use export_client::{ClientError, HeaderMap, HeaderName, HeaderValue, Method};
use export_contract::run::RunStatus;
use export_contract::{ErrorCode, Generation};
use export_tests::{Deployment, LOCAL_TENANT, Setup, Store, finish, heavy, start, suspend};

use crate::{artefact, corner, exportctl, is, small_parts, told, wait_for};

fn code(error: &ClientError) -> String {
    match error {
        ClientError::Refused(problem) => problem.code.clone(),
        other => panic!("{other}"),
    }
}

/// Its signer found a file missing; made again from the stage that writes it, the bundle is what it would have been.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_replayed_from_a_stage_to_the_bytes_of_an_undisturbed_one() {
    let _turn = heavy().await;
    let mut deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 1_200).unwrap();
    let client = deployment.client().unwrap();
    small_parts(&client, 200).await;
    let expected = deployment.run("small-parts").await.unwrap();
    let operator = deployment.put_client("operator", LOCAL_TENANT, &[]).unwrap();

    suspend(deployment.pid("sign").unwrap()).unwrap();
    let run = start(&client, "small-parts").await.unwrap();
    wait_for(&client, &run, |event| is(event, "stage.completed manifest")).await;
    let lost = artefact(&deployment, &run.id, &expected.bundle().manifest_digest);
    std::fs::remove_file(&lost).unwrap_or_else(|error| panic!("{}: {error}", lost.display()));
    deployment.kill("sign").await.unwrap();
    deployment.restart().await.unwrap();
    let failed = finish(&client, run.id.as_str()).await.unwrap();
    assert_eq!((failed.run.status, failed.run.error_code), (RunStatus::Failed, Some(ErrorCode::ArtefactCorrupt)));
    let follower = tokio::spawn({
        let (client, id) = (client.clone(), run.id.to_string());
        // It comes while the run has ended, and again and again, as an `EventSource` would.
        async move {
            loop {
                let seen = finish(&client, &id).await.unwrap();
                if seen.run.status == RunStatus::Succeeded {
                    return seen;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    });
    // From now on a new run would have other bytes.
    deployment.generate(LOCAL_TENANT, 6, 300).unwrap();

    // As it is the file is still missing.
    let again = exportctl(&operator, &["run", "replay", run.id.as_str(), "--watch"]);
    assert!(!again.status.success() && told(&again).contains("ERR_EXPORT_ARTEFACT_CORRUPT"), "{}", told(&again));
    let again = exportctl(&operator, &["run", "replay", run.id.as_str(), "--from", "manifest", "--watch"]);
    assert!(again.status.success(), "{}", told(&again));

    let finished = finish(&client, run.id.as_str()).await.unwrap();
    assert_eq!(finished.run.generation, Generation(3));
    assert_eq!(finished.digest(), expected.digest());
    let bundle = deployment.download(&finished).await.unwrap();
    assert_eq!(export_tests::Bundle::digest(&bundle.tar()).unwrap(), expected.digest().as_str());
    assert_eq!(finished.run.inputs, expected.run.inputs);
    assert_eq!(finished.run.progress, expected.run.progress);
    // One timeline without a gap, for whoever followed it all along.
    let ordinals: Vec<u64> = finished.events.iter().map(|event| event.ordinal).collect();
    assert_eq!(ordinals, (1..=finished.events.len() as u64).collect::<Vec<_>>());
    let ends: Vec<&str> =
        finished.timeline().into_iter().filter(|name| name.starts_with("run.") && *name != "run.signed").collect();
    let once = ["run.replayed", "run.running", "run.failed"];
    let story =
        [&["run.pending", "run.running", "run.failed"][..], &once, &["run.replayed", "run.running", "run.succeeded"]];
    assert_eq!(ends, story.concat());
    assert_eq!(follower.await.unwrap().events, finished.events);

    // What was there was handed on, and not made again.
    for part in 0..6 {
        let record = |generation: u32| {
            let path = corner(&deployment, &run.id).join(format!("g{generation}/adapt.part-{part}.json"));
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        assert_eq!(record(1), record(3), "part {part}");
    }
    let api = deployment.api().await.unwrap();
    let log = api.json("/api/export/audit?action=run.replayed").await.unwrap();
    let objects: Vec<&str> =
        log["entries"].as_array().unwrap().iter().map(|entry| entry["object"].as_str().unwrap()).collect();
    let generation = |number: u32| format!("runs/{}/generations/{number}", run.id);
    assert_eq!(objects, [generation(3), generation(2)]);
    let refused = client.replay_run(run.id.as_str(), None).await.unwrap_err();
    assert_eq!(code(&refused), "ERR_EXPORT_RUN_CONFLICT", "it has its bundle");
}

/// Over the stores of many machines; the parts that were written before the cancel stay written.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_goes_on_over_mongodb_and_s3_once_however_often_it_is_asked_for() {
    let _turn = heavy().await;
    let mut deployment = Deployment::start(Setup::served(1)).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 600).unwrap();
    let client = deployment.client().unwrap();
    small_parts(&client, 50).await;
    let expected = deployment.run("small-parts").await.unwrap();
    let run = start(&client, "small-parts").await.unwrap();
    wait_for(&client, &run, |event| is(event, "adapter.complete adapt")).await;
    client.cancel_run(run.id.as_str()).await.unwrap();
    let refused = client.replay_run(run.id.as_str(), Some(export_contract::run::Phase::Sign)).await.unwrap_err();
    assert_eq!(code(&refused), "ERR_EXPORT_RUN_CONFLICT", "there is no manifest to sign: {refused}");

    // Three requests with one key are one replay.
    let path = format!("/api/export/runs/{}/replay", run.id);
    let key = HeaderMap::from_iter([(HeaderName::from_static("idempotency-key"), HeaderValue::from_static("again-1"))]);
    for _ in 0..3 {
        client.call_any(Method::POST, &path, key.clone(), Some(b"{}".to_vec())).await.unwrap();
    }
    let finished = finish(&client, run.id.as_str()).await.unwrap();
    assert_eq!((finished.run.status, finished.run.generation), (RunStatus::Succeeded, Generation(2)));
    assert_eq!(finished.digest(), expected.digest());
    assert_eq!(finished.run.inputs, expected.run.inputs);
    let bundle = deployment.download(&finished).await.unwrap();
    assert_eq!(export_tests::Bundle::digest(&bundle.tar()).unwrap(), expected.digest().as_str());
}
