//! Profiles over their whole life.

use export_tests::{Api, Deployment, light, output, programs};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn send(api: &Api, method: Method, path: &str, body: &Value, tag: Option<&str>) -> (u16, Value, Option<String>) {
    let mut request = api.request(method, path);
    if !body.is_null() {
        request = request.json(body);
    }
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    (status, answer.json().await.unwrap_or_default(), tag)
}

const NIGHTLY: &str = "/api/export/profiles/nightly";

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_keeps_its_revision_over_metadata_makes_one_of_a_configuration_and_can_be_deleted() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    let wanted = json!({ "id": "nightly", "name": "Nightly", "kind": "json:raw" });
    let (status, made, first) = send(&api, Method::POST, "/api/export/profiles", &wanted, None).await;
    assert_eq!((status, &made["revision"]), (201, &json!(1)));

    // Metadata: the same revision, another state.
    let change = json!({ "description": "for the auditors", "labels": { "team": "x" }, "name": "Every night" });
    let (status, renamed, second) = send(&api, Method::PATCH, NIGHTLY, &change, first.as_deref()).await;
    assert_eq!((status, &renamed["revision"], &renamed["name"]), (200, &json!(1), &json!("Every night")));
    assert_eq!((&renamed["config"], &renamed["createdAt"]), (&made["config"], &made["createdAt"]));
    assert_ne!(first, second);

    // Whoever knows an older state only is told so, whatever it wants.
    for method in [Method::PATCH, Method::DELETE] {
        let body = if method == Method::PATCH { json!({ "config": { "keepLast": 2 } }) } else { Value::Null };
        let (status, problem, _) = send(&api, method, NIGHTLY, &body, first.as_deref()).await;
        assert_eq!((status, &problem["code"]), (412, &json!("ERR_EXPORT_PRECONDITION")));
    }
    let change = json!({ "config": { "keepLast": 2 } });
    let (status, next, _) = send(&api, Method::PATCH, NIGHTLY, &change, second.as_deref()).await;
    assert_eq!((status, &next["revision"]), (200, &json!(2)));
    let (_, same, _) = send(&api, Method::PATCH, NIGHTLY, &change, Some("*")).await;
    assert_eq!(same["revision"], json!(2), "nothing changed");

    // All faults at once.
    let bad = json!({ "config": { "keepLst": 1, "compression": { "level": 99 }, "objectLock": "no" } });
    let (status, problem, _) = send(&api, Method::PATCH, NIGHTLY, &bad, None).await;
    let paths: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|fault| fault["path"].as_str().unwrap()).collect();
    assert_eq!(status, 400);
    assert_eq!(paths, ["config.compression.level", "config.keepLst", "config.objectLock"]);

    let page = api.json(&format!("{NIGHTLY}/revisions?limit=1")).await.unwrap();
    assert_eq!((&page["revisions"][0]["revision"], &page["nextCursor"]), (&json!(2), &json!("2")));
    let page = api.json(&format!("{NIGHTLY}/revisions?limit=1&cursor=2")).await.unwrap();
    assert_eq!((&page["revisions"][0]["revision"], &page["nextCursor"]), (&json!(1), &Value::Null));

    // Pages of the list, by following the links.
    let (mut ids, mut next) = (Vec::new(), Some("/api/export/profiles?limit=3".to_owned()));
    while let Some(path) = next {
        let answer = api.get(&path).await.unwrap();
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.and_then(|link| Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned()));
        let page: Value = answer.json().await.unwrap();
        assert_eq!(page["nextCursor"].is_null(), next.is_none());
        ids.extend(
            page["profiles"].as_array().unwrap().iter().map(|profile| profile["id"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(ids, ["json-policy", "json-raw", "mirror-delta", "mirror-full", "nightly", "trivy-db", "trivy-java-db"]);

    // A schedule holds its profile.
    let schedule = json!({ "id": "s", "profileId": "nightly", "cron": "0 3 * * *" });
    assert_eq!(send(&api, Method::POST, "/api/export/schedules", &schedule, None).await.0, 201);
    let (status, problem, _) = send(&api, Method::DELETE, NIGHTLY, &Value::Null, None).await;
    assert_eq!((status, &problem["code"]), (409, &json!("ERR_EXPORT_PROFILE_IN_USE")));
    assert_eq!(send(&api, Method::DELETE, "/api/export/schedules/s", &Value::Null, None).await.0, 204);
    let (status, ..) = send(&api, Method::DELETE, "/api/export/profiles/json-raw", &Value::Null, None).await;
    assert_eq!(status, 409, "built in");

    // A run that was submitted before the end of its profile is made all the same: here an empty ledger ends it.
    let client = deployment.client().unwrap();
    let pending = export_tests::start(&client, "nightly").await.unwrap();
    let credentials = deployment.data().join("credentials.json");
    let ctl = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&programs().unwrap().exportctl);
        output(command.arg("--credentials").arg(&credentials).args(arguments))
    };
    let revisions = ctl(&["--output", "json", "profile", "revisions", "nightly"]).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&revisions).unwrap().as_array().unwrap().len(), 2);
    let schema: Value = serde_json::from_str(&ctl(&["profile", "schema", "json:raw"]).unwrap()).unwrap();
    assert!(schema["properties"]["keepLast"].is_object());
    ctl(&["profile", "delete", "nightly"]).unwrap();
    let finished = export_tests::finish(&client, pending.id.as_str()).await.unwrap();
    assert_eq!(finished.run.error_code.map(export_contract::ErrorCode::as_str), Some("ERR_EXPORT_EMPTY"));
    assert_eq!(finished.run.profile_revision, 2);
    assert_eq!(api.get(NIGHTLY).await.unwrap().status(), StatusCode::NOT_FOUND);
    let kept = api.json(&format!("{NIGHTLY}?revision=r1")).await.unwrap();
    assert_eq!(kept["name"], json!("Every night"), "what runs were made of can still be read");
    let (status, problem, _) = send(&api, Method::POST, "/api/export/profiles", &wanted, None).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("ERR_EXPORT_PROFILE_EXISTS")),
        "its id is never given away again"
    );
}
