//! One run, one trace, whichever processes did it; and none of it matters to the run.

use std::collections::{BTreeMap, BTreeSet};

use export_tests::{Collector, Deployment, LOCAL_TENANT, Setup, Span, Store, finish, light};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A caller's own span.
const CALLER: (&str, &str) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");

fn sends_to(address: &str) -> String {
    format!("[telemetry]\notlp_endpoint = \"{address}\"\n")
}

/// Submits a run with a `traceparent` and gives its id.
async fn submit(deployment: &Deployment, traceparent: Option<String>) -> String {
    let api = deployment.api().await.unwrap();
    let mut request = api.request(Method::POST, "/api/export/runs").json(&json!({ "profileId": "json-raw" }));
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

/// The spans of a run's steps by name, and the request's span above them.
fn of_run<'a>(spans: &'a [Span], run: &str) -> (Vec<&'a Span>, Vec<&'a Span>) {
    let of = |span: &&Span| span.attributes.get("export.run_id").is_some_and(|id| id == run);
    let (above, steps) = spans.iter().filter(of).partition(|span| span.service == "exportd-gateway");
    (above, steps)
}

const STEPS: [&str; 5] = ["export.plan", "export.fetch", "export.write", "export.sign", "export.distribute"];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_across_processes_below_the_span_of_its_caller() {
    let _turn = light().await;
    let collector = Collector::start().await.unwrap();
    let mut deployment =
        Deployment::start_with(Setup::apart(Store::Sqlite, 2), "", &sends_to(collector.address())).await.unwrap();
    deployment.generate(LOCAL_TENANT, 1, 200).unwrap();
    let client = deployment.client().unwrap();
    let called = submit(&deployment, Some(format!("00-{}-{}-01", CALLER.0, CALLER.1))).await;
    let uncalled = submit(&deployment, None).await;
    let unwanted = submit(&deployment, Some(format!("00-{}-{}-00", "a".repeat(32), CALLER.1))).await;
    for run in [&called, &uncalled, &unwanted] {
        let finished = finish(&client, run).await.unwrap();
        finished.bundle();
    }
    // What is left is sent when a process ends.
    deployment.stop_all().await.unwrap();
    let spans = collector.spans();

    let mut traces = BTreeSet::new();
    for (run, caller) in [(&called, CALLER.1), (&uncalled, "")] {
        let (above, steps) = of_run(&spans, run);
        let [request] = above.as_slice() else { panic!("not one span of the request: {above:?}") };
        assert_eq!((request.name.as_str(), request.parent.as_str()), ("POST /api/export/runs", caller));
        assert_eq!(request.attributes["http.response.status_code"], "202");
        let names: BTreeSet<&str> = steps.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(STEPS));
        let processes: BTreeSet<&str> = steps.iter().map(|span| span.service.as_str()).collect();
        let expected =
            ["plan", "resolve", "adapt", "manifest", "sign", "distribute"].map(|role| format!("exportd-{role}"));
        assert_eq!(processes, expected.iter().map(String::as_str).collect());
        let mut ids = BTreeSet::from([request.id.as_str()]);
        for span in &steps {
            assert_eq!((&span.trace, &span.parent), (&request.trace, &request.id), "{span:?} hangs elsewhere");
            assert!(ids.insert(&span.id), "two spans are one: {span:?}");
            assert!(!span.failed, "{span:?}");
            let told = |name: &str| span.attributes.get(&format!("export.{name}")).map(String::as_str);
            assert_eq!(
                (told("tenant"), told("profile_kind"), told("attempt")),
                (Some(LOCAL_TENANT), Some("json:raw"), Some("1"))
            );
            assert_eq!(told("part").is_some(), told("step") == Some("adapt"), "{span:?}");
            assert_eq!(told("correlation_id"), Some(run.as_str()));
        }
        traces.insert(request.trace.clone());
    }
    assert!(traces.len() == 2 && traces.contains(CALLER.0), "{traces:?}");
    let (above, steps) = of_run(&spans, &unwanted);
    assert!(above.is_empty() && steps.is_empty(), "the caller wants no trace: {above:?} {steps:?}");

    // The ledger keeps the place of a run in its trace.
    let all: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    assert_eq!(all.len(), spans.len(), "a span came twice");
    deployment.start_all().await.unwrap();
    let run = deployment.client().unwrap().run(&called).await.unwrap();
    let kept = run.traceparent.unwrap();
    let (above, _) = of_run(&spans, &called);
    assert_eq!((kept.trace_id(), kept.span_id()), (CALLER.0.to_owned(), above.first().map(|span| span.id.clone())));
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_well_though_the_collector_is_dead_or_never_answers() {
    let _turn = light().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for address in [dead, silent.local_addr().unwrap()] {
        let sections = sends_to(&format!("http://{address}"));
        let mut deployment = Deployment::start_with(Setup::apart(Store::Sqlite, 1), "", &sections).await.unwrap();
        deployment.generate(LOCAL_TENANT, 1, 200).unwrap();
        let finished = deployment.run("json:raw").await.unwrap();
        finished.bundle();
        finished.assert_once();
        // A process that ends does not wait for the collector.
        deployment.stop_all().await.unwrap();
        if address == dead {
            let log = std::fs::read_to_string(deployment.folder().join("logs/sign")).unwrap();
            let lost = log.matches("\"event\":\"traces.lost\"").count();
            assert_eq!(lost, 1, "told once, not for each request: {log}");
        }
    }
}
