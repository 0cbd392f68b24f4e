//! The audit log by the API.

use export_tests::{Api, Deployment, light, output, programs};
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn send(api: &Api, method: Method, path: &str, body: Option<Value>) -> Response {
    let request = api.request(method, path);
    let request = body.into_iter().fold(request, |request, body| request.json(&body));
    request.send().await.unwrap()
}

/// Action, outcome and object of each entry, oldest first.
fn told(entries: &[Value]) -> Vec<(String, String, String)> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    entries.iter().rev().map(|entry| (text(entry, "action"), text(entry, "outcome"), text(entry, "object"))).collect()
}

/// `exportctl audit list` shows the same, as JSON and as a table.
fn the_command_shows(deployment: &Deployment, entries: &[Value]) {
    let listed = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&programs().unwrap().exportctl);
        command.arg("--credentials").arg(deployment.data().join("credentials.json"));
        output(command.args(["audit", "list"]).args(arguments)).unwrap()
    };
    assert_eq!(serde_json::from_str::<Value>(&listed(&["-o", "json"])).unwrap(), json!(entries));
    let table = listed(&["--action", "run.cancelled"]);
    assert!(table.contains("ERR_EXPORT_RUN_CONFLICT") && table.lines().count() == 2, "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_who_did_what_and_holds_no_secret() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    deployment.generate("demo", 1, 50).unwrap();
    let finished = deployment.run("json-raw").await.unwrap();
    let run = finished.run.id.to_string();
    let api = deployment.api().await.unwrap();
    let ok = |answer: Response, status: u16| {
        assert_eq!(answer.status().as_u16(), status, "{}", answer.url());
        answer
    };
    let post = |path: &'static str, body| send(&api, Method::POST, path, Some(body));

    let profile = json!({ "name": "Weekly", "kind": "json:raw" });
    ok(post("/api/export/profiles", profile.clone()).await, 201);
    ok(send(&api, Method::PATCH, "/api/export/profiles/weekly", Some(json!({ "description": "x" }))).await, 200);
    ok(post("/api/export/profiles", json!({ "name": "Weekly", "kind": "trivy:db" })).await, 409);
    let schedule = json!({ "id": "nightly", "profileId": "json-raw", "cron": "0 3 1 1 *" });
    ok(post("/api/export/schedules", schedule).await, 201);
    ok(send(&api, Method::DELETE, "/api/export/schedules/nightly", None).await, 204);
    let hook = ok(post("/api/export/webhooks", json!({ "url": "http://127.0.0.1:9/hook" })).await, 201);
    let hook: Value = hook.json().await.unwrap();
    let secret = hook["secret"].as_str().unwrap().to_owned();
    let hook = hook["id"].as_str().unwrap().to_owned();
    ok(send(&api, Method::DELETE, &format!("/api/export/webhooks/{hook}"), None).await, 204);
    ok(post("/api/export/runs", json!({ "profileId": "nope" })).await, 404);
    ok(send(&api, Method::POST, &format!("/api/export/runs/{run}/cancel"), None).await, 409);
    // Three requests for one file within an hour are one entry.
    for range in ["bytes=0-9", "bytes=10-19"] {
        let part = api.request(Method::GET, &format!("/api/export/runs/{run}/download")).header("range", range);
        ok(part.send().await.unwrap(), 206);
    }
    ok(api.get(&format!("/api/export/runs/{run}/download")).await.unwrap(), 200);
    ok(api.get(&format!("/api/export/runs/{run}/manifest")).await.unwrap(), 200);
    ok(api.get(&format!("/api/export/runs/{run}/files/export.json.sig")).await.unwrap(), 200);
    let links = format!("/api/export/runs/{run}/links");
    let link = ok(send(&api, Method::POST, &links, Some(json!({ "file": "provenance.json" }))).await, 201);
    let link = link.json::<Value>().await.unwrap()["path"].as_str().unwrap().to_owned();
    ok(api.anonymous(Method::GET, &link).send().await.unwrap(), 200);
    let reader = Api::login(&deployment.put_client("reader", "demo", &["export:read"]).unwrap()).await.unwrap();
    ok(send(&reader, Method::POST, "/api/export/runs", Some(json!({ "profileId": "json-raw" }))).await, 403);
    ok(reader.get("/api/export/audit").await.unwrap(), 403);

    let page = api.json("/api/export/audit").await.unwrap();
    let entries = page["entries"].as_array().unwrap().clone();
    let file = |name: &str| format!("runs/{run}/files/{name}");
    let expected = [
        ("run.submitted", "allowed", format!("runs/{run}")),
        ("key.used", "allowed", format!("runs/{run}/keys/{}", finished.bundle().key_id)),
        ("profile.created", "allowed", "profiles/weekly".to_owned()),
        ("profile.revised", "allowed", "profiles/weekly".to_owned()),
        ("profile.created", "refused", "profiles".to_owned()),
        ("schedule.created", "allowed", "schedules/nightly".to_owned()),
        ("schedule.deleted", "allowed", "schedules/nightly".to_owned()),
        ("webhook.created", "allowed", format!("webhooks/{hook}")),
        ("webhook.deleted", "allowed", format!("webhooks/{hook}")),
        ("run.submitted", "refused", "runs".to_owned()),
        ("run.cancelled", "refused", format!("runs/{run}/cancel")),
        ("bundle.downloaded", "allowed", file("bundle.tar")),
        ("manifest.read", "allowed", file("export.json")),
        ("file.read", "allowed", file("export.json.sig")),
        ("link.created", "allowed", format!("runs/{run}/links")),
        ("link.followed", "allowed", file("provenance.json")),
        ("run.submitted", "refused", "runs".to_owned()),
        ("access.refused", "refused", "audit".to_owned()),
    ];
    let expected: Vec<_> =
        expected.map(|(action, outcome, object)| (action.to_owned(), outcome.to_owned(), object)).into();
    assert_eq!(told(&entries), expected);

    let of = |action: &str, outcome: &str| {
        entries.iter().find(|entry| entry["action"] == action && entry["outcome"] == outcome).unwrap()
    };
    let refused = of("run.cancelled", "refused");
    assert_eq!((&refused["errorCode"], &refused["status"]), (&json!("ERR_EXPORT_RUN_CONFLICT"), &json!(409)));
    assert_eq!((&refused["actor"], &refused["remote"]), (&json!("local"), &json!("127.0.0.1")));
    assert!(refused["tokenId"].as_str().is_some_and(|id| !id.is_empty()));
    let followed = of("link.followed", "allowed");
    assert_eq!((&followed["actor"], &followed["tokenId"]), (&json!("link"), &Value::Null));
    assert_eq!(of("access.refused", "refused")["actor"], "reader");
    assert_eq!(of("key.used", "allowed")["actor"], "sign");
    let text = page.to_string();
    let signature = link.split_once("signature=").unwrap().1;
    assert!(!text.contains(&secret) && !text.contains(signature) && !text.contains("eyJ"), "{text}");

    // Pages give the same, newest first, and each names the next.
    let mut paged = Vec::new();
    let mut next = Some("/api/export/audit?limit=5".to_owned());
    while let Some(path) = next {
        let answer = ok(api.get(&path).await.unwrap(), 200);
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        next = link.map(|link| link.trim_start_matches('<').split_once('>').unwrap().0.to_owned());
        paged.extend(answer.json::<Value>().await.unwrap()["entries"].as_array().unwrap().clone());
    }
    assert_eq!(paged, entries);
    let cancelled = api.json("/api/export/audit?action=run.cancelled&since=2026-01-01T00:00:00Z").await.unwrap();
    assert_eq!(cancelled["entries"], json!([refused]));
    for bad in ["action=run.eaten", "since=yesterday", "limit=0", "cursor=%3Cscript%3E", "colour=red"] {
        ok(api.get(&format!("/api/export/audit?{bad}")).await.unwrap(), 400);
    }

    the_command_shows(&deployment, &entries);

    // Another tenant's log is its own.
    let other = Api::login(&deployment.put_client("globex", "globex", &[]).unwrap()).await.unwrap();
    ok(other.get(&format!("/api/export/runs/{run}/download")).await.unwrap(), 404);
    let theirs = other.json("/api/export/audit").await.unwrap();
    let expected = vec![("bundle.downloaded".to_owned(), "refused".to_owned(), file("bundle.tar"))];
    assert_eq!(told(theirs["entries"].as_array().unwrap()), expected);
    assert_eq!(api.json("/api/export/audit").await.unwrap()["entries"].as_array().unwrap().len(), entries.len());
}
