//! Quotas by the API.

use export_tests::{Api, Deployment, Setup, light};
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn submit(api: &Api, key: Option<&str>) -> Response {
    let request = api.request(Method::POST, "/api/export/runs").json(&json!({ "profileId": "json-raw" }));
    let request = key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
    request.send().await.unwrap()
}

fn number(answer: &Response, name: &str) -> u64 {
    answer.headers()[name].to_str().unwrap().parse().unwrap()
}

fn quota<'a>(document: &'a Value, name: &str) -> &'a Value {
    document["quotas"].as_array().unwrap().iter().find(|quota| quota["name"] == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_a_day_are_told_with_every_submit_and_held() {
    let _turn = light().await;
    let limits = "[limits]\nruns_per_day = 3\n[[limits.tenants]]\ntenant = 'globex'\nruns_per_day = 0\n";
    let deployment = Deployment::start_with(Setup::together(), "", limits).await.unwrap();
    let api = deployment.api().await.unwrap();
    let mut ids = Vec::new();
    for remaining in [2, 1, 0] {
        let key = format!("key-{remaining}");
        let answer = submit(&api, Some(&key)).await;
        assert_eq!(answer.status(), 202);
        assert_eq!(number(&answer, "x-stella-quota-limit"), 3);
        assert_eq!(number(&answer, "x-stella-quota-remaining"), remaining);
        assert!((1..=86_400).contains(&number(&answer, "x-stella-quota-reset")));
        ids.push(answer.json::<Value>().await.unwrap()["id"].clone());
    }
    let again = submit(&api, Some("key-0")).await;
    assert_eq!((again.status().as_u16(), number(&again, "x-stella-quota-remaining")), (202, 0));
    assert_eq!(again.json::<Value>().await.unwrap()["id"], ids[2]);

    let refused = submit(&api, None).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(number(&refused, "x-stella-quota-limit"), 3);
    assert_eq!(number(&refused, "x-stella-quota-remaining"), 0);
    assert_eq!(number(&refused, "retry-after"), number(&refused, "x-stella-quota-reset"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "ERR_EXPORT_QUOTA");
    assert_eq!(problem["errors"][0]["path"], "runsPerDay");
    assert!(problem["detail"].as_str().unwrap().contains("3 of 3"), "{problem}");
    let runs = api.json("/api/export/runs").await.unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 3);

    let left = api.json("/api/export/quota").await.unwrap();
    let day = quota(&left, "runsPerDay");
    assert_eq!((&day["limit"], &day["used"], &day["remaining"]), (&json!(3), &json!(3), &json!(0)));
    assert!(day["resetsAt"].as_str().unwrap().ends_with("T00:00:00Z"), "{day}");
    assert_eq!(quota(&left, "activeRuns")["limit"], 4);
    assert_eq!(quota(&left, "bytesPerDay")["limit"], Value::Null);

    // Another tenant has its own, and none of this one.
    let other = Api::login(&deployment.put_client("globex", "globex", &[]).unwrap()).await.unwrap();
    for _ in 0..4 {
        let answer = submit(&other, None).await;
        assert_eq!(answer.status(), 202);
        assert!(!answer.headers().contains_key("x-stella-quota-limit"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_whose_bytes_are_used_up_and_too_many_waiting_runs_are_refused_by_name() {
    let _turn = light().await;
    let limits = "[limits]\nbytes_per_day = 1\n[[limits.tenants]]\ntenant = 'globex'\nbytes_per_day = 0\npending_runs = 1\n\
                  [[limits.tenants]]\ntenant = 'umbrella'\nbytes_per_day = 0\n";
    let deployment = Deployment::start_with(Setup::together(), "", limits).await.unwrap();
    deployment.generate("demo", 1, 50).unwrap();
    let finished = deployment.run("json-raw").await.unwrap();
    let made = finished.bundle().bytes;
    let api = deployment.api().await.unwrap();
    let refused = submit(&api, None).await;
    assert_eq!(refused.status(), 429);
    assert!((1..=86_400).contains(&number(&refused, "retry-after")));
    assert_eq!(refused.json::<Value>().await.unwrap()["errors"][0]["path"], "bytesPerDay");
    assert_eq!(quota(&api.json("/api/export/quota").await.unwrap(), "bytesPerDay")["used"], made);

    // Runs wait while none is admitted: the orchestrator sleeps with all else in this process, so many are sent at once.
    let other = Api::login(&deployment.put_client("globex", "globex", &[]).unwrap()).await.unwrap();
    let answers = futures::future::join_all((0..60).map(|_| submit(&other, None))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status() == 202);
    assert!(!taken.is_empty());
    for answer in refused {
        assert_eq!((answer.status().as_u16(), number(&answer, "retry-after")), (429, 30));
        assert_eq!(answer.json::<Value>().await.unwrap()["errors"][0]["path"], "pendingRuns");
    }
    let pending = quota(&other.json("/api/export/quota").await.unwrap(), "pendingRuns")["used"].as_u64().unwrap();
    assert!(pending <= 1, "{pending} runs wait");
}
