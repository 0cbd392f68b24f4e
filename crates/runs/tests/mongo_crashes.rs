//! What a writer of the MongoDB run ledger leaves behind when it stops between two writes is healed by the next call.
//!
//! Each test brings the documents to the state in which such a writer leaves them: what it wrote last is taken away again.
#![expect(clippy::unwrap_used, reason = "tests")]

use export_contract::event::EventType;
use export_contract::message::{Distribution, InputRange};
use export_contract::profile::DistributionKind;
use export_contract::run::{Run, RunProgress, RunStatus};
use export_contract::schedule::Schedule;
use export_contract::{Digest, PartIndex, RecordKey, RecordKind};
use export_mongo::bson::{Document, doc};
use export_mongo::ferretdb::FerretDb;
use export_mongo::mongodb::Database;
use export_runs::suite::entries::schedule;
use export_runs::suite::{admitted, at, ends, fact, pending_run, running, tenant, types, written};
use export_runs::{
    MongoRuns, Quotas, RetentionStep, RetentionStore as _, RunFilter, RunStore as _, ScheduleStore as _, StepOutcome,
    SubmitOutcome, Submitted, WebhookStore as _,
};

struct Ledger {
    server: FerretDb,
    database: Database,
}

impl Ledger {
    async fn start() -> Option<Self> {
        let server = FerretDb::start().await.unwrap()?;
        let database = server.database("export").await.unwrap();
        Some(Self { server, database })
    }

    /// Another process.
    async fn open(&self) -> MongoRuns {
        MongoRuns::open(self.server.database("export").await.unwrap()).await.unwrap()
    }

    async fn run_document(&self, run: &Run) -> Document {
        let runs = self.database.collection::<Document>("export_runs");
        runs.find_one(doc! { "_id": run.id.as_str() }).await.unwrap().unwrap()
    }

    async fn put_run_document(&self, document: Document) {
        let runs = self.database.collection::<Document>("export_runs");
        runs.replace_one(doc! { "_id": document.get_str("_id").unwrap() }, document).await.unwrap();
    }

    async fn remove(&self, collection: &str, filter: Document) {
        let removed = self.database.collection::<Document>(collection).delete_many(filter).await.unwrap();
        assert!(removed.deleted_count > 0, "{collection}");
    }
}

fn part_done() -> StepOutcome {
    let input = InputRange {
        kind: RecordKind::Vex,
        source: "redhat".to_owned(),
        part: PartIndex(0),
        cursor: RecordKey { subject: "s".to_owned(), document_id: "d".to_owned(), source: "redhat".to_owned() },
        count: 5,
        hash: Digest::from_bytes([1; 32]),
    };
    let distribution = Distribution {
        kind: DistributionKind::Http,
        location: "/x".to_owned(),
        sha256: Digest::from_bytes([2; 32]),
        size_bytes: 9,
        expires_at: None,
        tags: Vec::new(),
        locked_until: None,
        pruned_at: None,
    };
    StepOutcome {
        progress: RunProgress { parts_done: 1, records_done: 5, ..RunProgress::default() },
        inputs: vec![input],
        distributions: vec![distribution],
        ..StepOutcome::default()
    }
}

#[tokio::test]
async fn a_step_whose_writer_stopped_after_its_event_is_carried_on_by_the_next_reader() {
    let Some(ledger) = Ledger::start().await else { return };
    let store = ledger.open().await;
    let run = running(&store, &tenant("acme"), 1).await;
    let before = ledger.run_document(&run).await;
    let step = fact("g1.adapt.part.0.done", EventType::AdapterComplete, 2);
    assert!(store.record(&run.reference(), &step, &part_done()).await.unwrap());
    let whole = store.run(&run.tenant, &run.id).await.unwrap();
    for rows_are_there in [false, true] {
        ledger.put_run_document(before.clone()).await;
        if !rows_are_there {
            ledger.remove("export_inputs", doc! {}).await;
            ledger.remove("export_distributions", doc! {}).await;
        }
        let next = ledger.open().await;
        assert!(!next.record(&run.reference(), &step, &part_done()).await.unwrap());
        assert_eq!(next.run(&run.tenant, &run.id).await.unwrap(), whole);
        assert_eq!(ledger.run_document(&run).await.get_i64("last_ordinal").unwrap(), 3);
    }
    let after = fact("g1.adapt.part.1.done", EventType::AdapterComplete, 3);
    ledger.put_run_document(before).await;
    assert!(store.record(&run.reference(), &after, &part_done()).await.unwrap());
    let expected = [
        (1, EventType::RunPending),
        (2, EventType::RunRunning),
        (3, EventType::AdapterComplete),
        (4, EventType::AdapterComplete),
    ];
    assert_eq!(types(&store, &run).await, expected);
    assert_eq!(store.run(&run.tenant, &run.id).await.unwrap().unwrap().progress.records_done, 10);
}

#[tokio::test]
async fn a_run_whose_writer_stopped_before_its_first_event_has_it_at_the_next_look() {
    let Some(ledger) = Ledger::start().await else { return };
    let store = ledger.open().await;
    let run = written(&store, &tenant("acme")).await;
    let mut document = ledger.run_document(&run).await;
    document.insert("last_ordinal", 0_i64);
    for events_are_there in [false, true] {
        ledger.put_run_document(document.clone()).await;
        if !events_are_there {
            ledger.remove("export_events", doc! {}).await;
        }
        assert_eq!(types(&ledger.open().await, &run).await, [(1, EventType::RunPending)]);
    }
    ledger.put_run_document(document).await;
    let key = Some(("key", "fingerprint"));
    let other = pending_run(&run.tenant);
    store.create_run(&other, key).await.unwrap();
    let got = admitted(store.admit(&run.tenant, 4, at(2)).await.unwrap());
    assert_eq!(got.iter().map(|run| &run.id).collect::<Vec<_>>(), [&run.id, &other.id]);
    assert_eq!(types(&store, &run).await, [(1, EventType::RunPending), (2, EventType::RunRunning)]);
}

#[tokio::test]
async fn a_slot_whose_giver_stopped_goes_to_the_same_run_and_is_counted() {
    let Some(ledger) = Ledger::start().await else { return };
    let store = ledger.open().await;
    let acme = tenant("acme");
    let (first, second) = (written(&store, &acme).await, written(&store, &acme).await);
    let pending = ledger.run_document(&first).await;
    assert_eq!(admitted(store.admit(&acme, 1, at(1)).await.unwrap()).len(), 1);
    // The giver stopped after the admission, before the run's event.
    ledger.put_run_document(pending.clone()).await;
    ledger.remove("export_events", doc! { "run_id": first.id.as_str(), "ordinal": 2_i64 }).await;
    let got = admitted(ledger.open().await.admit(&acme, 1, at(2)).await.unwrap());
    assert_eq!(got.iter().map(|run| &run.id).collect::<Vec<_>>(), [&first.id]);
    // It stopped after the event, before the run's document: nobody is told twice, and the slot is taken.
    ledger.put_run_document(pending).await;
    assert_eq!(admitted(ledger.open().await.admit(&acme, 1, at(3)).await.unwrap()), []);
    assert_eq!(store.run(&acme, &first.id).await.unwrap().unwrap().started_at, Some(at(2)));
    assert_eq!(store.run(&acme, &second.id).await.unwrap().unwrap().status, RunStatus::Pending);
}

#[tokio::test]
async fn a_run_that_ended_by_its_events_is_not_taken_for_running() {
    let Some(ledger) = Ledger::start().await else { return };
    let store = ledger.open().await;
    let acme = tenant("acme");
    let mut ended = Vec::new();
    for _ in 0..4 {
        let run = running(&store, &acme, 1).await;
        let running = ledger.run_document(&run).await;
        let end = fact("g1.distribute.done", EventType::RunSucceeded, 2);
        assert!(store.record(&run.reference(), &end, &ends(RunStatus::Succeeded)).await.unwrap());
        ended.push(running);
    }
    let lag = async || {
        for document in &ended {
            ledger.put_run_document(document.clone()).await;
        }
    };
    lag().await;
    assert_eq!(store.active().await.unwrap().len(), 0);
    lag().await;
    assert_eq!(store.silent_runs(RunStatus::Running, at(99), 10).await.unwrap(), []);
    let next = written(&store, &acme).await;
    lag().await;
    let got = admitted(store.admit(&acme, 1, at(3)).await.unwrap());
    assert_eq!(got.iter().map(|run| &run.id).collect::<Vec<_>>(), [&next.id]);
    lag().await;
    let page = store.runs(&acme, &RunFilter { limit: 10, ..RunFilter::default() }).await.unwrap();
    let running = page.runs.iter().filter(|run| run.status == RunStatus::Running).count();
    assert_eq!((page.runs.len(), running), (5, 1));
}

#[tokio::test]
async fn a_writer_that_stops_after_its_revision_leaves_nothing_that_the_next_call_does_not_heal() {
    let Some(ledger) = Ledger::start().await else { return };
    let store = ledger.open().await;
    let acme = tenant("acme");
    let first = store.create_schedule(&schedule(&acme, "nightly", Some(1))).await.unwrap().unwrap();
    let second = Schedule { revision: first.revision + 1, next_due: Some(at(50)), ..first.clone() };
    assert!(store.update_schedule(&second).await.unwrap());
    // It stopped before it marked the old revision.
    let revisions = ledger.database.collection::<Document>("export_schedules");
    let unmark = async || {
        let unmarked = doc! { "$set": { "superseded": false } };
        assert_eq!(revisions.update_many(doc! {}, unmarked).await.unwrap().matched_count, 2);
    };
    unmark().await;
    let other = ledger.open().await;
    assert_eq!(other.schedules(&acme).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(other.due_schedules(at(10), 10).await.unwrap(), [], "the old revision was due, the new one is not");
    assert_eq!(other.due_schedules(at(50), 10).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(revisions.count_documents(doc! { "superseded": true }).await.unwrap(), 1, "it is marked now");
    // The same of a removal.
    assert!(other.delete_schedule(&acme, &first.id).await.unwrap());
    revisions.update_many(doc! {}, doc! { "$set": { "superseded": false } }).await.unwrap();
    assert_eq!(other.schedules(&acme).await.unwrap(), []);
    assert_eq!(other.due_schedules(at(99), 10).await.unwrap(), []);
    assert_eq!(other.schedule(&acme, &first.id).await.unwrap(), None);
}

#[tokio::test]
async fn runs_from_before_there_was_an_outbox_are_not_in_it() {
    let Some(ledger) = Ledger::start().await else { return };
    let store = ledger.open().await;
    let acme = tenant("acme");
    let run = running(&store, &acme, 1).await;
    let end = fact("g1.distribute.done", EventType::RunSucceeded, 2);
    assert!(store.record(&run.reference(), &end, &ends(RunStatus::Succeeded)).await.unwrap());
    assert_eq!(store.unannounced_runs(10).await.unwrap().len(), 1);
    let mut old = ledger.run_document(&run).await;
    old.remove("unannounced");
    ledger.put_run_document(old).await;
    assert_eq!(store.unannounced_runs(10).await.unwrap(), []);
    assert_eq!(store.run(&acme, &run.id).await.unwrap().unwrap().status, RunStatus::Succeeded);
}

#[tokio::test]
async fn a_step_of_retention_whose_writer_stopped_after_its_event_is_seen_by_every_reader() {
    let Some(ledger) = Ledger::start().await else { return };
    let store = ledger.open().await;
    let acme = tenant("acme");
    let run = running(&store, &acme, 1).await;
    let end = fact("g1.distribute.done", EventType::RunSucceeded, 2);
    let outcome = StepOutcome { distributions: part_done().distributions, ..ends(RunStatus::Succeeded) };
    assert!(store.record(&run.reference(), &end, &outcome).await.unwrap());
    let expire = RetentionStep::Expire { reason: "over".to_owned() };
    let steps = [
        expire,
        RetentionStep::Remove { since: at(10) },
        RetentionStep::Removed { kind: DistributionKind::Http, location: "/x".to_owned() },
        RetentionStep::Prune,
    ];
    for step in &steps {
        let before = ledger.run_document(&run).await;
        assert!(store.retain(&acme, &run.id, step, at(10)).await.unwrap(), "{step:?}");
        let whole = store.run(&acme, &run.id).await.unwrap();
        let lag = async || ledger.put_run_document(before.clone()).await;
        lag().await;
        let next = ledger.open().await;
        assert!(!next.retain(&acme, &run.id, step, at(10)).await.unwrap(), "{step:?}");
        assert_eq!(next.run(&acme, &run.id).await.unwrap(), whole);
        // Lists do not offer what is no longer offered.
        lag().await;
        let page = next.runs(&acme, &RunFilter { limit: 10, ..RunFilter::default() }).await.unwrap();
        assert_eq!(page.runs.first().unwrap().expiry, whole.as_ref().unwrap().expiry, "{step:?}");
        lag().await;
        let kept = next.runs_with_bytes(&acme, None, 10).await.unwrap();
        assert_eq!(kept.is_empty(), *step == RetentionStep::Prune, "{step:?}");
    }
    let told: Vec<EventType> = types(&store, &run).await.into_iter().skip(3).map(|(_, event)| event).collect();
    let expected =
        [EventType::RunExpiring, EventType::RunRemoving, EventType::DistributionPruned, EventType::RunPruned];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_submission_whose_writer_stopped_is_written_by_the_next_and_counts_once() {
    let Some(ledger) = Ledger::start().await else { return };
    let store = ledger.open().await;
    let acme = tenant("acme");
    let quotas = Quotas { runs_per_day: Some(2), ..Quotas::default() };
    let key = Some(("key", "body"));
    let first = pending_run(&acme);
    store.submit_run(&first, key, &quotas).await.unwrap();
    for events_are_there in [true, false] {
        ledger.remove("export_runs", doc! { "_id": first.id.as_str() }).await;
        if !events_are_there {
            ledger.remove("export_events", doc! { "run_id": first.id.as_str() }).await;
        }
        // The client heard nothing, and asks again.
        let again = ledger.open().await.submit_run(&pending_run(&acme), key, &quotas).await.unwrap();
        assert_eq!(again, Submitted { outcome: SubmitOutcome::Existing(first.clone()), runs_today: 1 });
        assert_eq!(types(&store, &first).await, [(1, EventType::RunPending)]);
    }
    // Or somebody else comes first.
    ledger.remove("export_runs", doc! { "_id": first.id.as_str() }).await;
    let second = store.submit_run(&pending_run(&acme), None, &quotas).await.unwrap();
    assert!(matches!(second, Submitted { outcome: SubmitOutcome::Created(_), runs_today: 2 }), "{second:?}");
    assert_eq!(store.run(&acme, &first.id).await.unwrap(), Some(first));
    let third = store.submit_run(&pending_run(&acme), None, &quotas).await.unwrap().outcome;
    assert!(matches!(third, SubmitOutcome::Refused(_)), "{third:?}");
}
