//! The logs of a deployment: every line of every process is JSON, and every outcome is told once, under a name of the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use export_client::NewRun;
use export_contract::run::RunStatus;
use export_contract::{ErrorCode, LogEvent};
use export_tests::{Deployment, LOCAL_TENANT, Setup, Store, finish, light, start, workspace};
use serde_json::{Map, Value};

type Line = Map<String, Value>;

/// The rows of the page, as the table in the code makes them.
fn rows() -> String {
    let mut rows = String::new();
    for event in LogEvent::ALL {
        let fields: Vec<String> = event.fields().iter().map(|field| format!("`{field}`")).collect();
        writeln!(rows, "| `{event}` | {} | {} |", fields.join(", "), event.meaning()).unwrap();
    }
    rows
}

#[test]
fn every_event_is_on_its_page() {
    let path = workspace().join("docs/logs.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- events -->\n").expect("where the table begins");
    let (table, after) = rest.split_once("<!-- end -->\n").expect("where the table ends");
    let expected = format!("| event | always has | what happened |\n|---|---|---|\n{}", rows());
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let renew = std::env::var_os("EXPORT_TESTS_RENEW").is_some();
    if renew {
        std::fs::write(&path, format!("{before}<!-- events -->\n{expected}<!-- end -->\n{after}")).unwrap();
    } else {
        assert_eq!(table, expected, "docs/logs.md; EXPORT_TESTS_RENEW=1 writes it anew");
    }
    let names: BTreeSet<&str> = LogEvent::ALL.iter().map(|event| event.as_str()).collect();
    assert_eq!(names.len(), LogEvent::ALL.len(), "two events have one name");
}

/// What is told at `info` or under a name is told by the table: no line of the sources has a name of its own.
#[test]
fn every_outcome_in_the_sources_has_a_name_of_the_table() {
    let mut folders: Vec<_> =
        ["crates", "stages", "jetstream/src", "gateway/src", "exportd/src"].map(|path| workspace().join(path)).into();
    let (mut used, mut unnamed) = (BTreeSet::new(), Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, call) in text.split("tracing::info!(").enumerate().skip(1) {
                if !call.trim_start().starts_with("event = %LogEvent::") {
                    unnamed.push(format!("{} no. {number}", path.display()));
                }
            }
            for call in text.split("event = %LogEvent::").skip(1) {
                used.insert(call.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap().to_owned());
            }
        }
    }
    assert!(unnamed.is_empty(), "{unnamed:#?}");
    // Told by a macro, under names that it is given.
    used.remove("");
    used.extend(["RunSucceeded", "RunFailed", "RunAborted"].map(str::to_owned));
    let known: BTreeSet<String> = LogEvent::ALL.iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(used, known, "an event is told that is on no list, or listed and never told");
}

/// Every line of every process, by process.
fn lines(deployment: &Deployment) -> BTreeMap<String, Vec<Line>> {
    let mut lines = BTreeMap::new();
    for entry in std::fs::read_dir(deployment.folder().join("logs")).unwrap() {
        let path = entry.unwrap().path();
        let process = path.file_name().unwrap().to_str().unwrap().to_owned();
        // The broker is a program of others.
        if process == "nats" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let read = text.lines().map(|line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("a line of {process} is no JSON object ({error}): {line}"))
        });
        let read: Vec<Line> = read.collect();
        lines.insert(process, read);
    }
    lines
}

fn text<'a>(line: &'a Line, name: &str) -> Option<&'a str> {
    line.get(name).and_then(Value::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_is_json_and_each_outcome_is_told_once_with_its_members() {
    let _turn = light().await;
    let mut deployment = Deployment::start_with(Setup::apart(Store::Sqlite, 2), "", "").await.unwrap();
    deployment.generate(LOCAL_TENANT, 3, 300).unwrap();
    let client = deployment.client().unwrap();
    let good = start(&client, "json-raw").await.unwrap();
    // Policy findings are wanted, and there is no policy engine: plan fails the run.
    let bad = start(&client, "json-policy").await.unwrap();
    let mut ended = Vec::new();
    for run in [&good, &bad] {
        ended.push(finish(&client, run.id.as_str()).await.unwrap().run);
    }
    // Without adapt a run cannot end before it is cancelled.
    deployment.kill("adapt-1").await.unwrap();
    deployment.kill("adapt-2").await.unwrap();
    let cancelled =
        client.start_run(&NewRun { profile_id: "json-raw".to_owned(), ..NewRun::default() }, None).await.unwrap();
    client.cancel_run(cancelled.id.as_str()).await.unwrap();
    ended.push(finish(&client, cancelled.id.as_str()).await.unwrap().run);
    deployment.start_all().await.unwrap();
    // The dispatcher tells of ends; a second run that ended is told of behind the first ones.
    let statuses: Vec<RunStatus> = ended.iter().map(|run| run.status).collect();
    assert_eq!(statuses, [RunStatus::Succeeded, RunStatus::Failed, RunStatus::Aborted]);
    wait_until_told(&deployment, ended.len()).await;
    let refused = deployment.api().await.unwrap().get("/api/export/runs/nothing").await.unwrap();
    let problem: Value = refused.json().await.unwrap();
    deployment.stop_all().await.unwrap();

    let lines = lines(&deployment);
    let known: BTreeMap<&str, LogEvent> = LogEvent::ALL.iter().map(|event| (event.as_str(), *event)).collect();
    assert_eq!(lines.len(), 9, "{:?}", lines.keys());
    for (process, lines) in &lines {
        assert!(!lines.is_empty(), "{process} says nothing");
        for line in lines {
            for name in ["timestamp", "level", "message", "target"] {
                assert!(line.contains_key(name), "{process}: no {name} in {line:?}");
            }
            let is_ours = text(line, "target").unwrap().starts_with("export");
            let Some(event) = text(line, "event") else {
                assert!(
                    !is_ours || text(line, "level") != Some("INFO"),
                    "{process} tells an outcome without a name: {line:?}"
                );
                continue;
            };
            let event = known.get(event).unwrap_or_else(|| panic!("{process}: {event} is not on the page"));
            for field in event.fields() {
                assert!(line.contains_key(*field), "{process}: no {field} in {line:?}");
            }
        }
        assert!(lines.iter().any(|line| text(line, "event") == Some("process.ready")), "{process}");
    }
    let all: Vec<&Line> = lines.values().flatten().collect();
    let told = |event: &str, run: &str| -> Vec<&Line> {
        all.iter()
            .copied()
            .filter(|line| text(line, "event") == Some(event) && text(line, "run_id") == Some(run))
            .collect()
    };
    for (run, event) in ended.iter().zip(["run.succeeded", "run.failed", "run.aborted"]) {
        for other in ["run.succeeded", "run.failed", "run.aborted", "run.submitted"] {
            let times = usize::from(other == event || other == "run.submitted");
            assert_eq!(told(other, run.id.as_str()).len(), times, "{other} of the run that is {}", run.status);
        }
        let end = told(event, run.id.as_str())[0];
        assert_eq!(text(end, "tenant"), Some(LOCAL_TENANT));
        assert_eq!(text(end, "profile_kind"), Some(run.profile_kind.as_str()));
        assert_eq!(text(end, "correlation_id"), Some(run.correlation_id.as_str()));
        assert_eq!(text(end, "error_code"), run.error_code.map(ErrorCode::as_str));
        let trace = run.traceparent.unwrap().trace_id();
        assert_eq!(text(end, "trace_id"), Some(trace.as_str()));
        // Whatever a step says of the run is in the same trace and under the same correlation id; but for one that was dropped before
        // anything but its command was read.
        let of_steps =
            all.iter().filter(|line| text(line, "run_id") == Some(run.id.as_str()) && line.contains_key("attempt"));
        let is_early = |line: &Line| text(line, "event") == Some("step.dropped") && text(line, "phase") == Some("plan");
        for line in of_steps.filter(|line| !is_early(line)) {
            assert_eq!(
                (text(line, "trace_id"), text(line, "correlation_id")),
                (Some(trace.as_str()), Some(run.correlation_id.as_str())),
                "{line:?}"
            );
        }
    }
    let (good, bad) = (good.id.as_str(), bad.id.as_str());
    let phases: BTreeSet<&str> = told("step.done", good).into_iter().filter_map(|line| text(line, "phase")).collect();
    assert_eq!(phases, BTreeSet::from(["plan", "resolve", "adapter", "manifest", "sign", "distribute"]));
    let adapter = told("step.done", good).into_iter().find(|line| text(line, "phase") == Some("sign")).unwrap();
    assert!(text(adapter, "adapter").unwrap().starts_with("json:raw@"), "{adapter:?}");
    let [failed] = told("step.failed", bad)[..] else { panic!("a failed step is told once") };
    assert_eq!(
        (text(failed, "phase"), text(failed, "error_code")),
        (Some("plan"), ended[1].error_code.map(ErrorCode::as_str))
    );
    assert_eq!(told("run.cancel_asked", cancelled.id.as_str()).len(), 1);
    // What a client is given to ask about is in the log.
    let named = all.iter().filter(|line| {
        text(line, "event") == Some("request.refused") && line.get("trace_id") == problem.get("traceId")
    });
    assert_eq!(named.count(), 1, "{problem}");
}

/// Waits until the orchestrator told the ends of so many runs.
async fn wait_until_told(deployment: &Deployment, runs: usize) {
    let log = deployment.folder().join("logs/orchestrator");
    for _ in 0..300 {
        let text = std::fs::read_to_string(&log).unwrap();
        let told = ["succeeded", "failed", "aborted"]
            .iter()
            .map(|end| text.matches(&format!("\"event\":\"run.{end}\"")).count())
            .sum::<usize>();
        if told >= runs {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the ends of {runs} runs are not told");
}
