//! Requests that must be refused, each with status, code and a message that says what is wrong.

use export_contract::run::RunStatus;
use export_tests::{Api, Deployment, Finished, LOCAL_TENANT, finish, heavy, light, start};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::evidence::small_parts;

const RUNS: &str = "/api/export/runs";
const NOBODY: &str = "01arz3ndektsv4rrffq69g5fav";

/// Sends a request and asserts that it is refused as a problem document.
async fn refused(what: &str, request: RequestBuilder, status: u16, code: &str, message: &str) -> Value {
    let answer = request.send().await.unwrap();
    let found = answer.status().as_u16();
    let media = answer.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let text = answer.text().await.unwrap();
    assert_eq!(found, status, "{what}: {text}");
    assert_eq!(media.as_deref(), Some("application/problem+json"), "{what}: {text}");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["code"], code, "{what}: {text}");
    assert_eq!(problem["status"], status, "{what}: {text}");
    assert!(text.contains(message), "{what}: no `{message}` in {text}");
    assert!(problem["traceId"].as_str().is_some_and(|id| !id.is_empty()), "{what}: {text}");
    problem
}

fn submit(api: &Api, body: &Value) -> RequestBuilder {
    api.request(Method::POST, RUNS).json(body)
}

/// A request of an endpoint that takes JSON, with this body as it stands.
fn raw(api: &Api, media: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    api.request(Method::POST, RUNS).header("content-type", media).body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_with_status_code_and_message() {
    let _turn = light().await;
    check_bad_requests(&Deployment::all().await.unwrap()).await;
}

/// All of this page, on a deployment of any shape that holds nothing yet.
pub(crate) async fn check(deployment: &Deployment) {
    check_bad_requests(deployment).await;
    check_empty_ledger(deployment).await;
    check_idempotency(deployment).await;
    check_tenants(deployment).await;
    check_cancel(deployment, 3_000).await;
}

/// How many runs the tenant of `api` has.
async fn runs(api: &Api) -> usize {
    api.json(RUNS).await.unwrap()["runs"].as_array().unwrap().len()
}

async fn check_bad_requests(deployment: &Deployment) {
    let api = deployment.api().await.unwrap();
    selectors_and_profiles(&api).await;
    bodies(&api).await;
    paths_and_parameters(&api).await;
    callers(deployment, &api).await;
    assert_eq!(runs(&api).await, 0, "a refused request must leave no run");
}

async fn selectors_and_profiles(api: &Api) {
    let run = |selectors: Value| submit(api, &json!({ "profileId": "json:raw", "selectors": selectors }));
    let member = "ERR_EXPORT_INVALID_REQUEST";
    refused("unknown selector", run(json!({ "colour": ["red"] })), 400, member, "unknown field `colour`").await;
    refused("selector of another type", run(json!({ "kinds": "advisory" })), 400, member, "expected a sequence").await;
    let value = "ERR_EXPORT_INVALID_SELECTOR";
    for (what, selectors, path, message) in [
        ("kind", json!({ "kinds": ["advisory", "poem"] }), "selectors.kinds", "poem"),
        ("product", json!({ "products": ["npm/left-pad"] }), "selectors.products", "must start with `pkg:`"),
        ("window", json!({ "window": { "last": "soon" } }), "selectors.window.last", "90m, 36h, 7d or 2w"),
        ("bound", json!({ "window": { "from": "yesterday" } }), "selectors.window.from", "yesterday"),
        ("severity", json!({ "severities": ["awful"] }), "selectors.severities", "critical, high"),
        ("pattern", json!({ "include": ["a*b"] }), "selectors.include", "at the end only"),
    ] {
        let problem = refused(what, run(selectors), 400, value, message).await;
        assert_eq!(problem["errors"][0]["path"], path, "{problem}");
    }
    let other = run(json!({ "tenants": ["other"] }));
    refused("tenant", other, 403, "ERR_EXPORT_APPROVAL_INVALID", "with a signed approval only").await;
    let of = |profile: &str| submit(api, &json!({ "profileId": profile }));
    refused("unknown profile", of("no-such"), 404, "ERR_EXPORT_002", "no profile `no-such` for tenant `demo`").await;
    refused("strange profile", of("../etc"), 404, "ERR_EXPORT_002", "../etc").await;
    // What this build has no adapter for is refused; what it has is offered.
    let profiles = api.json("/api/export/profiles").await.unwrap();
    let unsupported: Vec<&str> = profiles["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|profile| profile["supported"] == false)
        .map(|profile| profile["kind"].as_str().unwrap())
        .collect();
    assert!(!unsupported.contains(&"json:raw"));
    for kind in unsupported {
        let message = format!("no adapter of this deployment makes `{kind}`");
        refused(kind, of(kind), 422, "ERR_EXPORT_PROFILE_UNSUPPORTED", &message).await;
    }
    let create = |body: Value| api.request(Method::POST, "/api/export/profiles").json(&body);
    let profile = "ERR_EXPORT_INVALID_PROFILE";
    refused("kind", create(json!({ "name": "n", "kind": "json:rare" })), 400, profile, "`json:rare` is unknown").await;
    let config = json!({ "name": "n", "kind": "json:raw", "config": { "compression": { "level": 99 } } });
    refused("level", create(config), 400, profile, "config.compression.level").await;
    let patch = api.request(Method::PATCH, "/api/export/profiles/json-raw").json(&json!({ "config": { "x": 1 } }));
    refused("member", patch, 400, profile, "config.x").await;
}

async fn bodies(api: &Api) {
    let code = "ERR_EXPORT_INVALID_REQUEST";
    refused("cut off", raw(api, "application/json", "{\"profileId\":"), 400, code, "EOF").await;
    refused("no JSON", raw(api, "application/json", "profileId=json:raw"), 400, code, "line 1 column").await;
    refused("empty", raw(api, "application/json", ""), 400, code, "EOF").await;
    refused("array", raw(api, "application/json", "[]"), 400, code, "not what this endpoint takes").await;
    refused("no profile", raw(api, "application/json", "{}"), 400, code, "missing field `profileId`").await;
    refused("not UTF-8", raw(api, "application/json", &b"{\"profileId\":\"\xff\"}"[..]), 400, code, "body").await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused("deep", raw(api, "application/json", deep), 400, code, "not what this endpoint takes").await;
    let media = "ERR_EXPORT_UNSUPPORTED_MEDIA";
    refused("form", raw(api, "text/plain", "{}"), 415, media, "application/json").await;
    refused("no media type", api.request(Method::POST, RUNS).body("{}"), 415, media, "application/json").await;
    let large = format!("{{\"profileId\":\"{}\"}}", "x".repeat(2 << 20));
    let code = "ERR_EXPORT_BODY_TOO_LARGE";
    refused("large", raw(api, "application/json", large.clone()), 413, code, "larger than 1048576 bytes").await;
    // Without a length that would announce it.
    let pieces: Vec<_> = large.as_bytes().chunks(10_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    let stream = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    refused("large in pieces", raw(api, "application/json", stream), 413, code, "larger than 1048576 bytes").await;
}

async fn paths_and_parameters(api: &Api) {
    let get = |path: &str| api.request(Method::GET, path);
    for path in [
        format!("{RUNS}/{NOBODY}"),
        format!("{RUNS}/not-an-id"),
        format!("{RUNS}/{NOBODY}/events"),
        format!("{RUNS}/{NOBODY}/download"),
        format!("{RUNS}/{NOBODY}/manifest"),
        format!("{RUNS}/{NOBODY}/files/export.json"),
    ] {
        refused(&path, get(&path), 404, "ERR_EXPORT_RUN_NOT_FOUND", "for tenant `demo`").await;
    }
    let cancel = api.request(Method::POST, &format!("{RUNS}/{NOBODY}/cancel"));
    refused("cancel", cancel, 404, "ERR_EXPORT_RUN_NOT_FOUND", NOBODY).await;
    refused("method", api.request(Method::DELETE, RUNS), 405, "ERR_EXPORT_METHOD_NOT_ALLOWED", "this path takes ")
        .await;
    refused("path", get("/api/export/nothing"), 404, "ERR_EXPORT_NOT_FOUND", "GET /openapi.json lists what there is")
        .await;
    refused("root", get("/api"), 404, "ERR_EXPORT_NOT_FOUND", "GET /openapi.json lists what there is").await;
    let code = "ERR_EXPORT_INVALID_REQUEST";
    for (query, message) in [
        ("limit=0", "from 1 to 200"),
        ("limit=201", "from 1 to 200"),
        ("limit=many", "`many`"),
        ("status=done", "pending, running"),
        ("cursor=xyz", "cursor"),
        ("colour=red", "`colour` is unknown here"),
    ] {
        refused(query, get(&format!("{RUNS}?{query}")), 400, code, message).await;
    }
    let key = submit(api, &json!({ "profileId": "json:raw" })).header("idempotency-key", "k".repeat(256));
    refused("long key", key, 400, code, "1 to 255 characters").await;
}

async fn callers(deployment: &Deployment, api: &Api) {
    let code = "ERR_EXPORT_UNAUTHENTICATED";
    refused("no token", api.anonymous(Method::GET, RUNS), 401, code, "Authorization: DPoP TOKEN").await;
    let bearing = |token: &str| api.anonymous(Method::GET, RUNS).header("authorization", format!("DPoP {token}"));
    refused("garbage", bearing("garbage"), 401, code, "not a signed JWT").await;
    let bearer = api.anonymous(Method::GET, RUNS).bearer_auth(api.token());
    refused("bearer", bearer, 401, code, "a bearer token is not taken").await;
    refused("no proof", bearing(api.token()), 401, code, "send a proof in the header `DPoP`").await;
    let basic = api.anonymous(Method::GET, RUNS).basic_auth("local", Some("secret"));
    refused("basic", basic, 401, code, "not of the form `Authorization: DPoP TOKEN`").await;
    // A signed token with one letter of its contents changed.
    let mut parts: Vec<String> = api.token().split('.').map(str::to_owned).collect();
    let changed = if parts[1].get(20..21) == Some("A") { "B" } else { "A" };
    parts[1].replace_range(20..21, changed);
    refused("forged", bearing(&parts.join(".")), 401, code, "signature does not verify").await;
    let other = api.request(Method::GET, RUNS).header("x-stella-tenant", "other");
    let message = "the token does not speak for tenant `other`";
    refused("other tenant", other, 403, "ERR_EXPORT_TENANT_MISMATCH", message).await;
    let reader = Api::login(&deployment.put_client("reader", LOCAL_TENANT, &["export:read"]).unwrap()).await.unwrap();
    reader.json(RUNS).await.unwrap();
    let code = "ERR_EXPORT_SCOPE_MISSING";
    let run = submit(&reader, &json!({ "profileId": "json:raw" }));
    refused("run without scope", run, 403, code, "lacks the scope `export:run`").await;
    let profile =
        reader.request(Method::POST, "/api/export/profiles").json(&json!({ "name": "n", "kind": "json:raw" }));
    refused("profile without scope", profile, 403, code, "`export:profile:manage`").await;
    let download = reader.request(Method::GET, &format!("{RUNS}/{NOBODY}/download"));
    refused("download without scope", download, 403, code, "`export:download`").await;
    let cancel = reader.request(Method::POST, &format!("{RUNS}/{NOBODY}/cancel"));
    refused("cancel without scope", cancel, 403, code, "`export:run`").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_gives_one_run_and_refuses_another_body() {
    let _turn = light().await;
    check_idempotency(&Deployment::all().await.unwrap()).await;
}

async fn check_idempotency(deployment: &Deployment) {
    deployment.generate(LOCAL_TENANT, 1, 100).unwrap();
    let api = deployment.api().await.unwrap();
    let before = runs(&api).await;
    let body = json!({ "profileId": "json:raw" });
    let send = || submit(&api, &body).header("idempotency-key", "monthly-2026-01").send();
    let (one, two) = tokio::join!(send(), send());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.status(), two.status()), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    let (one, two): (Value, Value) = (one.json().await.unwrap(), two.json().await.unwrap());
    assert_eq!(one["id"], two["id"]);
    finish(&deployment.client().unwrap(), one["id"].as_str().unwrap()).await.unwrap();
    let later: Value = send().await.unwrap().json().await.unwrap();
    assert_eq!((&later["id"], &later["status"]), (&one["id"], &json!("succeeded")));
    let other = submit(&api, &json!({ "profileId": "json-raw", "selectors": { "kinds": ["vex"] } }))
        .header("idempotency-key", "monthly-2026-01");
    refused("another body", other, 422, "ERR_EXPORT_IDEMPOTENCY_MISMATCH", "another body before").await;
    assert_eq!(runs(&api).await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_ledger_fails_the_run_with_a_reason() {
    let _turn = light().await;
    check_empty_ledger(&Deployment::all().await.unwrap()).await;
}

async fn check_empty_ledger(deployment: &Deployment) {
    let finished = deployment.run("json:raw").await.unwrap();
    finished.assert_once();
    assert_eq!(finished.run.status, RunStatus::Failed);
    assert_eq!(finished.run.error_code.map(export_contract::ErrorCode::as_str), Some("ERR_EXPORT_EMPTY"));
    let message = finished.run.error_message.clone().unwrap();
    assert!(message.contains("no records at all"), "{message}");
    assert_eq!(finished.timeline().last(), Some(&"run.failed"));
    let api = deployment.api().await.unwrap();
    let download = api.request(Method::GET, &format!("{RUNS}/{}/download", finished.run.id));
    refused("download", download, 409, "ERR_EXPORT_NOT_READY", "is `failed` and has no bundle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_is_aborted_by_name_and_ended_runs_cannot_be_cancelled() {
    let _turn = heavy().await;
    check_cancel(&Deployment::all().await.unwrap(), 20_000).await;
}

async fn check_cancel(deployment: &Deployment, records: u64) {
    deployment.generate(LOCAL_TENANT, 1, records).unwrap();
    let client = deployment.client().unwrap();
    let api = deployment.api().await.unwrap();
    small_parts(&client).await;
    let run = start(&client, "small-parts").await.unwrap();
    let path = |tail: &str| format!("{RUNS}/{}/{tail}", run.id);
    let early = api.request(Method::GET, &path("download"));
    refused("early download", early, 409, "ERR_EXPORT_NOT_READY", "has no bundle").await;
    let mut events = client.follow(run.id.as_str(), 0);
    while let Some(signal) = events.next().await.unwrap() {
        if matches!(signal, export_client::RunSignal::Event(event) if event.event_type.as_str() == "adapter.complete") {
            break;
        }
    }
    let cancelled = client.cancel_run(run.id.as_str()).await.unwrap();
    assert_eq!(cancelled.status, RunStatus::Aborted);
    let finished: Finished = finish(&client, run.id.as_str()).await.unwrap();
    finished.assert_once();
    let last = finished.events.last().unwrap();
    assert_eq!((last.event_type.as_str(), last.actor.as_deref()), ("run.aborted", Some("local")));
    assert_eq!(client.cancel_run(run.id.as_str()).await.unwrap().status, RunStatus::Aborted, "cancelling repeats");
    let download = api.request(Method::GET, &path("download"));
    refused("download", download, 409, "ERR_EXPORT_NOT_READY", "is `aborted`").await;
    // The next run is not held up by the one that went.
    let next = deployment.run("json:raw").await.unwrap();
    next.bundle();
    let ended = api.request(Method::POST, &format!("{RUNS}/{}/cancel", next.run.id));
    refused("cancel", ended, 409, "ERR_EXPORT_RUN_CONFLICT", "has ended as `succeeded`").await;
    assert_eq!(finish(&client, run.id.as_str()).await.unwrap().events, finished.events, "nothing follows the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_sees_nothing_of_another() {
    let _turn = light().await;
    check_tenants(&Deployment::all().await.unwrap()).await;
}

async fn check_tenants(deployment: &Deployment) {
    deployment.generate(LOCAL_TENANT, 1, 300).unwrap();
    let finished = deployment.run("json:raw").await.unwrap();
    let api = deployment.api().await.unwrap();
    let before = runs(&api).await;
    let credentials = deployment.put_client("stranger", "other", &[]).unwrap();
    let stranger = Api::login(&credentials).await.unwrap();
    assert_eq!(runs(&stranger).await, 0);
    let run = format!("{RUNS}/{}", finished.run.id);
    for tail in ["", "/events", "/download", "/manifest", "/provenance", "/files/export.json"] {
        let path = format!("{run}{tail}");
        let request = stranger.request(Method::GET, &path);
        refused(&path, request, 404, "ERR_EXPORT_RUN_NOT_FOUND", "for tenant `other`").await;
    }
    let cancel = stranger.request(Method::POST, &format!("{run}/cancel"));
    refused("cancel", cancel, 404, "ERR_EXPORT_RUN_NOT_FOUND", "for tenant `other`").await;
    let disguised = stranger.request(Method::GET, RUNS).header("x-stella-tenant", LOCAL_TENANT);
    refused("disguise", disguised, 403, "ERR_EXPORT_TENANT_MISMATCH", "does not speak for tenant `demo`").await;
    // The evidence is not theirs either, and what they have is all that they export.
    let client = export_client::Client::new(export_client::Credentials::read(&credentials).unwrap()).unwrap();
    let empty = start(&client, "json:raw").await.unwrap();
    let empty = finish(&client, empty.id.as_str()).await.unwrap();
    assert_eq!(empty.run.error_code.map(export_contract::ErrorCode::as_str), Some("ERR_EXPORT_EMPTY"));
    deployment.generate("other", 2, 200).unwrap();
    let own = start(&client, "json:raw").await.unwrap();
    let own = finish(&client, own.id.as_str()).await.unwrap();
    assert_eq!(own.bundle().records, 200);
    assert_eq!(runs(&api).await, before, "runs of the stranger");
}
