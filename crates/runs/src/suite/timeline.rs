//! The timeline: each fact once, numbered without gaps.

use export_contract::event::EventType;
use export_contract::message::{Distribution, InputRange};
use export_contract::profile::DistributionKind;
use export_contract::run::RunProgress;
use export_contract::{Digest, Generation, PartIndex, RecordKey, RecordKind};
use futures::future::join_all;

use super::{Stores, at, fact, pending_run, running, tenant, types};
use crate::store::StepOutcome;

fn one_part() -> StepOutcome {
    let progress = RunProgress { parts_done: 1, records_done: 7, bytes_done: 70, ..RunProgress::default() };
    StepOutcome { progress, ..StepOutcome::default() }
}

/// A redelivered message changes neither timeline nor progress.
pub async fn a_fact_is_recorded_once_however_often_it_comes(stores: &impl Stores) {
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 1).await;
    let event = fact("g1.adapt.part.0.done", EventType::AdapterComplete, 2);
    assert!(store.record(&run.reference(), &event, &one_part()).await.unwrap());
    let later = fact("g1.adapt.part.1.done", EventType::AdapterComplete, 3);
    assert!(store.record(&run.reference(), &later, &one_part()).await.unwrap());
    for _ in 0..3 {
        assert!(!store.record(&run.reference(), &event, &one_part()).await.unwrap());
        assert!(!store.record(&run.reference(), &later, &one_part()).await.unwrap());
    }
    let progress = store.run(&run.tenant, &run.id).await.unwrap().unwrap().progress;
    assert_eq!((progress.parts_done, progress.records_done, progress.bytes_done), (2, 14, 140));
    let events = store.events(&run.tenant, &run.id, 2, 10).await.unwrap();
    let told: Vec<_> = events.iter().map(|event| (event.ordinal, event.message.as_str(), event.at)).collect();
    assert_eq!(told, [(3, "fact g1.adapt.part.0.done", at(2)), (4, "fact g1.adapt.part.1.done", at(3))]);
    assert_eq!(events.first().unwrap().metrics, event.metrics);
    assert_eq!(events.first().unwrap().phase, event.phase);
}

/// Sixteen recorders, each with the same twelve facts in another order.
pub async fn concurrent_recorders_leave_no_gap_and_no_double(stores: &impl Stores) {
    const FACTS: usize = 12;
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 1).await;
    let recorded = join_all((0..16).map(|recorder| {
        let run = run.reference();
        async move {
            let store = stores.open().await;
            let mut mine = 0;
            for step in 0..FACTS {
                let key = format!("g1.adapt.part.{}.done", (step + recorder) % FACTS);
                let event = fact(&key, EventType::AdapterComplete, 2);
                mine += u32::from(store.record(&run, &event, &one_part()).await.unwrap());
            }
            mine
        }
    }))
    .await;
    assert_eq!(recorded.into_iter().sum::<u32>(), 12);
    let events = store.events(&run.tenant, &run.id, 0, 100).await.unwrap();
    let ordinals: Vec<u64> = events.iter().map(|event| event.ordinal).collect();
    assert_eq!(ordinals, (1..=14).collect::<Vec<u64>>());
    let mut messages: Vec<_> = events.into_iter().skip(2).map(|event| event.message).collect();
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), FACTS);
    let progress = store.run(&run.tenant, &run.id).await.unwrap().unwrap().progress;
    assert_eq!((progress.parts_done, progress.records_done), (12, 84));
}

/// What a watcher that lost its connection does.
pub async fn events_are_resumed_by_ordinal(stores: &impl Stores) {
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 1).await;
    for part in 0..5 {
        let event = fact(&format!("g1.adapt.part.{part}.done"), EventType::AdapterComplete, 2);
        assert!(store.record(&run.reference(), &event, &one_part()).await.unwrap());
    }
    let whole = store.events(&run.tenant, &run.id, 0, 100).await.unwrap();
    assert_eq!(whole.len(), 7);
    let mut resumed = Vec::new();
    loop {
        let after = resumed.last().map_or(0, |event: &export_contract::event::RunEvent| event.ordinal);
        let page = store.events(&run.tenant, &run.id, after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 3);
        resumed.extend(page);
    }
    assert_eq!(resumed, whole);
    assert_eq!(store.events(&run.tenant, &run.id, 7, 100).await.unwrap(), []);
    assert_eq!(store.events(&run.tenant, &run.id, u64::MAX, 100).await.unwrap(), []);
}

/// A zombie of an earlier generation, or of a run that is not there, writes nothing.
pub async fn facts_of_another_generation_or_run_are_not_recorded(stores: &impl Stores) {
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 1).await;
    let event = fact("g2.plan.done", EventType::StageCompleted, 2);
    let mut other = run.reference();
    other.generation = Generation(2);
    assert!(!store.record(&other, &event, &one_part()).await.unwrap());
    let absent = pending_run(&run.tenant).reference();
    assert!(!store.record(&absent, &event, &one_part()).await.unwrap());
    assert_eq!(store.run(&absent.tenant, &absent.run).await.unwrap(), None);
    assert_eq!(types(&*store, &run).await.len(), 2);
}

/// They are shown in one order, whatever the order of the parts.
pub async fn inputs_and_distributions_of_a_repeated_step_are_kept_once(stores: &impl Stores) {
    let store = stores.open().await;
    let run = running(&*store, &tenant("acme"), 1).await;
    let input = |part: u32, source: &str| InputRange {
        kind: RecordKind::Advisory,
        source: source.to_owned(),
        part: PartIndex(part),
        cursor: RecordKey {
            subject: "CVE-2024-0001".to_owned(),
            document_id: "osv/CVE-2024-0001".to_owned(),
            source: source.to_owned(),
        },
        count: 3 + u64::from(part),
        hash: Digest::from_bytes([u8::try_from(part).unwrap(); 32]),
    };
    for part in [2, 0, 1] {
        let inputs = vec![input(part, "osv"), input(part, "ghsa")];
        let outcome = StepOutcome { inputs, ..one_part() };
        let event = fact(&format!("g1.adapt.part.{part}.done"), EventType::AdapterComplete, 2);
        assert!(store.record(&run.reference(), &event, &outcome).await.unwrap());
        assert!(!store.record(&run.reference(), &event, &outcome).await.unwrap());
    }
    let distribution = |kind, location: &str, expires_at| Distribution {
        kind,
        location: location.to_owned(),
        sha256: Digest::from_bytes([9; 32]),
        size_bytes: 1 << 40,
        expires_at,
        tags: Vec::new(),
        locked_until: None,
        pruned_at: None,
    };
    let http = distribution(DistributionKind::Http, "/api/export/runs/x/download", None);
    let oci = distribution(DistributionKind::Oci, "registry/acme/raw@sha256:ab", Some(at(86_400)));
    let oci =
        Distribution { tags: vec!["latest".to_owned()], locked_until: Some(at(9)), pruned_at: Some(at(10)), ..oci };
    let outcome = StepOutcome { distributions: vec![oci.clone(), http.clone()], ..StepOutcome::default() };
    let event = fact("g1.distribute.done", EventType::StageCompleted, 3);
    assert!(store.record(&run.reference(), &event, &outcome).await.unwrap());
    let whole = store.run(&run.tenant, &run.id).await.unwrap().unwrap();
    let expected: Vec<_> = (0..3).flat_map(|part| [input(part, "ghsa"), input(part, "osv")]).collect();
    assert_eq!(whole.inputs, expected);
    assert_eq!(whole.distributions, [http, oci]);
}
