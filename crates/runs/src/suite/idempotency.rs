//! Keys of requests.

use std::collections::BTreeMap;

use export_contract::TenantId;
use futures::future::join_all;

use super::entries::EntryStores;
use super::{at, tenant};
use crate::idempotency::{IdempotencyStore, KEPT_SECONDS, KeptAnswer, KeyState, KnownKey, LEASE_SECONDS, Reservation};

const ONE: &str = "1111";
const OTHER: &str = "2222";

fn answer() -> KeptAnswer {
    KeptAnswer {
        status: 201,
        headers: BTreeMap::from([("location".to_owned(), "/here".to_owned())]),
        body: "{\"id\":\"$nightly.1\"}".to_owned(),
    }
}

async fn reserved(store: &dyn IdempotencyStore, tenant: &TenantId, key: &str, seconds: i64) -> KnownKey {
    match store.reserve(tenant, key, ONE, at(seconds)).await.unwrap() {
        Reservation::Yours(key) => key,
        other => panic!("{other:?}"),
    }
}

/// Whoever comes later gets the same answer, and whoever wants something else under the key is told so.
pub async fn a_key_answers_the_same_once_it_is_settled(stores: &impl EntryStores) {
    let store = stores.idempotency().await;
    let acme = tenant("acme");
    let key = reserved(&*store, &acme, "a", 0).await;
    let later = stores.idempotency().await;
    assert_eq!(later.reserve(&acme, "a", ONE, at(1)).await.unwrap(), Reservation::InFlight);
    assert_eq!(later.reserve(&acme, "a", OTHER, at(1)).await.unwrap(), Reservation::Mismatch);
    assert!(store.settle(&key, KeyState::Done { answer: Some(answer()) }).await.unwrap());
    let last = KEPT_SECONDS - 1;
    assert_eq!(later.reserve(&acme, "a", ONE, at(last)).await.unwrap(), Reservation::Done(Some(answer())));
    assert_eq!(later.reserve(&acme, "a", OTHER, at(last)).await.unwrap(), Reservation::Mismatch);
    let secret = reserved(&*store, &acme, "b", 0).await;
    assert!(store.settle(&secret, KeyState::Done { answer: None }).await.unwrap());
    assert_eq!(later.reserve(&acme, "b", ONE, at(2)).await.unwrap(), Reservation::Done(None));
}

/// The others see that it is at work.
pub async fn of_concurrent_requests_with_one_key_one_is_at_work(stores: &impl EntryStores) {
    let store = stores.idempotency().await;
    let acme = tenant("acme");
    for round in 0..3 {
        // The second round comes when the first one's reservations have run out.
        let now = at(round * (LEASE_SECONDS + 1));
        let acme = &acme;
        let attempts = join_all(
            (0..8).map(|_| async move { stores.idempotency().await.reserve(acme, "a", ONE, now).await.unwrap() }),
        );
        let outcomes = attempts.await;
        let won = outcomes.iter().filter(|outcome| matches!(outcome, Reservation::Yours(_))).count();
        assert_eq!(won, 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Reservation::InFlight).count(), 7);
    }
    assert_eq!(store.reserve(&acme, "a", ONE, at(0)).await.unwrap(), Reservation::InFlight);
}

/// A process that stopped blocks its key for a minute and no longer; where it only was slow, it changes nothing any more.
pub async fn a_reservation_that_ran_out_is_taken_over_and_its_late_owner_changes_nothing(stores: &impl EntryStores) {
    let store = stores.idempotency().await;
    let acme = tenant("acme");
    let stopped = reserved(&*store, &acme, "a", 0).await;
    assert_eq!(store.reserve(&acme, "a", ONE, at(LEASE_SECONDS - 1)).await.unwrap(), Reservation::InFlight);
    let next = reserved(&*store, &acme, "a", LEASE_SECONDS).await;
    assert!(!store.settle(&stopped, KeyState::Free).await.unwrap());
    assert!(!store.settle(&stopped, KeyState::Done { answer: None }).await.unwrap());
    let now = at(LEASE_SECONDS + 1);
    assert_eq!(store.reserve(&acme, "a", ONE, now).await.unwrap(), Reservation::InFlight);
    assert!(store.settle(&next, KeyState::Done { answer: Some(answer()) }).await.unwrap());
    assert!(!store.settle(&next, KeyState::Free).await.unwrap(), "it is settled once");
    assert_eq!(store.reserve(&acme, "a", ONE, now).await.unwrap(), Reservation::Done(Some(answer())));
}

/// What was refused had no effect: a corrected request may come under the key.
pub async fn a_refused_request_frees_its_key(stores: &impl EntryStores) {
    let store = stores.idempotency().await;
    let acme = tenant("acme");
    let refused = reserved(&*store, &acme, "a", 0).await;
    assert!(store.settle(&refused, KeyState::Free).await.unwrap());
    let Reservation::Yours(corrected) = store.reserve(&acme, "a", OTHER, at(1)).await.unwrap() else {
        panic!("the key is not free");
    };
    assert!(store.settle(&corrected, KeyState::Done { answer: Some(answer()) }).await.unwrap());
    assert_eq!(store.reserve(&acme, "a", ONE, at(2)).await.unwrap(), Reservation::Mismatch);
}

/// After a day a key is like a new one, also where nothing else ever came.
pub async fn keys_are_the_tenants_own_and_are_forgotten_in_time(stores: &impl EntryStores) {
    let store = stores.idempotency().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let ours = reserved(&*store, &acme, "a", 0).await;
    assert!(store.settle(&ours, KeyState::Done { answer: Some(answer()) }).await.unwrap());
    let theirs = reserved(&*store, &globex, "a", 1).await;
    assert!(store.settle(&theirs, KeyState::Done { answer: None }).await.unwrap());
    assert_eq!(store.reserve(&acme, "a", ONE, at(2)).await.unwrap(), Reservation::Done(Some(answer())));
    // A day later, and long after it, when a new key has swept the old ones away.
    for seconds in [KEPT_SECONDS + 1, 3 * KEPT_SECONDS] {
        reserved(&*store, &acme, &format!("new-{seconds}"), seconds).await;
        match store.reserve(&acme, "a", OTHER, at(seconds)).await.unwrap() {
            Reservation::Yours(_) => {}
            other => panic!("after {seconds} s: {other:?}"),
        }
    }
}
