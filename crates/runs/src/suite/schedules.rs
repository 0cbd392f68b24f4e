//! Schedules.

use export_contract::schedule::{DueOutcome, DueRecord, Schedule};
use futures::future::join_all;

use super::entries::{EntryStores, schedule};
use super::{at, tenant};

/// The schedule after another write.
fn changed(of: &Schedule, cron: &str) -> Schedule {
    Schedule { cron: cron.to_owned(), revision: of.revision + 1, ..of.clone() }
}

fn ids(schedules: &[Schedule]) -> Vec<&str> {
    schedules.iter().map(|schedule| schedule.id.as_str()).collect()
}

/// Whatever a schedule holds comes back, and creating it again changes nothing.
pub async fn a_schedule_reads_back_whole_and_its_id_is_taken_once(stores: &impl EntryStores) {
    let store = stores.schedules().await;
    let acme = tenant("acme");
    let mut wanted = schedule(&acme, "nightly", Some(10));
    wanted.last = Some(DueRecord {
        due: at(1),
        at: at(2),
        outcome: DueOutcome::Skipped,
        run: None,
        reason: Some("not yet".to_owned()),
        error_code: None,
    });
    let written = store.create_schedule(&wanted).await.unwrap().unwrap();
    assert_eq!(written, Schedule { revision: written.revision, ..wanted.clone() });
    assert_eq!(stores.schedules().await.schedule(&acme, &wanted.id).await.unwrap(), Some(written.clone()));
    assert_eq!(store.create_schedule(&changed(&wanted, "@daily")).await.unwrap(), None);
    store.create_schedule(&schedule(&acme, "hourly", None)).await.unwrap().unwrap();
    let all = store.schedules(&acme).await.unwrap();
    assert_eq!(ids(&all), ["hourly", "nightly"]);
    assert_eq!(all.last(), Some(&written));
    let creates = join_all((0..8).map(|_| async {
        stores.schedules().await.create_schedule(&schedule(&tenant("acme"), "weekly", None)).await.unwrap().is_some()
    }));
    assert_eq!(creates.await.into_iter().filter(|created| *created).count(), 1);
}

/// Each writer names the revision that it saw.
pub async fn of_concurrent_changes_of_a_schedule_one_wins(stores: &impl EntryStores) {
    let acme = tenant("acme");
    let store = stores.schedules().await;
    let mut known = store.create_schedule(&schedule(&acme, "nightly", Some(0))).await.unwrap().unwrap();
    for _ in 0..5 {
        let attempts = join_all((0..6).map(|minute| {
            let next = changed(&known, &format!("{minute} * * * *"));
            async move { stores.schedules().await.update_schedule(&next).await.unwrap().then_some(next) }
        }));
        let winners: Vec<Schedule> = attempts.await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        known = store.schedule(&acme, &known.id).await.unwrap().unwrap();
        assert_eq!(winners.first(), Some(&known));
    }
}

/// Also where the store has long forgotten the revision.
pub async fn a_change_that_builds_on_an_old_revision_is_refused_however_many_came_between(stores: &impl EntryStores) {
    let acme = tenant("acme");
    let store = stores.schedules().await;
    let first = store.create_schedule(&schedule(&acme, "nightly", Some(0))).await.unwrap().unwrap();
    let mut newest = first.clone();
    for _ in 0..100 {
        newest = changed(&newest, "@daily");
        assert!(store.update_schedule(&newest).await.unwrap());
    }
    assert!(!store.update_schedule(&changed(&first, "@hourly")).await.unwrap());
    let mut ahead = changed(&newest, "@hourly");
    ahead.revision += 1;
    assert!(!store.update_schedule(&ahead).await.unwrap(), "a revision is never left out");
    assert_eq!(store.schedule(&acme, &first.id).await.unwrap(), Some(newest.clone()));
    assert_eq!(store.due_schedules(at(1), 10).await.unwrap(), [newest]);
}

/// Of all tenants; what is not enabled is not due.
pub async fn schedules_are_found_when_they_are_due_the_longest_due_first(stores: &impl EntryStores) {
    let store = stores.schedules().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    for (tenant, id, due) in
        [(&acme, "later", Some(20)), (&globex, "first", Some(5)), (&acme, "second", Some(10)), (&acme, "never", None)]
    {
        store.create_schedule(&schedule(tenant, id, due)).await.unwrap().unwrap();
    }
    let mut off = schedule(&acme, "off", Some(1));
    off.enabled = false;
    store.create_schedule(&off).await.unwrap().unwrap();
    assert_eq!(ids(&store.due_schedules(at(4), 10).await.unwrap()), [""; 0]);
    assert_eq!(ids(&store.due_schedules(at(10), 10).await.unwrap()), ["first", "second"]);
    assert_eq!(ids(&store.due_schedules(at(99), 10).await.unwrap()), ["first", "second", "later"]);
    assert_eq!(ids(&store.due_schedules(at(99), 2).await.unwrap()), ["first", "second"]);
    let first = store.schedule(&globex, &"first".parse().unwrap()).await.unwrap().unwrap();
    let moved = Schedule { next_due: Some(at(50)), ..changed(&first, "@daily") };
    assert!(store.update_schedule(&moved).await.unwrap());
    assert_eq!(ids(&store.due_schedules(at(30), 10).await.unwrap()), ["second", "later"]);
}

/// A schedule of the same name begins anew.
pub async fn a_deleted_schedule_is_gone_and_its_id_is_free_again(stores: &impl EntryStores) {
    let store = stores.schedules().await;
    let acme = tenant("acme");
    let written = store.create_schedule(&schedule(&acme, "nightly", Some(1))).await.unwrap().unwrap();
    assert!(store.delete_schedule(&acme, &written.id).await.unwrap());
    assert!(!store.delete_schedule(&acme, &written.id).await.unwrap());
    assert_eq!(store.schedule(&acme, &written.id).await.unwrap(), None);
    assert_eq!(store.schedules(&acme).await.unwrap(), []);
    assert_eq!(store.due_schedules(at(9), 10).await.unwrap(), []);
    assert!(!store.update_schedule(&changed(&written, "@daily")).await.unwrap(), "there is nothing to change");
    let again = store.create_schedule(&schedule(&acme, "nightly", Some(2))).await.unwrap().unwrap();
    assert!(store.update_schedule(&changed(&again, "@daily")).await.unwrap());
    assert_eq!(ids(&store.due_schedules(at(9), 10).await.unwrap()), ["nightly"]);
}

/// Nor does one tenant's change touch another's schedule of the same id.
pub async fn schedules_are_the_tenants_own(stores: &impl EntryStores) {
    let store = stores.schedules().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let ours = store.create_schedule(&schedule(&acme, "nightly", Some(1))).await.unwrap().unwrap();
    assert_eq!(store.schedule(&globex, &ours.id).await.unwrap(), None);
    assert!(!store.delete_schedule(&globex, &ours.id).await.unwrap());
    let theirs = store.create_schedule(&schedule(&globex, "nightly", Some(2))).await.unwrap().unwrap();
    assert!(store.update_schedule(&changed(&theirs, "@hourly")).await.unwrap());
    assert!(store.delete_schedule(&globex, &theirs.id).await.unwrap());
    assert_eq!(store.schedule(&acme, &ours.id).await.unwrap(), Some(ours.clone()));
    assert_eq!(store.schedules(&globex).await.unwrap(), []);
}
