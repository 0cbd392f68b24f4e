//! Requests for runs while the broker, or only the log, is away: refused to come again or taken, and never two runs of one key.

use std::collections::BTreeSet;

use export_jetstream::{Credentials, connect};
use export_tests::{Api, Deployment, LOCAL_TENANT, Store, finish, light, resume, suspend};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const RUNS: &str = "/api/export/runs";

/// Status, `Retry-After` and document of the answer to a request for a run under a key.
async fn submit(api: &Api, key: &str) -> (StatusCode, Option<String>, Value) {
    let request = api.request(Method::POST, RUNS).header("idempotency-key", key);
    let answer = request.json(&json!({ "profileId": "json-raw" })).send().await.unwrap();
    let after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status(), after, answer.json().await.unwrap())
}

/// Asks until it is taken, as `Retry-After` says.
async fn taken(api: &Api, key: &str) -> String {
    loop {
        match submit(api, key).await {
            (StatusCode::ACCEPTED, _, run) => return run["id"].as_str().unwrap().to_owned(),
            (StatusCode::SERVICE_UNAVAILABLE, Some(_), _) => {}
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

async fn all_runs(api: &Api) -> Vec<String> {
    let page = api.json(RUNS).await.unwrap();
    page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_while_the_broker_is_away_is_told_to_come_again_and_makes_one_run_when_it_is_back() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 200).unwrap();
    let api = deployment.api().await.unwrap();
    for (key, stopped) in [("killed", false), ("stopped", true)] {
        let before = all_runs(&api).await;
        if stopped {
            suspend(deployment.broker_pid().unwrap()).unwrap();
        } else {
            deployment.kill_broker().await.unwrap();
        }
        // Whether a proof was seen before cannot be told: nobody is served, and nothing is written.
        let (status, after, problem) = submit(&api, key).await;
        assert_eq!((status, after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("5")), "{key}: {problem}");
        assert_eq!(problem["code"], "ERR_EXPORT_UNAVAILABLE", "{key}: {problem}");
        if stopped {
            resume(deployment.broker_pid().unwrap()).unwrap();
        } else {
            deployment.restart_broker().await.unwrap();
        }
        let (one, other) = tokio::join!(taken(&api, key), taken(&api, key));
        assert_eq!(one, other, "{key}");
        finish(&deployment.client().unwrap(), &one).await.unwrap().bundle();
        let runs: BTreeSet<String> = all_runs(&api).await.into_iter().filter(|run| !before.contains(run)).collect();
        assert_eq!(runs, BTreeSet::from([one]), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_while_the_log_is_gone_is_taken_once_and_ends_well_when_it_is_back() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 200).unwrap();
    let api = deployment.api().await.unwrap();
    // Whoever would lay it out again is away; the gateway is alone with a broker that nobody answers at.
    for role in ["orchestrator", "plan", "resolve", "adapt-1", "manifest", "sign", "distribute"] {
        deployment.kill(role).await.unwrap();
    }
    let nats = connect(&deployment.broker_url().unwrap(), Credentials::None).await.unwrap();
    nats.jetstream().delete_stream("EXPORT").await.unwrap();
    // The run ledger has the run, and the log is told of it by whoever comes to it next.
    let answers = tokio::join!(submit(&api, "one"), submit(&api, "one"));
    let ids: BTreeSet<String> = [answers.0, answers.1]
        .into_iter()
        .map(|(status, _, run)| {
            assert_eq!(status, StatusCode::ACCEPTED, "{run}");
            run["id"].as_str().unwrap().to_owned()
        })
        .collect();
    deployment.start_all().await.unwrap();
    let run = ids.first().unwrap();
    let finished = finish(&deployment.client().unwrap(), run).await.unwrap();
    finished.assert_once();
    finished.bundle();
    assert_eq!(all_runs(&api).await, ids.into_iter().collect::<Vec<_>>());
}
