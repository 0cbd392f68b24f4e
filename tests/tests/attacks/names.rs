//! Names that are paths or queries, and names of what is another tenant's.

use export_contract::run::RunStatus;
use export_tests::{Api, Deployment, LOCAL_TENANT, Setup, Store, finish, light};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rows::{NO_RUN, Row, assert_refused};

const RUNS: &str = "/api/export/runs";
/// Texts that mean something to a shell of MongoDB, to SQL, or to a file system; percent-encoded as far as an address needs it.
const NAMES: [&str; 12] = [
    "%7B%22$gt%22:%22%22%7D",
    "%7B%22$where%22:%22sleep(1000)%22%7D",
    "$ne",
    "[$ne]=x",
    "'%20OR%201=1%20--",
    "x';%20DROP%20TABLE%20export_runs;--",
    "1%20UNION%20SELECT%20document%20FROM%20export_runs",
    "..%2F..%2Fetc%2Fpasswd",
    "%00",
    "%25",
    "*",
    "%F0%9F%92%A3",
];

#[tokio::test(flavor = "multi_thread")]
async fn names_are_never_queries_paths_or_of_others_on_sqlite() {
    let _turn = light().await;
    check(&Deployment::all().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_never_queries_paths_or_of_others_on_mongodb() {
    let _turn = light().await;
    check(&Deployment::start(Setup::apart(Store::Ferret, 1)).await.unwrap()).await;
}

async fn check(deployment: &Deployment) {
    deployment.generate(LOCAL_TENANT, 1, 50).unwrap();
    let made = deployment.run("json-raw").await.unwrap();
    assert_eq!(made.run.status, RunStatus::Succeeded);
    let api = deployment.api().await.unwrap();
    let rival = Api::login(&deployment.put_client("rival", "rival", &[]).unwrap()).await.unwrap();
    names(&api).await;
    queries(&api).await;
    selectors(deployment, &api).await;
    of_another_tenant(&rival, made.run.id.as_str()).await;
    in_the_registry(deployment, &rival, made.run.id.as_str()).await;
    raw_paths(deployment.server()).await;
    // All of it is still there, and as it was.
    let run = api.json(&format!("{RUNS}/{}", made.run.id)).await.unwrap();
    assert_eq!(run["status"], "succeeded");
}

async fn names(api: &Api) {
    let mut rows = Vec::new();
    let get = |path: String| api.request(Method::GET, &path);
    for name in NAMES {
        for tail in ["", "/events", "/download", "/manifest", "/provenance", "/files/export.json"] {
            let path = format!("{RUNS}/{name}{tail}");
            rows.push(Row::new(path.clone(), get(path), NO_RUN, ""));
        }
        let cancel = format!("{RUNS}/{name}/cancel");
        rows.push(Row::new(cancel.clone(), api.request(Method::POST, &cancel), NO_RUN, ""));
        let profile = format!("/api/export/profiles/{name}");
        rows.push(Row::new(profile.clone(), get(profile), (404, "ERR_EXPORT_002"), ""));
        let schedule = format!("/api/export/schedules/{name}");
        rows.push(Row::new(schedule.clone(), get(schedule), (404, "ERR_EXPORT_SCHEDULE_NOT_FOUND"), ""));
        let webhook = format!("/api/export/webhooks/{name}");
        rows.push(Row::new(webhook.clone(), get(webhook), (404, "ERR_EXPORT_WEBHOOK_NOT_FOUND"), ""));
        let link = format!("/api/export/links/{LOCAL_TENANT}/{name}/bundle.tar?expires=9999999999&signature=AAAA");
        rows.push(Row::new(link.clone(), get(link), (403, "ERR_EXPORT_LINK_INVALID"), ""));
    }
    assert_refused(rows).await;
}

async fn queries(api: &Api) {
    let invalid = (400, "ERR_EXPORT_INVALID_REQUEST");
    let mut rows = Vec::new();
    for query in [
        "status[$ne]=x",
        "status=%7B%22$ne%22:%22x%22%7D",
        "status='%20OR%201=1%20--",
        "$where=1",
        "cursor='%20OR%201=1%20--",
        "cursor=%7B%22$gt%22:%22%22%7D",
        "limit=1;DROP%20TABLE%20export_runs",
        "tenant=rival",
    ] {
        rows.push(Row::new(query, api.request(Method::GET, &format!("{RUNS}?{query}")), invalid, ""));
    }
    assert_refused(rows).await;
    // A filter by a profile of that name finds nothing, or is no name of a profile.
    for name in NAMES {
        let answer = api.get(&format!("{RUNS}?profile={name}")).await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        let found = body["runs"].as_array().map_or(0, Vec::len);
        assert!((status == 200 && found == 0) || [400, 404].contains(&status), "{name}: {status} {body}");
    }
}

/// Selectors reach the ledger as values: as operators they are refused, as texts they match nothing.
async fn selectors(deployment: &Deployment, api: &Api) {
    let submit = |selectors: Value| {
        api.request(Method::POST, RUNS).json(&json!({ "profileId": "json-raw", "selectors": selectors }))
    };
    let invalid = (400, "ERR_EXPORT_INVALID_REQUEST");
    let operator = json!({ "$gt": "" });
    let mut rows = Vec::new();
    for name in ["sources", "ecosystems", "products", "sbomSubjects", "include", "exclude", "kinds", "severities"] {
        rows.push(Row::new(name, submit(json!({ name: operator })), invalid, "expected a sequence"));
        rows.push(Row::new(format!("{name}, in a list"), submit(json!({ name: [operator] })), invalid, ""));
    }
    rows.push(Row::new("an operator as selector", submit(json!({ "$or": [{}] })), invalid, "unknown field"));
    rows.push(Row::new("window", submit(json!({ "window": { "last": operator } })), invalid, ""));
    assert_refused(rows).await;
    let client = deployment.client().unwrap();
    for selectors in [
        json!({ "sources": ["' OR 1=1 --"] }),
        json!({ "ecosystems": ["{\"$gt\":\"\"}", "') OR ('1'='1"] }),
        json!({ "include": ["%", "_", ".*", "' OR ''='"] }),
        json!({ "products": ["pkg:.*", "pkg:%"] }),
    ] {
        let answer = submit(selectors.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{selectors}");
        let run: Value = answer.json().await.unwrap();
        let finished = finish(&client, run["id"].as_str().unwrap()).await.unwrap();
        // A run that matches nothing fails, as its profile does not allow it to be empty.
        let code = finished.run.error_code.map(export_contract::ErrorCode::as_str);
        assert_eq!((finished.run.status, code), (RunStatus::Failed, Some("ERR_EXPORT_EMPTY")), "{selectors}");
    }
}

/// What is another's is not there: 404 and never 403, or its answer would tell.
async fn of_another_tenant(rival: &Api, run: &str) {
    let mut rows = Vec::new();
    for tail in ["", "/events", "/download", "/manifest", "/provenance", "/files/export.json", "/files/cosign.pub"] {
        let path = format!("{RUNS}/{run}{tail}");
        rows.push(Row::new(path.clone(), rival.request(Method::GET, &path), NO_RUN, "for tenant `rival`"));
    }
    let range = rival.request(Method::GET, &format!("{RUNS}/{run}/download")).header("range", "bytes=0-0");
    rows.push(Row::new("a byte of it", range, NO_RUN, ""));
    let events = rival.request(Method::GET, &format!("{RUNS}/{run}/events")).header("last-event-id", "0");
    rows.push(Row::new("its events from the start", events.header("accept", "text/event-stream"), NO_RUN, ""));
    let cancel = rival.request(Method::POST, &format!("{RUNS}/{run}/cancel"));
    rows.push(Row::new("to cancel it", cancel, NO_RUN, ""));
    let link = rival.request(Method::POST, &format!("{RUNS}/{run}/links")).json(&json!({}));
    rows.push(Row::new("a link to it", link, NO_RUN, ""));
    let forged = format!("/api/export/links/{LOCAL_TENANT}/{run}/bundle.tar?expires=9999999999&signature=AAAA");
    rows.push(Row::new("a forged link", rival.anonymous(Method::GET, &forged), (403, "ERR_EXPORT_LINK_INVALID"), ""));
    let vex = format!("/vex/{LOCAL_TENANT}/json-raw/.well-known/vex-repository.json");
    rows.push(Row::new("its VEX", rival.request(Method::GET, &vex), (404, "ERR_EXPORT_NOT_FOUND"), ""));
    assert_refused(rows).await;
    assert_eq!(rival.json(RUNS).await.unwrap()["runs"], json!([]));
}

async fn in_the_registry(deployment: &Deployment, rival: &Api, run: &str) {
    let unknown = (404, "NAME_UNKNOWN");
    let pull = |path: String| rival.request(Method::GET, &path);
    let mut rows = Vec::new();
    for tail in [format!("manifests/{run}"), "manifests/latest".to_owned(), "tags/list".to_owned()] {
        let path = format!("/v2/{LOCAL_TENANT}/json-raw/{tail}");
        rows.push(Row::new(path.clone(), pull(path), unknown, ""));
    }
    let nobody = "/v2/nobody/json-raw/tags/list".to_owned();
    rows.push(Row::new("of nobody: the same answer", pull(nobody), unknown, ""));
    assert_refused(rows).await;
    // A token of the API is good with its key only, here as well.
    let http = Client::new();
    let address = format!("{}/v2/rival/json-raw/tags/list", deployment.server());
    let bearer = http.get(&address).bearer_auth(rival.token()).send().await.unwrap();
    assert_eq!(bearer.status(), 401);
    assert!(bearer.headers()["www-authenticate"].to_str().unwrap().contains("error=\"invalid_token\""));
}

/// Paths as no HTTP library sends them: nothing but the API's own answers, and never a file.
async fn raw_paths(server: &str) {
    let address = server.trim_start_matches("http://");
    for path in [
        "/api/export/runs/../../../../etc/passwd",
        "/../etc/passwd",
        "//etc/passwd",
        "/api/export/runs/..%2f..%2f..%2fetc%2fpasswd",
        "/api/export/runs/%2e%2e/%2e%2e/download",
        "/v2/../api/export/keys",
        "/v2/..%2f..%2fetc/passwd/tags/list",
        "/vex/../../etc/passwd/.well-known/vex-repository.json",
        "/api/export/runs/\u{1}/events",
        "/api/export/runs/%ff%fe/download",
        "http://evil.test/api/export/runs",
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let text = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        connection.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["400", "401", "404"].contains(&status), "{path}: {answer}");
        assert!(!answer.contains("root:"), "{path}: {answer}");
    }
}
