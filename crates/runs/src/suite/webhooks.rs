//! Webhooks, deliveries and the outbox.

use export_contract::Generation;
use export_contract::event::EventType;
use export_contract::run::{Replay, Run, RunRef, RunStatus};
use export_contract::webhook::{Delivery, DeliveryState};
use futures::future::join_all;

use super::entries::{EntryStores, delivery, webhook};
use super::{at, ends, fact, running, tenant, written};
use crate::quota::Quotas;
use crate::store::{ReplayOutcome, ReplayWanted};
use crate::webhook::KEPT_DAYS;

/// And nothing prints the secret, sealed though it is.
pub async fn a_webhook_reads_back_whole_with_its_sealed_secret(stores: &impl EntryStores) {
    let store = stores.webhooks().await;
    let acme = tenant("acme");
    let mut wanted = webhook(&acme, "importer");
    let kept = store.create_webhook(&wanted).await.unwrap().unwrap();
    wanted.webhook.revision = kept.webhook.revision;
    assert_eq!(kept, wanted);
    assert!(!format!("{kept:?}").contains("sealed\""), "{kept:?}");
    assert_eq!(store.create_webhook(&wanted).await.unwrap(), None);
    let mut off = kept.clone();
    off.webhook.enabled = false;
    off.webhook.disabled_because = Some("410".to_owned());
    off.webhook.former_secret_until = Some(at(60));
    off.former_sealed_secret = Some(std::mem::replace(&mut off.sealed_secret, "sealed anew".to_owned()));
    off.webhook.revision += 1;
    assert!(store.update_webhook(&off).await.unwrap());
    assert!(!store.update_webhook(&off).await.unwrap());
    assert_eq!(stores.webhooks().await.webhooks(&acme).await.unwrap(), [off]);
    assert!(store.delete_webhook(&acme, &kept.webhook.id).await.unwrap());
    assert_eq!(store.webhook(&acme, &kept.webhook.id).await.unwrap(), None);
}

/// The write that ends a run is the one that puts it there.
pub async fn a_run_is_in_the_outbox_from_its_end_until_it_is_announced(stores: &impl EntryStores) {
    let (runs, store) = (stores.open().await, stores.webhooks().await);
    let acme = tenant("acme");
    let first = running(&*runs, &acme, 1).await;
    let second = running(&*runs, &acme, 2).await;
    assert_eq!(store.unannounced_runs(10).await.unwrap(), []);
    for (run, seconds, status) in [(&second, 3, RunStatus::Failed), (&first, 4, RunStatus::Succeeded)] {
        let event = fact("g1.end", EventType::RunFailed, seconds);
        assert!(runs.record(&run.reference(), &event, &ends(status)).await.unwrap());
    }
    let outbox = stores.webhooks().await.unannounced_runs(10).await.unwrap();
    let told: Vec<_> = outbox.iter().map(|run| (&run.id, run.status)).collect();
    assert_eq!(told, [(&second.id, RunStatus::Failed), (&first.id, RunStatus::Succeeded)]);
    assert_eq!(store.unannounced_runs(1).await.unwrap().len(), 1);
    let mut elsewhere = second.reference();
    elsewhere.tenant = tenant("globex");
    assert!(!store.run_announced(&elsewhere).await.unwrap());
    assert_eq!(store.unannounced_runs(10).await.unwrap().len(), 2, "it is none of the other tenant's");
    assert!(store.run_announced(&second.reference()).await.unwrap());
    assert!(!store.run_announced(&second.reference()).await.unwrap(), "one caller is told that it took it out");
    let left = store.unannounced_runs(10).await.unwrap();
    assert_eq!(left.iter().map(|run| &run.id).collect::<Vec<_>>(), [&first.id]);
}

/// Each generation has an end of its own.
pub async fn a_replayed_run_is_in_the_outbox_again_once_it_ends_again(stores: &impl EntryStores) {
    let (runs, store) = (stores.open().await, stores.webhooks().await);
    let acme = tenant("acme");
    let first = written(&*runs, &acme).await.reference();
    runs.cancel(&acme, &first.run, "bob", at(2)).await.unwrap();
    assert!(store.run_announced(&first).await.unwrap());
    let replay = Replay { from: None, of: first.generation };
    let wanted = ReplayWanted { run: first.clone(), replay, by: "bob".to_owned(), at: at(3) };
    let replayed = runs.replay_run(&wanted, &Quotas::default()).await.unwrap();
    assert!(matches!(replayed.outcome, ReplayOutcome::Replayed(_)), "{replayed:?}");
    assert_eq!(store.unannounced_runs(10).await.unwrap(), [], "it has not ended");
    runs.cancel(&acme, &first.run, "bob", at(4)).await.unwrap();
    let second = RunRef { generation: Generation(2), ..first.clone() };
    let outbox: Vec<_> = store.unannounced_runs(10).await.unwrap().iter().map(Run::reference).collect();
    assert_eq!(outbox, std::slice::from_ref(&second));
    assert!(!store.run_announced(&first).await.unwrap(), "it is another generation that ended");
    assert!(store.run_announced(&second).await.unwrap());
    assert_eq!(store.unannounced_runs(10).await.unwrap(), []);
}

/// Whoever ends a run, and wherever it was.
pub async fn a_cancelled_run_is_in_the_outbox(stores: &impl EntryStores) {
    let (runs, store) = (stores.open().await, stores.webhooks().await);
    let acme = tenant("acme");
    let run = written(&*runs, &acme).await;
    runs.cancel(&acme, &run.id, "bob", at(2)).await.unwrap();
    let outbox = store.unannounced_runs(10).await.unwrap();
    assert_eq!(outbox.iter().map(|run| run.status).collect::<Vec<_>>(), [RunStatus::Aborted]);
    store.run_announced(&run.reference()).await.unwrap();
    // What reads or asks again does not bring it back.
    runs.cancel(&acme, &run.id, "bob", at(3)).await.unwrap();
    assert_eq!(store.unannounced_runs(10).await.unwrap(), []);
}

/// That is how it is leased.
pub async fn a_delivery_is_written_once_and_changed_by_one_writer_at_a_time(stores: &impl EntryStores) {
    let store = stores.webhooks().await;
    let hook = webhook(&tenant("acme"), "importer");
    let wanted = delivery(&hook, 1, at(1));
    let creates = join_all((0..8).map(|_| {
        let wanted = wanted.clone();
        async move { stores.webhooks().await.create_delivery(&wanted).await.unwrap() }
    }));
    assert_eq!(creates.await.into_iter().filter(|created| *created).count(), 1);
    assert_eq!(store.delivery(&wanted.tenant, &wanted.id).await.unwrap(), Some(wanted.clone()));
    let leases = join_all((0..8).map(|tries| {
        let leased = Delivery { tries, next_attempt_at: Some(at(60)), revision: 2, ..wanted.clone() };
        async move { stores.webhooks().await.update_delivery(&leased).await.unwrap() }
    }));
    assert_eq!(leases.await.into_iter().filter(|leased| *leased).count(), 1);
    assert_eq!(store.due_deliveries(at(59), 10).await.unwrap(), []);
    assert_eq!(store.due_deliveries(at(60), 10).await.unwrap().len(), 1);
}

/// Those that are over are seen to once more, to be removed.
pub async fn deliveries_are_listed_newest_first_and_found_when_somebody_must_see_to_them(stores: &impl EntryStores) {
    let store = stores.webhooks().await;
    let acme = tenant("acme");
    let (hook, other) = (webhook(&acme, "importer"), webhook(&acme, "chat"));
    for number in 1..=5 {
        assert!(
            store.create_delivery(&delivery(&hook, number, at(10 - i64::try_from(number).unwrap()))).await.unwrap()
        );
    }
    assert!(store.create_delivery(&delivery(&other, 9, at(1))).await.unwrap());
    let page = store.deliveries(&acme, &hook.webhook.id, None, 2).await.unwrap();
    let runs = |deliveries: &[Delivery]| deliveries.iter().map(|delivery| delivery.run.clone()).collect::<Vec<_>>();
    let of = |number| delivery(&hook, number, at(0)).run;
    assert_eq!((runs(&page.deliveries), page.more), (vec![of(5), of(4)], true));
    let before = page.deliveries.last().map(|delivery| delivery.id.as_str());
    let rest = store.deliveries(&acme, &hook.webhook.id, before, 3).await.unwrap();
    assert_eq!((runs(&rest.deliveries), rest.more), (vec![of(3), of(2), of(1)], false));
    let due = store.due_deliveries(at(6), 10).await.unwrap();
    assert_eq!(due.iter().map(|delivery| delivery.next_attempt_at).collect::<Vec<_>>(), [1, 5, 6].map(|s| Some(at(s))));
    let taken = Delivery {
        state: DeliveryState::Delivered,
        next_attempt_at: None,
        revision: 2,
        ..store.delivery(&acme, &delivery(&other, 9, at(1)).id).await.unwrap().unwrap()
    };
    assert!(store.update_delivery(&taken).await.unwrap());
    assert_eq!(store.due_deliveries(at(6), 10).await.unwrap().len(), 2);
    let over = at(1).plus_seconds(KEPT_DAYS * 86_400);
    assert_eq!(store.due_deliveries(over.plus_seconds(-1), 10).await.unwrap().len(), 5);
    assert!(store.due_deliveries(over, 10).await.unwrap().contains(&taken));
    assert!(store.remove_delivery(&acme, &taken.id).await.unwrap());
    assert_eq!(store.delivery(&acme, &taken.id).await.unwrap(), None);
    assert!(!store.remove_delivery(&acme, &taken.id).await.unwrap());
    assert!(!store.due_deliveries(over, 10).await.unwrap().contains(&taken));
}

/// Nothing of another tenant is found or changed.
pub async fn webhooks_and_deliveries_are_the_tenants_own(stores: &impl EntryStores) {
    let store = stores.webhooks().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let hook = store.create_webhook(&webhook(&acme, "importer")).await.unwrap().unwrap();
    let ours = delivery(&hook, 1, at(1));
    assert!(store.create_delivery(&ours).await.unwrap());
    assert_eq!(store.webhooks(&globex).await.unwrap(), []);
    assert_eq!(store.webhook(&globex, &hook.webhook.id).await.unwrap(), None);
    assert!(!store.delete_webhook(&globex, &hook.webhook.id).await.unwrap());
    assert_eq!(store.delivery(&globex, &ours.id).await.unwrap(), None);
    assert_eq!(store.deliveries(&globex, &hook.webhook.id, None, 10).await.unwrap().deliveries, []);
    assert!(!store.remove_delivery(&globex, &ours.id).await.unwrap());
    assert!(store.delivery(&acme, &ours.id).await.unwrap().is_some());
}
