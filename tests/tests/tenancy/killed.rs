//! A gateway that is killed with requests under way.

use std::collections::{BTreeMap, BTreeSet};

use export_tests::{Api, Deployment, Store, heavy};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_done_when_the_gateway_was_killed_was_written_down_before() {
    let _turn = heavy().await;
    for store in [Store::Sqlite, Store::Ferret] {
        if store == Store::Ferret && export_tests::is_left_out("ferretdb") {
            continue;
        }
        let mut deployment = Deployment::apart(store, 1).await.unwrap();
        let mut sent = 0;
        for _ in 0..4 {
            let api = deployment.api().await.unwrap();
            let submits: Vec<_> = (0..40)
                .map(|_| {
                    sent += 1;
                    tokio::spawn(submit(api.clone(), format!("request-{sent}")))
                })
                .collect();
            // Killed as soon as the first is answered: the others are at every point of their way.
            let (_, _, others) = futures::future::select_all(submits).await;
            deployment.kill("gateway").await.unwrap();
            for other in others {
                other.await.unwrap();
            }
            deployment.restart().await.unwrap();
        }
        let api = deployment.api().await.unwrap();
        let runs = every(&api, "/api/export/runs?limit=200", "runs").await;
        let entries = every(&api, "/api/export/audit?limit=500&action=run.submitted", "entries").await;
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let written: BTreeMap<String, &Value> =
            entries.iter().map(|entry| (text(entry, "correlationId"), entry)).collect();
        assert_eq!(written.len(), entries.len(), "an entry stands once");
        assert!(!runs.is_empty());
        for run in &runs {
            let entry = written.get(&text(run, "correlationId")).expect("no run without an entry");
            match entry["outcome"].as_str().unwrap() {
                "begun" => assert_eq!(entry["object"], "runs"),
                outcome => {
                    assert_eq!((outcome, text(entry, "object")), ("allowed", format!("runs/{}", text(run, "id"))));
                }
            }
        }
        let made: BTreeSet<String> = runs.iter().map(|run| text(run, "correlationId")).collect();
        for (request, entry) in &written {
            assert!(made.contains(request) || entry["outcome"] == "begun", "{entry} says what was not done");
        }
    }
}

/// The gateway may be gone before it answers, or before it is asked.
async fn submit(api: Api, request: String) {
    let body = json!({ "profileId": "json-raw" });
    let sent = api.request(Method::POST, "/api/export/runs").header("x-correlation-id", request).json(&body);
    drop(sent.send().await);
}

/// Every element of a list, page after page.
async fn every(api: &Api, path: &str, name: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = api.json(&next).await.unwrap();
        found.extend(page[name].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => next = format!("{path}&cursor={cursor}"),
            None => return found,
        }
    }
}
