//! Slots: how many runs of a tenant run at once.

use std::collections::{BTreeMap, BTreeSet};

use export_contract::event::EventType;
use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunStatus};
use futures::future::join_all;

use super::{Stores, admitted, at, ends, fact, pending_run, tenant, types, written};
use crate::quota::SlotCaps;
use crate::store::{Admission, RunStore};

async fn finish(store: &dyn RunStore, run: &Run) {
    let event = fact("g1.distribute.done", EventType::RunSucceeded, 9);
    assert!(store.record(&run.reference(), &event, &ends(RunStatus::Succeeded)).await.unwrap());
}

/// Oldest first; a slot that frees goes to the next.
pub async fn runs_are_admitted_in_order_and_never_above_the_cap(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    assert_eq!(store.admit(&acme, 4, at(1)).await.unwrap(), Admission::Nothing);
    let mut waiting = Vec::new();
    for _ in 0..7 {
        waiting.push(written(&*store, &acme).await.id);
    }
    assert_eq!(store.admit(&acme, 0, at(1)).await.unwrap(), Admission::Nothing);
    let first = admitted(store.admit(&acme, 4, at(1)).await.unwrap());
    assert_eq!(first.iter().map(|run| run.id.clone()).collect::<Vec<_>>(), waiting[..4]);
    for run in &first {
        assert_eq!((run.status, run.started_at), (RunStatus::Running, Some(at(1))));
        assert_eq!(types(&*store, run).await, [(1, EventType::RunPending), (2, EventType::RunRunning)]);
    }
    assert_eq!(store.admit(&acme, 4, at(2)).await.unwrap(), Admission::Nothing);
    assert_eq!(store.active().await.unwrap(), BTreeMap::from([(acme.clone(), 4)]));
    finish(&*store, &first[2]).await;
    let next = admitted(store.admit(&acme, 4, at(3)).await.unwrap());
    assert_eq!(next.iter().map(|run| run.id.clone()).collect::<Vec<_>>(), waiting[4..5]);
    // A cap that was lowered takes no run's slot away, and gives none.
    assert_eq!(store.admit(&acme, 2, at(4)).await.unwrap(), Admission::Nothing);
    assert_eq!(store.tenants_waiting().await.unwrap(), std::slice::from_ref(&acme));
    assert_eq!(admitted(store.admit(&acme, 100, at(5)).await.unwrap()).len(), 2);
    assert_eq!(store.tenants_waiting().await.unwrap(), []);
}

/// Several orchestrators ask at once, runs end meanwhile: never above four, every run admitted once.
pub async fn the_cap_holds_under_concurrent_admission(stores: &impl Stores) {
    const CAP: u32 = 4;
    const RUNS: usize = 24;
    let acme = tenant("acme");
    {
        let store = stores.open().await;
        for _ in 0..RUNS {
            written(&*store, &acme).await;
        }
    }
    let admitters = join_all((0..4).map(|_| async {
        let store = stores.open().await;
        let mut mine = Vec::new();
        // Ends when nobody waits; each round some admitter holds runs and finishes them, so this comes to an end.
        loop {
            let got = admitted(store.admit(&acme, CAP, at(1)).await.unwrap());
            let active = store.active().await.unwrap().get(&acme).copied().unwrap_or(0);
            assert!(active <= CAP, "{active} runs have a slot");
            for run in &got {
                finish(&*store, run).await;
            }
            let idle = got.is_empty();
            mine.extend(got.into_iter().map(|run| run.id));
            if idle && store.tenants_waiting().await.unwrap().is_empty() {
                return mine;
            }
            tokio::task::yield_now().await;
        }
    }))
    .await;
    let all: Vec<_> = admitters.into_iter().flatten().collect();
    assert_eq!(all.len(), RUNS, "each admission was told to one");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), RUNS);
    assert_eq!(stores.open().await.active().await.unwrap(), BTreeMap::new());

    // The same burst without an end of any run: exactly the cap is admitted.
    let store = stores.open().await;
    for _ in 0..8 {
        written(&*store, &acme).await;
    }
    let bursts =
        join_all((0..8).map(|_| async { admitted(stores.open().await.admit(&acme, CAP, at(2)).await.unwrap()).len() }))
            .await;
    assert_eq!(bursts.into_iter().sum::<usize>(), CAP as usize);
    assert_eq!(store.active().await.unwrap(), BTreeMap::from([(acme, CAP)]));
}

/// Slots are per tenant.
pub async fn a_tenant_does_not_wait_for_another(stores: &impl Stores) {
    let store = stores.open().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    for _ in 0..3 {
        written(&*store, &acme).await;
    }
    written(&*store, &globex).await;
    assert_eq!(store.tenants_waiting().await.unwrap(), [acme.clone(), globex.clone()]);
    assert_eq!(admitted(store.admit(&acme, 2, at(1)).await.unwrap()).len(), 2);
    assert_eq!(admitted(store.admit(&globex, 2, at(1)).await.unwrap()).len(), 1);
    assert_eq!(store.active().await.unwrap(), BTreeMap::from([(acme, 2), (globex, 1)]));
}

/// Pending or running: what is cancelled holds nothing up.
pub async fn a_cancelled_run_frees_its_slot(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let running = written(&*store, &acme).await;
    let cancelled_early = written(&*store, &acme).await;
    let next = written(&*store, &acme).await;
    assert_eq!(admitted(store.admit(&acme, 1, at(1)).await.unwrap()).len(), 1);
    store.cancel(&acme, &cancelled_early.id, "bob", at(2)).await.unwrap();
    assert_eq!(store.admit(&acme, 1, at(3)).await.unwrap(), Admission::Nothing);
    store.cancel(&acme, &running.id, "bob", at(4)).await.unwrap();
    let got = admitted(store.admit(&acme, 1, at(5)).await.unwrap());
    assert_eq!(got.iter().map(|run| run.id.clone()).collect::<Vec<_>>(), [next.id]);
}

/// The order of the others stays; a kind's cap holds beside that of all runs.
pub async fn a_kind_without_a_free_slot_is_passed_over_until_one_frees(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let caps = SlotCaps { active: 3, by_kind: [(ProfileKind::TrivyDb, 1)].into() };
    let mut waiting = Vec::new();
    for kind in [ProfileKind::TrivyDb, ProfileKind::TrivyDb, ProfileKind::JsonRaw, ProfileKind::TrivyDb] {
        let run = Run { profile_kind: kind, profile_id: kind.built_in_id(), ..pending_run(&acme) };
        store.create_run(&run, None).await.unwrap();
        waiting.push(run.id);
    }
    let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    let first = admitted(store.admit_within(&acme, &caps, at(1)).await.unwrap());
    assert_eq!(ids(first.clone()), [waiting[0].clone(), waiting[2].clone()]);
    assert_eq!(store.admit_within(&acme, &caps, at(2)).await.unwrap(), Admission::Nothing);
    finish(&*store, &first[1]).await;
    assert_eq!(store.admit_within(&acme, &caps, at(3)).await.unwrap(), Admission::Nothing);
    finish(&*store, &first[0]).await;
    assert_eq!(ids(admitted(store.admit_within(&acme, &caps, at(4)).await.unwrap())), [waiting[1].clone()]);
    // Orchestrators that ask at once give one slot of the kind.
    let more = Run { profile_kind: ProfileKind::TrivyDb, ..pending_run(&acme) };
    store.create_run(&more, None).await.unwrap();
    let two = SlotCaps { by_kind: [(ProfileKind::TrivyDb, 2)].into(), ..caps };
    let asked = join_all(
        (0..4).map(|_| async { admitted(stores.open().await.admit_within(&acme, &two, at(5)).await.unwrap()).len() }),
    );
    assert_eq!(asked.await.into_iter().sum::<usize>(), 1);
}
