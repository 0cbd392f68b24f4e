//! Requests that come again.

use export_tests::{Api, Deployment, light};
use futures::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn post(api: &Api, path: &str, key: &str, body: &Value) -> Response {
    let request = api.request(Method::POST, path).header("idempotency-key", key);
    let request = if body.is_null() { request } else { request.json(body) };
    request.send().await.unwrap()
}

async fn outcome(answer: Response) -> (u16, bool, Value) {
    let status = answer.status().as_u16();
    let replayed = answer.headers().contains_key("idempotent-replayed");
    (status, replayed, answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_again_has_no_effect_of_its_own_and_gets_the_same_answer() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    let count = async |api: &Api, what: &str| {
        api.json(&format!("/api/export/{what}")).await.unwrap()[what].as_array().unwrap().len()
    };

    let profile = json!({ "id": "nightly", "name": "Nightly", "kind": "json:raw" });
    let first = outcome(post(&api, "/api/export/profiles", "a", &profile).await).await;
    assert_eq!((first.0, first.1), (201, false));
    // Also where the profile is another one meanwhile, and where the gateway was killed.
    let change = json!({ "name": "Renamed" });
    let renamed = api.request(Method::PATCH, "/api/export/profiles/nightly").json(&change).send().await.unwrap();
    assert_eq!(renamed.status(), 200);
    deployment.kill_all().await.unwrap();
    deployment.restart().await.unwrap();
    let api = deployment.api().await.unwrap();
    let second = outcome(post(&api, "/api/export/profiles", "a", &profile).await).await;
    assert_eq!((second.0, second.1, &second.2), (201, true, &first.2));

    // Another body, or another endpoint, is another request.
    let other = json!({ "id": "other", "name": "Other", "kind": "json:raw" });
    for (path, body) in [("/api/export/profiles", &other), ("/api/export/webhooks", &profile)] {
        let (status, _, problem) = outcome(post(&api, path, "a", body).await).await;
        assert_eq!((status, &problem["code"]), (422, &json!("ERR_EXPORT_IDEMPOTENCY_MISMATCH")), "{path}");
    }

    // A refusal had no effect: the corrected request may come under the key.
    let bad = json!({ "id": "other", "name": "", "kind": "json:raw" });
    assert_eq!(post(&api, "/api/export/profiles", "b", &bad).await.status(), 400);
    assert_eq!(post(&api, "/api/export/profiles", "b", &other).await.status(), 201);

    // Many at once: one webhook. The others wait, or are told that its secret is not kept; nobody sees it twice.
    let hook = json!({ "url": "https://hooks.example/export" });
    let answers =
        join_all((0..8).map(|_| async { outcome(post(&api, "/api/export/webhooks", "c", &hook).await).await })).await;
    let made: Vec<&Value> = answers.iter().filter(|answer| answer.0 == 201).map(|answer| &answer.2).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    for (status, _, problem) in answers.iter().filter(|answer| answer.0 != 201) {
        let code = problem["code"].as_str().unwrap();
        assert!(*status == 409 && code.starts_with("ERR_EXPORT_IDEMPOTENCY_"), "{problem}");
    }
    assert_eq!(count(&api, "webhooks").await, 1);
    let (status, _, problem) = outcome(post(&api, "/api/export/webhooks", "c", &hook).await).await;
    assert_eq!((status, &problem["code"]), (409, &json!("ERR_EXPORT_IDEMPOTENCY_DONE")));
    let secret = made[0]["secret"].as_str().unwrap();
    let ledger = std::fs::read(deployment.data().join("runs.db")).unwrap();
    let log = std::fs::read(deployment.data().join("runs.db-wal")).unwrap_or_default();
    for bytes in [ledger, log] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "the secret lies in the clear");
    }

    // What acts: one message however often it is asked for.
    let test = format!("/api/export/webhooks/{}/test", made[0]["id"].as_str().unwrap());
    let first = outcome(post(&api, &test, "d", &Value::Null).await).await;
    let second = outcome(post(&api, &test, "d", &Value::Null).await).await;
    assert_eq!((first.0, second.0, second.1), (202, 202, true));
    assert_eq!(first.2["id"], second.2["id"]);

    // Schedules; a dry run is another request than the real one.
    let schedule = json!({ "id": "s", "profileId": "nightly", "cron": "0 3 * * *" });
    assert_eq!(post(&api, "/api/export/schedules?dryRun=true", "e", &schedule).await.status(), 200);
    assert_eq!(post(&api, "/api/export/schedules", "e", &schedule).await.status(), 422);
    assert_eq!(post(&api, "/api/export/schedules", "f", &schedule).await.status(), 201);
    assert_eq!(api.request(Method::DELETE, "/api/export/schedules/s").send().await.unwrap().status(), 204);
    assert_eq!(post(&api, "/api/export/schedules", "f", &schedule).await.status(), 201, "the same answer");
    assert_eq!(count(&api, "schedules").await, 0, "and no second schedule");

    for key in ["", &"k".repeat(256)] {
        assert_eq!(post(&api, "/api/export/profiles", key, &profile).await.status(), 400, "{}", key.len());
    }
}
