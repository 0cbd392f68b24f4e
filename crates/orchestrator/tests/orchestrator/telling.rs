//! What the reconciler could not do, or had to end, is told: once, with the run and the reason.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

use super::desk::Desk;
use super::stages::Work;

/// The log of the thread that listens: the fields of each event.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Fields>>>);

#[derive(Clone, Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Lines {
    fn listen(&self) -> DefaultGuard {
        tracing::subscriber::set_default(self.clone())
    }

    /// Run and reason of each event with this message.
    fn with(&self, message: &str) -> Vec<(String, String)> {
        let events = self.0.lock().unwrap();
        let is_meant = |fields: &&Fields| fields.0.get("message").is_some_and(|text| text == message);
        let field = |fields: &Fields, name: &str| fields.0.get(name).cloned().unwrap_or_default();
        events.iter().filter(is_meant).map(|fields| (field(fields, "run_id"), field(fields, "reason"))).collect()
    }
}

#[tokio::test]
async fn a_trouble_that_lasts_is_told_once_until_it_is_over() {
    let lines = Lines::default();
    let _listening = lines.listen();
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let run = desk.submit().await;
    desk.deliver(&orchestrator).await;
    let told = || lines.with("a silent run cannot be looked after");
    desk.log.set_broken(true);
    for _ in 0..3 {
        desk.pass(61);
        let report = orchestrator.reconcile().await;
        assert_eq!((report.silent, report.errors), (1, 1));
    }
    let [(id, reason)] = told().try_into().unwrap();
    assert_eq!(id, run.run.to_string());
    assert!(reason.ends_with("publish admitted: the broker is down"), "{reason}");
    desk.log.set_broken(false);
    assert_eq!(orchestrator.reconcile().await.errors, 0);
    desk.log.set_broken(true);
    desk.pass(3_600);
    assert_eq!(orchestrator.reconcile().await.errors, 1);
    assert_eq!(told().len(), 2, "it is another trouble");
}

#[tokio::test]
async fn a_run_that_is_given_up_and_one_that_lost_a_record_are_told_once() {
    let lines = Lines::default();
    let _listening = lines.listen();
    let desk = Desk::new().await;
    let orchestrator = desk.orchestrator();
    let (silent, damaged) = (desk.submit().await, desk.submit().await);
    desk.deliver(&orchestrator).await;
    desk.work_up_to(&orchestrator, &silent, Work::Plan).await;
    desk.work_up_to(&orchestrator, &damaged, Work::Resolve).await;
    let record = format!("{damaged}/resolve.json").parse().unwrap();
    desk.staging.put(&record, b"not a record".as_slice().into()).await.unwrap();
    desk.pass(11 * 3_600);
    let report = orchestrator.reconcile().await;
    assert_eq!((report.given_up, report.ended, report.errors), (1, 1, 0));
    orchestrator.reconcile().await;

    let [(id, reason)] = lines.with("a silent run is given up").try_into().unwrap();
    assert_eq!(id, silent.run.to_string());
    assert!(reason.starts_with("nothing was heard of the run since 2026-"), "{reason}");
    let [(id, reason)] = lines.with("a result record is lost; the run fails").try_into().unwrap();
    assert_eq!(id, damaged.run.to_string());
    assert!(reason.contains("resolve.json"), "{reason}");
}
