//! schemathesis makes requests of the document, right and wrong ones, and judges the answers by it.

use std::collections::BTreeMap;
use std::path::Path;

use export_tests::{Deployment, LOCAL_TENANT, Setup, heavy, is_left_out, light, output, python, soak, workspace};
use reqwest::Method;
use serde_json::{Value, json};

/// What of an answer is judged.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

/// Lets the judge loose; gives how often each status and each operation came.
fn judged(deployment: &Deployment, names: &Value, token: &str, examples: u32, phases: &str) -> BTreeMap<String, u64> {
    let counts = deployment.folder().join(format!("judged-{token}.json"));
    let settings = json!({
        "server": deployment.server(),
        "credentials": deployment.data().join("credentials.json"),
        "token": token,
        "names": names,
        "counts": counts,
    });
    let mut command = python();
    command
        .args(["-m", "schemathesis.cli", "run", &format!("{}/openapi.json", deployment.server())])
        .args(["--checks", CHECKS, "--phases", phases, "--max-examples", &examples.to_string()])
        .args(["--seed", "7", "--workers", "2", "--request-timeout", "30", "--suppress-health-check", "all"])
        .args(["--warnings", "off", "--no-color", "--continue-on-failure", "--generation-database", "none"])
        .env("EXPORT_JUDGE", settings.to_string())
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", workspace().join("tests/judges"))
        .current_dir(deployment.folder());
    output(&mut command).unwrap_or_else(|error| panic!("with token {token}: {error:#}"));
    serde_json::from_slice(&std::fs::read(counts).unwrap()).unwrap()
}

/// A deployment with a finished run, a schedule, a webhook and a link, and their names for the judge.
async fn judged_deployment() -> (Deployment, Value) {
    // What is judged is each answer, and not how many there may be.
    let limits = "[limits]\nrequests_per_second = 100000\nrequest_burst = 1000000\nfailures_per_second = 100000\nfailure_burst = 1000000\n\
                  pending_runs = 100000\n";
    let deployment = Deployment::start_with(Setup::together(), "", limits).await.unwrap();
    let samples: &Path = &workspace().join("samples").canonicalize().unwrap();
    deployment.import(&[samples]).unwrap();
    let run = deployment.run("json-raw").await.unwrap().run.id.to_string();
    let api = deployment.api().await.unwrap();
    let schedule = json!({ "id": "seeded", "profileId": "json-raw", "cron": "0 3 1 1 *" });
    let answer = api.request(Method::POST, "/api/export/schedules").json(&schedule).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let webhook = json!({ "url": "https://hooks.example/export" });
    let answer = api.request(Method::POST, "/api/export/webhooks").json(&webhook).send().await.unwrap();
    let webhook = answer.json::<Value>().await.unwrap()["id"].clone();
    let path = format!("/api/export/webhooks/{}/test", webhook.as_str().unwrap());
    let delivery = api.request(Method::POST, &path).send().await.unwrap().json::<Value>().await.unwrap();
    let link = deployment.client().unwrap().link(&run, "bundle.tar", 7_200).await.unwrap();
    let query = link.path.split_once('?').unwrap().1;
    let pair =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap().to_owned();
    let mut names = json!({
        "run": run,
        "file": "bundle.tar",
        "tenant": LOCAL_TENANT,
        "profile": "json-raw",
        "name": "export.json.sig",
        "kind": "json:raw",
        "delivery": delivery["id"],
        "link": { "expires": pair("expires"), "signature": pair("signature") },
    });
    for (collection, id) in [("profiles", json!("json-raw")), ("schedules", json!("seeded")), ("webhooks", webhook)] {
        for tail in ["", "/revisions", "/test", "/deliveries", "/deliveries/{delivery}/replay"] {
            names[format!("/api/export/{collection}/{{id}}{tail} id")] = id.clone();
        }
    }
    for tail in ["", "/cancel", "/events", "/download", "/manifest", "/provenance", "/files/{name}", "/links"] {
        names[format!("/api/export/runs/{{id}}{tail} id")] = json!(run);
    }
    let client = deployment.client().unwrap();
    let other = export_tests::start(&client, "json-raw").await.unwrap();
    // Where its end was faster, a replay is refused, which the document says as well.
    drop(client.cancel_run(other.id.as_str()).await);
    names["/api/export/runs/{id}/replay id"] = json!(other.id);
    (deployment, names)
}

fn requests(counts: &BTreeMap<String, u64>) -> u64 {
    counts.iter().filter(|(name, _)| name.parse::<u16>().is_ok()).map(|(_, count)| count).sum()
}

fn is_absent() -> bool {
    let mut command = python();
    let absent = is_left_out("schemathesis") || output(command.args(["-c", "import schemathesis, jwt"])).is_err();
    assert!(!absent || is_left_out("schemathesis"), "schemathesis is not installed; `make tools` installs it");
    absent
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_answered_other_than_the_document_says_whoever_sends_it() {
    if is_absent() {
        return;
    }
    let _turn = if soak() { heavy().await } else { light().await };
    let (deployment, names) = judged_deployment().await;
    // Of a soak some 20,000 requests come with a token, else some hundreds of each kind.
    let (examples, phases) =
        if soak() { (450, "examples,coverage,fuzzing,stateful") } else { (12, "examples,fuzzing") };
    let mut all = 0;
    for (token, examples) in [("valid", examples), ("none", examples / 3), ("invalid", examples / 3)] {
        let counts = judged(&deployment, &names, token, examples, phases);
        all += requests(&counts);
        let of = |status: &str| counts.get(status).copied().unwrap_or_default();
        eprintln!("token {token}: {} requests: {counts:?}", requests(&counts));
        assert_eq!(of("500"), 0);
        if token == "valid" {
            for status in ["200", "201", "202", "204", "400", "404", "409"] {
                assert!(of(status) > 0, "never {status}: the requests do not get far");
            }
            for made in ["profiles", "schedules", "webhooks"] {
                let made = format!("201 POST /api/export/{made}");
                assert!(counts.contains_key(&made), "never {made}");
            }
        } else {
            assert!(of("401") > of("404"), "who calls is asked first");
            assert_eq!(of("201") + of("202") + of("204"), 0, "nothing is made for nobody");
        }
    }
    assert!(all > if soak() { 20_000 } else { 600 }, "{all} requests");
}
