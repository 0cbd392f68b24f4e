//! The run ledger in SQLite.

use export_contract::event::EventType;
use export_contract::run::{Run, RunStatus};
use export_runs::suite::{at, ends, fact, pending_run, tenant};
use export_runs::{CreateOutcome, RunFilter, RunStore as _, SqliteRuns};

use crate::cuts::{Cut, mark, record_test, root};

/// Runs that are written, admitted and ended one after the other.
const RUNS: usize = 6;
const TENANT: &str = "demo";

#[tokio::test]
#[ignore = "the process that another test records"]
async fn recorded() {
    let Some(root) = root() else { return };
    let ledger = SqliteRuns::open(&root.join("runs.sqlite")).unwrap();
    let tenant = tenant(TENANT);
    for number in 0..RUNS {
        let run = pending_run(&tenant);
        let created = ledger.create_run(&run, Some((&format!("key-{number}"), "fingerprint"))).await.unwrap();
        assert_eq!(created, CreateOutcome::Created(run.clone()));
        mark(&format!("{} pending", run.id));
        ledger.admit(&tenant, 4, at(1)).await.unwrap();
        mark(&format!("{} running", run.id));
        for part in 0..3 {
            let event = fact(&format!("g1.adapt.part.{part}.done"), EventType::AdapterComplete, 2);
            assert!(ledger.record(&run.reference(), &event, &ends_nothing()).await.unwrap());
        }
        mark(&format!("{} parts", run.id));
        let event = fact("g1.distribute.done", EventType::RunSucceeded, 3);
        assert!(ledger.record(&run.reference(), &event, &ends(RunStatus::Succeeded)).await.unwrap());
        mark(&format!("{} succeeded", run.id));
    }
}

fn ends_nothing() -> export_runs::StepOutcome {
    export_runs::StepOutcome::default()
}

/// Events of a run that came so far.
fn events_of(state: &str) -> usize {
    match state {
        "pending" => 1,
        "running" => 2,
        "parts" => 5,
        _ => 6,
    }
}

async fn check(cut: &Cut<'_>) -> Vec<String> {
    let ledger = match SqliteRuns::open(&cut.folder.join("runs.sqlite")) {
        Ok(ledger) => ledger,
        Err(error) => return vec![format!("the ledger does not open: {error}")],
    };
    let tenant = tenant(TENANT);
    let mut broken = Vec::new();
    let page = ledger.runs(&tenant, &RunFilter { limit: 200, ..RunFilter::default() }).await;
    let runs: Vec<Run> = match page {
        Ok(page) => page.runs,
        Err(error) => return vec![format!("the runs cannot be listed: {error}")],
    };
    for confirmed in cut.confirmed {
        let Some((id, state)) = confirmed.split_once(' ') else { continue };
        let Some(run) = runs.iter().find(|run| run.id.as_str() == id) else {
            broken.push(format!("run {id} was {state} and is lost"));
            continue;
        };
        let events = ledger.events(&tenant, &run.id, 0, 100).await.unwrap_or_default();
        if events.len() < events_of(state) {
            broken.push(format!("run {id} was {state} and has {} events", events.len()));
        }
    }
    // What is there is there as a whole, confirmed or not.
    for run in &runs {
        let events = ledger.events(&tenant, &run.id, 0, 100).await.unwrap_or_default();
        if !events.iter().map(|event| event.ordinal).eq(1..=events.len() as u64) {
            broken.push(format!("run {} has gaps in its timeline", run.id));
        }
        let expected = match events.len() {
            1 => RunStatus::Pending,
            2..=5 => RunStatus::Running,
            _ => RunStatus::Succeeded,
        };
        if run.status != expected {
            broken.push(format!("run {} is {} with {} events", run.id, run.status, events.len()));
        }
    }
    // The work goes on.
    let next = pending_run(&tenant);
    if let Err(error) = ledger.create_run(&next, None).await {
        broken.push(format!("nothing can be written any more: {error}"));
    }
    broken
}

#[test]
fn the_run_ledger_survives_a_cut_at_any_write() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let recording = record_test("ledger::recorded");
    let (cuts, broken) = recording.cut(2, |cut| runtime.block_on(check(cut)));
    eprintln!("ledger: {cuts} different disks after a cut");
    assert!(broken.is_empty(), "{} of {cuts}: {:#?}", broken.len(), &broken[..broken.len().min(8)]);
    assert!(cuts > 200, "only {cuts} cuts made a difference");
}
