//! The audit log: what is written stays, in order, and is the tenant's own.

use std::collections::BTreeSet;

use export_contract::audit::{AuditAction, AuditEntry, AuditOutcome};
use export_contract::{ErrorCode, TenantId, Version};
use futures::future::join_all;

use super::entries::EntryStores;
use super::{at, tenant};
use crate::audit::{AuditFilter, AuditPage, AuditStore};

fn entry(tenant: &TenantId, id: &str, seconds: i64) -> AuditEntry {
    AuditEntry {
        v: Version,
        id: id.to_owned(),
        tenant: tenant.clone(),
        at: at(seconds),
        action: AuditAction::RunSubmitted,
        actor: "alice".to_owned(),
        token_id: Some("token-1".to_owned()),
        object: "runs".to_owned(),
        outcome: AuditOutcome::Allowed,
        error_code: None,
        status: Some(202),
        remote: Some("192.0.2.1".to_owned()),
        correlation_id: Some("correlation-1".to_owned()),
    }
}

async fn log(store: &dyn AuditStore, tenant: &TenantId) -> Vec<AuditEntry> {
    let page = store.entries_of(tenant, &AuditFilter { limit: 500, ..AuditFilter::default() }).await.unwrap();
    assert!(!page.more);
    page.entries
}

/// The second writer changes nothing.
pub async fn an_entry_reads_back_whole_and_is_written_once_however_often_it_comes(stores: &impl EntryStores) {
    let store = stores.audit().await;
    let acme = tenant("acme");
    let first = entry(&acme, "a", 1);
    store.note(&first).await.unwrap();
    store.note(&first).await.unwrap();
    store.note(&AuditEntry { actor: "mallory".to_owned(), at: at(9), ..first.clone() }).await.unwrap();
    store.note(&AuditEntry { outcome: AuditOutcome::Begun, at: at(9), ..first.clone() }).await.unwrap();
    assert_eq!(log(&*stores.audit().await, &acme).await, [first]);
}

/// The time is that at which it begun.
pub async fn an_entry_that_begun_says_later_what_came_of_it_and_nothing_else_after(stores: &impl EntryStores) {
    let store = stores.audit().await;
    let acme = tenant("acme");
    let begun =
        AuditEntry { outcome: AuditOutcome::Begun, status: None, object: "runs".to_owned(), ..entry(&acme, "a", 1) };
    let other = AuditEntry { id: "b".to_owned(), ..begun.clone() };
    store.note(&begun).await.unwrap();
    store.note(&other).await.unwrap();
    assert_eq!(log(&*store, &acme).await, [other.clone(), begun.clone()]);
    let refused = AuditEntry {
        outcome: AuditOutcome::Refused,
        error_code: Some(ErrorCode::Quota),
        status: Some(429),
        at: at(5),
        ..begun.clone()
    };
    store.note(&refused).await.unwrap();
    let expected = AuditEntry { at: at(1), ..refused.clone() };
    assert_eq!(log(&*store, &acme).await, [other.clone(), expected.clone()]);
    store.note(&AuditEntry { outcome: AuditOutcome::Allowed, ..refused }).await.unwrap();
    store.note(&begun).await.unwrap();
    assert_eq!(log(&*store, &acme).await, [other, expected]);
}

/// As when a request is answered twice.
pub async fn of_concurrent_writers_of_an_entry_one_end_stays(stores: &impl EntryStores) {
    let acme = tenant("acme");
    let begun = AuditEntry { outcome: AuditOutcome::Begun, status: None, ..entry(&acme, "a", 1) };
    stores.audit().await.note(&begun).await.unwrap();
    join_all((0..6_u16).map(|number| {
        let end = AuditEntry { status: Some(200 + number), ..entry(&acme, "a", 2) };
        async move { stores.audit().await.note(&end).await.unwrap() }
    }))
    .await;
    let store = stores.audit().await;
    let first = log(&*store, &acme).await;
    assert_eq!((first.len(), first[0].outcome, first[0].at), (1, AuditOutcome::Allowed, at(1)));
    assert_eq!(log(&*store, &acme).await, first);
}

/// Entries of one moment have an order, too; those that have only begun count as one like the others.
pub async fn pages_of_the_log_are_newest_first_and_lose_nothing(stores: &impl EntryStores) {
    let store = stores.audit().await;
    let acme = tenant("acme");
    let mut expected = Vec::new();
    for number in 0..11 {
        let whole = entry(&acme, &format!("e{number:02}"), number / 3);
        store.note(&AuditEntry { outcome: AuditOutcome::Begun, ..whole.clone() }).await.unwrap();
        if number % 4 == 0 {
            expected.push(AuditEntry { outcome: AuditOutcome::Begun, ..whole });
        } else {
            store.note(&whole).await.unwrap();
            expected.push(whole);
        }
    }
    expected.reverse();
    for limit in [1, 2, 3, 10, 11] {
        let mut found = Vec::new();
        let mut before = None;
        loop {
            let filter = AuditFilter { before, limit, ..AuditFilter::default() };
            let AuditPage { entries, more } = store.entries_of(&acme, &filter).await.unwrap();
            assert!(entries.len() == limit as usize || !more, "a page that is not the last is full");
            before = entries.last().map(AuditEntry::place);
            found.extend(entries);
            if !more {
                break;
            }
        }
        assert_eq!(found, expected, "{limit}");
    }
}

/// `since` is in, `until` is out.
pub async fn entries_are_found_by_time_and_action_and_forgotten_by_time(stores: &impl EntryStores) {
    let store = stores.audit().await;
    let acme = tenant("acme");
    for number in 0..6_i64 {
        let action = if number % 2 == 0 { AuditAction::RunSubmitted } else { AuditAction::RunCancelled };
        let whole = AuditEntry { action, ..entry(&acme, &format!("e{number}"), number) };
        store.note(&AuditEntry { outcome: AuditOutcome::Begun, ..whole.clone() }).await.unwrap();
        store.note(&whole).await.unwrap();
    }
    let found = |filter: AuditFilter| {
        let (store, acme) = (store.clone(), acme.clone());
        async move {
            let page = store.entries_of(&acme, &AuditFilter { limit: 100, ..filter }).await.unwrap();
            page.entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        }
    };
    let between = AuditFilter { since: Some(at(1)), until: Some(at(4)), ..AuditFilter::default() };
    assert_eq!(found(between.clone()).await, ["e3", "e2", "e1"]);
    let cancelled = AuditFilter { action: Some(AuditAction::RunCancelled), ..between };
    assert_eq!(found(cancelled).await, ["e3", "e1"]);
    store.forget(at(4)).await.unwrap();
    assert_eq!(found(AuditFilter::default()).await, ["e5", "e4"]);
    store.forget(at(100)).await.unwrap();
    assert_eq!(found(AuditFilter::default()).await, [""; 0]);
}

/// Also where ids are the same.
pub async fn the_log_is_the_tenants_own(stores: &impl EntryStores) {
    let store = stores.audit().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let (ours, theirs) = (entry(&acme, "a", 1), entry(&globex, "a", 2));
    store.note(&ours).await.unwrap();
    store.note(&theirs).await.unwrap();
    assert_eq!(log(&*store, &acme).await, [ours]);
    assert_eq!(log(&*store, &globex).await, [theirs]);
    assert_eq!(log(&*store, &tenant("umbrella")).await, []);
    let tenants: BTreeSet<TenantId> = log(&*store, &acme).await.into_iter().map(|entry| entry.tenant).collect();
    assert_eq!(tenants, [acme].into());
}
