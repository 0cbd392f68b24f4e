//! Profiles and their revisions.

use std::collections::BTreeMap;

use export_contract::profile::{Profile, ProfileKind};
use futures::future::join_all;

use super::{Stores, at, tenant};
use crate::store::{CreateOutcome, DeleteOutcome, RunStore, RunStoreError};

fn nightly() -> Profile {
    let mut profile = Profile::built_in(tenant("acme"), ProfileKind::JsonRaw, at(0));
    profile.id = "nightly".parse().unwrap();
    profile.name = String::from("Nightly");
    profile.created_by = String::from("alice");
    profile.labels = BTreeMap::from([("team.name".to_owned(), "$security".to_owned())]);
    profile
}

async fn created(store: &dyn RunStore) -> Profile {
    let profile = nightly();
    assert_eq!(store.create_profile(&profile).await.unwrap(), CreateOutcome::Created(profile.clone()));
    profile
}

fn next_revision(of: &Profile, level: i32) -> Profile {
    let mut next = of.clone();
    next.revision += 1;
    next.config.compression.level = level;
    next
}

/// Nothing is written for them, and they do not depend on the clock.
pub async fn every_tenant_has_six_built_in_profiles(stores: &impl Stores) {
    let store = stores.open().await;
    let profiles = store.profiles(&tenant("fresh")).await.unwrap();
    let ids: Vec<&str> = profiles.iter().map(|profile| profile.id.as_str()).collect();
    assert_eq!(ids, ["json-policy", "json-raw", "mirror-delta", "mirror-full", "trivy-db", "trivy-java-db"]);
    for profile in &profiles {
        assert_eq!(profile.tenant, tenant("fresh"));
        assert_eq!(profile.revision, 1);
        assert_eq!(profile.created_at.to_string(), "2026-01-01T00:00:00Z");
        let found = store.profile(&profile.tenant, &profile.id, Some(1)).await.unwrap();
        assert_eq!(found.as_ref(), Some(profile));
    }
    let raw = "json-raw".parse().unwrap();
    assert_eq!(store.profile(&tenant("fresh"), &raw, Some(2)).await.unwrap(), None);
}

/// Runs keep the revision they were submitted for.
pub async fn a_changed_configuration_makes_a_revision_and_the_old_one_stays(stores: &impl Stores) {
    let store = stores.open().await;
    let first = created(&*store).await;
    let second = next_revision(&first, 9);
    assert!(store.update_profile(&second, 1).await.unwrap());
    assert_eq!(store.profile(&first.tenant, &first.id, None).await.unwrap(), Some(second.clone()));
    assert_eq!(store.profile(&first.tenant, &first.id, Some(2)).await.unwrap(), Some(second.clone()));
    assert_eq!(store.profile(&first.tenant, &first.id, Some(1)).await.unwrap(), Some(first.clone()));
    assert_eq!(store.profile(&first.tenant, &first.id, Some(3)).await.unwrap(), None);
    let listed = store.profiles(&first.tenant).await.unwrap();
    assert_eq!(listed.iter().filter(|profile| profile.id == first.id).collect::<Vec<_>>(), [&second]);
    assert_eq!(listed.len(), 7);
    // Who read revision 1 comes too late.
    assert!(!store.update_profile(&next_revision(&first, 5), 1).await.unwrap());
    // A revision is never skipped, and a configuration never changes in place.
    let mut gap = next_revision(&second, 5);
    gap.revision = 4;
    assert!(matches!(store.update_profile(&gap, 2).await, Err(RunStoreError::Refused { .. })));
    let mut in_place = next_revision(&second, 5);
    in_place.revision = 2;
    assert!(matches!(store.update_profile(&in_place, 2).await, Err(RunStoreError::Refused { .. })));
    assert_eq!(store.profile(&first.tenant, &first.id, None).await.unwrap(), Some(second));
}

/// Name, description and labels do not change the bytes of a bundle.
pub async fn a_changed_name_makes_no_revision(stores: &impl Stores) {
    let store = stores.open().await;
    let mut profile = created(&*store).await;
    profile.name = String::from("Every night");
    profile.description = String::from("for the auditors");
    profile.labels.insert("tier".to_owned(), "gold".to_owned());
    assert!(store.update_profile(&profile, 1).await.unwrap());
    assert_eq!(store.profile(&profile.tenant, &profile.id, None).await.unwrap(), Some(profile.clone()));
    profile.id = "absent".parse().unwrap();
    assert!(!store.update_profile(&profile, 1).await.unwrap(), "there is no such profile");
    assert_eq!(store.profile(&profile.tenant, &profile.id, None).await.unwrap(), None);
}

/// So that a create can be repeated.
pub async fn the_same_profile_twice_is_one_and_another_under_its_id_is_refused(stores: &impl Stores) {
    let store = stores.open().await;
    let profile = created(&*store).await;
    let mut again = profile.clone();
    again.created_by = String::from("bob");
    again.created_at = at(77);
    assert_eq!(store.create_profile(&again).await.unwrap(), CreateOutcome::Existing(profile.clone()));
    again.config.allow_empty = true;
    assert_eq!(store.create_profile(&again).await.unwrap(), CreateOutcome::Conflict);
    let mut taken = profile.clone();
    taken.id = ProfileKind::TrivyDb.built_in_id();
    assert_eq!(store.create_profile(&taken).await.unwrap(), CreateOutcome::Conflict, "the id of a built-in");
    let outcomes = join_all((0..8).map(|_| async {
        let mut profile = profile.clone();
        profile.id = "weekly".parse().unwrap();
        stores.open().await.create_profile(&profile).await.unwrap()
    }))
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, CreateOutcome::Created(_))).count(), 1);
    assert!(!outcomes.contains(&CreateOutcome::Conflict));
}

/// An update that was built on an old revision is told so.
pub async fn of_concurrent_updates_one_wins(stores: &impl Stores) {
    let store = stores.open().await;
    let first = created(&*store).await;
    let wins = join_all((1..=8).map(|level| {
        let next = next_revision(&first, level + 10);
        async move { stores.open().await.update_profile(&next, 1).await.unwrap().then_some(next) }
    }))
    .await;
    let winners: Vec<Profile> = wins.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.profile(&first.tenant, &first.id, None).await.unwrap().as_ref(), winners.first());
}

/// A built-in has no row until it is changed; then its first revision can still be read.
pub async fn a_built_in_profile_can_be_changed(stores: &impl Stores) {
    let store = stores.open().await;
    let acme = tenant("acme");
    let id = ProfileKind::JsonRaw.built_in_id();
    let built_in = store.profile(&acme, &id, None).await.unwrap().unwrap();
    let next = next_revision(&built_in, 12);
    assert!(store.update_profile(&next, 1).await.unwrap());
    assert_eq!(store.profile(&acme, &id, None).await.unwrap(), Some(next.clone()));
    assert_eq!(store.profile(&acme, &id, Some(1)).await.unwrap(), Some(built_in));
    assert!(store.profiles(&acme).await.unwrap().contains(&next));
    assert_eq!(store.profiles(&acme).await.unwrap().len(), 6);
    let id = ProfileKind::MirrorFull.built_in_id();
    let mut renamed = store.profile(&acme, &id, None).await.unwrap().unwrap();
    renamed.name = String::from("Our mirror");
    assert!(store.update_profile(&renamed, 1).await.unwrap());
    assert_eq!(store.profile(&acme, &id, None).await.unwrap(), Some(renamed));
}

/// Also the first one of a built-in profile, which has no row.
pub async fn revisions_are_listed_newest_first_down_to_the_first(stores: &impl Stores) {
    let store = stores.open().await;
    let mut newest = created(&*store).await;
    for level in 5..9 {
        newest = next_revision(&newest, level);
        assert!(store.update_profile(&newest, newest.revision - 1).await.unwrap());
    }
    let (acme, id) = (newest.tenant.clone(), newest.id.clone());
    let listed = |before: Option<u32>, limit: u32| {
        let (store, acme, id) = (&store, &acme, &id);
        async move {
            let found = store.profile_revisions(acme, id, before, limit).await.unwrap();
            found.into_iter().map(|profile| profile.revision).collect::<Vec<u32>>()
        }
    };
    assert_eq!(listed(None, 10).await, [5, 4, 3, 2, 1]);
    assert_eq!(listed(None, 2).await, [5, 4]);
    assert_eq!(listed(Some(4), 2).await, [3, 2]);
    assert_eq!(listed(Some(2), 2).await, [1]);
    assert_eq!(listed(Some(1), 2).await, [0; 0]);
    assert_eq!(store.profile_revisions(&acme, &id, None, 1).await.unwrap(), [newest]);
    let built_in = ProfileKind::JsonRaw.built_in_id();
    let first = store.profile(&acme, &built_in, None).await.unwrap().unwrap();
    assert_eq!(store.profile_revisions(&acme, &built_in, None, 5).await.unwrap(), std::slice::from_ref(&first));
    let second = next_revision(&first, 9);
    assert!(store.update_profile(&second, 1).await.unwrap());
    assert_eq!(store.profile_revisions(&acme, &built_in, None, 5).await.unwrap(), [second, first.clone()]);
    assert_eq!(store.profile_revisions(&acme, &built_in, Some(2), 5).await.unwrap(), [first]);
    assert_eq!(store.profile_revisions(&acme, &"nobody".parse().unwrap(), None, 5).await.unwrap(), []);
}

/// Runs that were made of it name a revision, which stays; nobody else's profile ever has its id.
pub async fn a_deleted_profile_is_gone_and_keeps_its_revisions_and_its_id(stores: &impl Stores) {
    let store = stores.open().await;
    let first = created(&*store).await;
    let second = next_revision(&first, 9);
    assert!(store.update_profile(&second, 1).await.unwrap());
    let (acme, id) = (first.tenant.clone(), first.id.clone());
    let other = tenant("globex");
    let missing = store.delete_profile(&other, &id, "bob", at(1)).await.unwrap();
    assert_eq!(missing, DeleteOutcome::NotFound, "of another tenant");
    for kind in ProfileKind::ALL {
        let outcome = store.delete_profile(&acme, &kind.built_in_id(), "bob", at(1)).await.unwrap();
        assert_eq!(outcome, DeleteOutcome::BuiltIn);
    }
    let outcomes =
        join_all((0..4).map(|_| async {
            stores.open().await.delete_profile(&first.tenant, &first.id, "bob", at(1)).await.unwrap()
        }));
    let outcomes = outcomes.await;
    assert!(outcomes.contains(&DeleteOutcome::Deleted), "{outcomes:?}");
    assert_eq!(store.delete_profile(&acme, &id, "bob", at(2)).await.unwrap(), DeleteOutcome::NotFound);
    let later = stores.open().await;
    assert_eq!(later.profile(&acme, &id, None).await.unwrap(), None);
    assert_eq!(later.profiles(&acme).await.unwrap().len(), 6);
    assert_eq!(later.profile_revisions(&acme, &id, None, 9).await.unwrap(), []);
    assert_eq!(later.profile(&acme, &id, Some(1)).await.unwrap(), Some(first.clone()));
    assert_eq!(later.profile(&acme, &id, Some(2)).await.unwrap(), Some(second.clone()));
    assert!(!later.update_profile(&next_revision(&second, 3), 2).await.unwrap());
    assert_eq!(later.create_profile(&first).await.unwrap(), CreateOutcome::Conflict);
    let theirs = Profile { tenant: other.clone(), ..first };
    assert!(matches!(later.create_profile(&theirs).await.unwrap(), CreateOutcome::Created(_)));
}

/// A profile of another tenant is never found.
pub async fn profiles_are_the_tenants_own(stores: &impl Stores) {
    let store = stores.open().await;
    let profile = created(&*store).await;
    let other = tenant("globex");
    assert_eq!(store.profile(&other, &profile.id, None).await.unwrap(), None);
    assert_eq!(store.profiles(&other).await.unwrap().len(), 6);
    let mut theirs = profile.clone();
    theirs.tenant = other.clone();
    theirs.name = String::from("Theirs");
    assert_eq!(store.create_profile(&theirs).await.unwrap(), CreateOutcome::Created(theirs.clone()));
    assert_eq!(store.profile(&profile.tenant, &profile.id, None).await.unwrap(), Some(profile));
}
