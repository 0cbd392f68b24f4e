//! Passes of which one thing is told at a time.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use export_contract::RunId;
use export_contract::message::Distribution;
use export_orchestrator::{Deed, Told};

use super::world::{DAY, HOUR, Keeps, Makes, World};

const FOR_A_DAY: Keeps = Keeps { days: Some(1), last: None };
const THE_LAST: Keeps = Keeps { days: None, last: Some(1) };
const FOR_EVER: Keeps = Keeps { days: None, last: None };

async fn made(world: &mut World, makes: Makes, keeps: Keeps, base: Option<&RunId>, unchanged: bool) -> RunId {
    world.submit(0, makes, keeps, base, false).await;
    let id = world.runs.keys().next_back().unwrap().clone();
    world.make(0, &id, unchanged).await;
    id
}

async fn told(world: &World, dry_run: bool) -> Vec<(RunId, Deed, String)> {
    let told: Mutex<Vec<Told>> = Mutex::default();
    let (_, retention) = world.pruner(None);
    retention.pass(dry_run, &|line| told.lock().unwrap().push(line)).await;
    told.into_inner().unwrap().into_iter().map(|line| (line.run, line.deed, line.why)).collect()
}

fn deed(told: &[(RunId, Deed, String)], run: &RunId) -> Deed {
    told.iter().find(|(id, ..)| id == run).unwrap().1
}

async fn types(world: &World, run: &RunId) -> Vec<&'static str> {
    let tenant = world.runs[run].run.tenant.clone();
    let events = world.ledger.events(&tenant, run, 0, 100).await.unwrap();
    events.iter().filter(|event| event.event_type.is_of_retention()).map(|event| event.event_type.as_str()).collect()
}

#[tokio::test]
async fn bytes_go_in_a_later_pass_behind_the_grace() {
    let mut world = World::new([THE_LAST; 3]).await;
    let old = made(&mut world, Makes::Full, THE_LAST, None, false).await;
    let new = made(&mut world, Makes::Full, THE_LAST, None, false).await;
    assert_eq!(deed(&told(&world, false).await, &old), Deed::Expiring);
    world.wait(HOUR - 1).await;
    assert_eq!(deed(&told(&world, false).await, &old), Deed::Waiting);
    world.is_whole(&old, "until the grace is over");
    world.wait(1).await;
    let last = told(&world, false).await;
    assert_eq!((deed(&last, &old), deed(&last, &new)), (Deed::Pruned, Deed::Kept));
    assert!(last.iter().any(|(_, _, why)| why.contains("number 1 of the newest 1")), "{last:?}");
    assert_eq!(told(&world, false).await.len(), 1, "a pruned run is heard of no more");
    let expected = ["run.expiring", "run.removing", "distribution.pruned", "distribution.pruned", "run.pruned"];
    assert_eq!(types(&world, &old).await, expected);
}

#[tokio::test]
async fn a_dry_run_tells_everything_and_changes_nothing() {
    let mut world = World::new([THE_LAST; 3]).await;
    let old = made(&mut world, Makes::Full, THE_LAST, None, false).await;
    made(&mut world, Makes::Full, THE_LAST, None, false).await;
    for _ in 0..2 {
        assert_eq!(deed(&told(&world, true).await, &old), Deed::Expiring);
        assert_eq!(world.ledger_says(&old).await.expiry, None);
    }
    told(&world, false).await;
    world.wait(HOUR).await;
    assert_eq!(deed(&told(&world, true).await, &old), Deed::Pruned);
    world.is_whole(&old, "in a dry run");
    assert_eq!(types(&world, &old).await, ["run.expiring"]);
}

#[tokio::test]
async fn a_base_that_a_slow_request_was_promised_is_spared() {
    let mut world = World::new([FOR_A_DAY, FOR_EVER, FOR_EVER]).await;
    let base = made(&mut world, Makes::Full, FOR_A_DAY, None, false).await;
    world.wait(DAY - 60).await;
    // The gateway has found the base, and has not written the run when the base expires.
    world.submit(0, Makes::Delta, FOR_EVER, Some(&base), true).await;
    world.write_drafts().await;
    world.wait(60).await;
    let delta = world.runs.keys().next_back().unwrap().clone();
    told(&world, false).await;
    assert_eq!(world.ledger_says(&base).await.expiry, None, "a run that waits needs it");
    // Of one that expired before it was seen, the second decision knows.
    world.cancel(&delta).await;
    world.wait(7 * DAY).await;
    told(&world, false).await;
    assert!(world.ledger_says(&base).await.expiry.is_some());
    let before = world.runs.len();
    world.submit(0, Makes::Delta, FOR_EVER, Some(&base), false).await;
    assert_eq!(world.runs.len(), before, "nobody builds upon what is expiring");
}

#[tokio::test]
async fn what_was_marked_before_a_run_was_seen_that_needs_it_comes_back() {
    let mut world = World::new([FOR_A_DAY, FOR_EVER, FOR_EVER]).await;
    let base = made(&mut world, Makes::Full, FOR_A_DAY, None, false).await;
    world.wait(DAY).await;
    world.submit(0, Makes::Delta, FOR_EVER, Some(&base), true).await;
    assert_eq!(deed(&told(&world, false).await, &base), Deed::Expiring);
    world.wait(HOUR).await;
    let told = told(&world, false).await;
    assert_eq!(deed(&told, &base), Deed::Spared);
    let delta = world.runs.keys().next_back().unwrap().clone();
    world.make(0, &delta, false).await;
    assert_eq!(world.ledger_says(&delta).await.base, Some(base.clone()));
    assert_eq!(types(&world, &base).await, ["run.expiring", "run.spared"]);
    world.wait(400 * DAY).await;
    world.pass(0).await;
    world.is_whole(&base, "by a delta that is kept for ever");
}

#[tokio::test]
async fn what_is_locked_waits_and_the_rest_goes() {
    let mut world = World::new([FOR_A_DAY; 3]).await;
    let run = made(&mut world, Makes::Full, FOR_A_DAY, None, false).await;
    // The target keeps the object for longer than the profile, which the ledger does not know.
    world.wait(DAY).await;
    world.pass(0).await;
    world.wait(HOUR).await;
    assert_eq!(deed(&told(&world, false).await, &run), Deed::Locked);
    let says = world.ledger_says(&run).await;
    let object = says.distributions.iter().find(|place| place.location.starts_with("s3:")).unwrap();
    assert!(object.locked_until.is_some() && object.pruned_at.is_none());
    assert!(world.bucket.holds(&object.location));
    let corner = export_blobs::Workspace::corner(&says.tenant, &run);
    assert_eq!(world.staging.list(&corner).await.unwrap(), []);
    assert_eq!(deed(&told(&world, false).await, &run), Deed::Locked);
    world.wait(10 * DAY).await;
    assert_eq!(deed(&told(&world, false).await, &run), Deed::Pruned);
    let expected = [
        "run.expiring",
        "run.removing",
        "distribution.pruned",
        "distribution.locked",
        "distribution.pruned",
        "run.pruned",
    ];
    assert_eq!(types(&world, &run).await, expected);
}

#[tokio::test]
async fn a_target_that_is_away_is_asked_again_and_keeps_nothing_else() {
    let mut world = World::new([FOR_A_DAY; 3]).await;
    let run = made(&mut world, Makes::Full, FOR_A_DAY, None, false).await;
    world.wait(20 * DAY).await;
    world.pass(0).await;
    world.wait(HOUR).await;
    world.bucket.away.store(true, Ordering::SeqCst);
    let pass = world.pass(0).await;
    assert_eq!((pass.pruned, pass.failures.get("object")), (0, Some(&1)));
    assert_eq!(world.ledger_says(&run).await.distributions[0].pruned_at, Some(world.now()), "the other place");
    world.wait(20 * DAY).await;
    world.bucket.away.store(false, Ordering::SeqCst);
    assert_eq!(world.pass(1).await.pruned, 1);
}

#[tokio::test]
async fn what_the_ledger_does_not_know_is_told_and_stays_unless_asked() {
    let mut world = World::new([FOR_A_DAY; 3]).await;
    let run = made(&mut world, Makes::Full, FOR_A_DAY, None, false).await;
    let stray = RunId::from_parts(1_777_593_600_000, 7);
    let key = export_blobs::Workspace::corner(&world.runs[&run].run.tenant, &stray);
    let key = format!("{key}/g1/plan.json").parse().unwrap();
    world.staging.put(&key, Bytes::from_static(b"{}")).await.unwrap();
    world.wait(20 * DAY).await;
    let pass = world.pass(0).await;
    assert_eq!((pass.orphans, pass.freed.objects), (1, 1), "one stray run, one checkpoint");
    assert!(world.staging.head(&key).await.unwrap().is_some());
    let rules = export_orchestrator::Rules { remove_orphans: true, ..super::world::RULES };
    let lines = world.pass_by(rules).await;
    assert!(lines.iter().any(|line| line.run == stray && line.deed == Deed::OrphanRemoved), "{lines:?}");
    assert!(world.staging.head(&key).await.unwrap().is_none());
    // What a worker that was held up writes for a pruned run does not stay.
    world.wait(HOUR).await;
    world.pass(0).await;
    assert!(world.ledger_says(&run).await.expiry.unwrap().pruned_at.is_some());
    let late = format!("{}/g1/late.json", export_blobs::Workspace::corner(&world.runs[&run].run.tenant, &run));
    let late = late.parse().unwrap();
    world.staging.put(&late, Bytes::from_static(b"{}")).await.unwrap();
    world.pass(0).await;
    assert!(world.staging.head(&late).await.unwrap().is_none());
}

#[tokio::test]
async fn a_bundle_that_was_confirmed_is_the_newest_and_goes_with_its_confirmations() {
    let mut world = World::new([THE_LAST; 3]).await;
    let first = made(&mut world, Makes::Raw, THE_LAST, None, false).await;
    let confirmed = made(&mut world, Makes::Raw, THE_LAST, None, true).await;
    assert_eq!(world.runs[&confirmed].confirms.as_ref(), Some(&first));
    world.pass(0).await;
    for run in [&first, &confirmed] {
        assert_eq!(world.ledger_says(run).await.expiry, None);
    }
    let second = made(&mut world, Makes::Raw, THE_LAST, None, false).await;
    world.pass(0).await;
    world.wait(HOUR).await;
    assert_eq!(world.pass(0).await.pruned, 2);
    world.is_whole(&second, "as the newest");
}

/// A run that gave up when the object was there already.
async fn gave_up(world: &mut World, keeps: Keeps) -> (RunId, Distribution) {
    world.submit(0, Makes::Raw, keeps, None, false).await;
    let id = world.runs.keys().next_back().unwrap().clone();
    world.admit(0, false).await;
    world.plan(&id, false).await;
    world.end(&id, false).await;
    let shown = world.runs[&id].shown.clone().unwrap();
    assert!(world.bucket.holds(&shown.location));
    (id, shown)
}

#[tokio::test]
async fn what_a_failed_run_showed_is_taken_back_at_its_end_and_the_rest_is_kept_for_replays() {
    let mut world = World::new([FOR_EVER; 3]).await;
    let (run, shown) = gave_up(&mut world, FOR_EVER).await;
    let dry = told(&world, true).await;
    assert!(dry.iter().any(|(id, deed, _)| *id == run && *deed == Deed::Withdrawn), "{dry:?}");
    assert!(world.bucket.holds(&shown.location) && types(&world, &run).await.is_empty(), "by a dry run");
    let pass = world.pass(0).await;
    assert_eq!((pass.withdrawn, pass.kept), (1, 1));
    assert!(!world.bucket.holds(&shown.location));
    let says = world.ledger_says(&run).await;
    assert_eq!((says.expiry, says.distributions.len()), (None, 1));
    let row = &says.distributions[0];
    assert_eq!((&row.location, row.expires_at, row.pruned_at), (&shown.location, says.completed_at, Some(world.now())));
    world.is_whole(&run, "for a replay");
    // Its worker was held up, and shows it once more when the ledger calls it gone.
    world.bucket.hand_over(&shown.location, None);
    assert_eq!(world.pass(0).await.withdrawn, 0);
    world.wait(HOUR).await;
    world.pass(0).await;
    assert!(!world.bucket.holds(&shown.location), "it stays where a worker put it that was held up");
    world.pass(1).await;
    assert_eq!(types(&world, &run).await, ["distribution.found", "distribution.pruned"]);
}

#[tokio::test]
async fn what_a_failed_run_showed_and_a_target_keeps_locked_has_a_row_until_the_lock_ends() {
    let mut world = World::new([FOR_A_DAY; 3]).await;
    let (run, shown) = gave_up(&mut world, FOR_A_DAY).await;
    assert_eq!(world.pass(0).await.locked, 1);
    let row = world.ledger_says(&run).await.distributions[0].clone();
    assert_eq!((row.locked_until, row.pruned_at), (Some(world.now().plus_seconds(11 * DAY)), None));
    // The rest of the run goes when its own time is over; the row stays.
    world.wait(8 * DAY).await;
    world.pass(0).await;
    world.wait(HOUR).await;
    assert_eq!(deed(&told(&world, false).await, &run), Deed::Locked);
    let corner = export_blobs::Workspace::corner(&world.runs[&run].run.tenant, &run);
    assert_eq!(world.staging.list(&corner).await.unwrap(), []);
    assert!(world.bucket.holds(&shown.location));
    world.wait(3 * DAY).await;
    assert_eq!(deed(&told(&world, false).await, &run), Deed::Pruned);
    assert!(!world.bucket.holds(&shown.location));
}

#[tokio::test]
async fn a_target_that_is_away_when_a_run_fails_is_asked_again() {
    let mut world = World::new([FOR_EVER; 3]).await;
    let (run, shown) = gave_up(&mut world, FOR_EVER).await;
    world.bucket.away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let pass = world.pass(0).await;
        assert_eq!((pass.withdrawn, pass.failures.get("object")), (0, Some(&1)));
        world.wait(HOUR).await;
    }
    let row = world.ledger_says(&run).await.distributions[0].clone();
    assert_eq!((row.location.as_str(), row.pruned_at), (shown.location.as_str(), None), "it is on record meanwhile");
    world.bucket.away.store(false, Ordering::SeqCst);
    assert_eq!(world.pass(0).await.withdrawn, 1);
    assert!(!world.bucket.holds(&shown.location));
}

#[tokio::test]
async fn what_a_killed_distribute_of_a_cancelled_run_had_shown_is_taken_back() {
    let mut world = World::new([FOR_EVER; 3]).await;
    world.submit(0, Makes::Raw, FOR_EVER, None, false).await;
    let run = world.runs.keys().next_back().unwrap().clone();
    world.admit(0, false).await;
    world.plan(&run, false).await;
    let shown = world.shows(&run).await;
    // It is at work: whoever shows it may go on with it.
    assert_eq!(world.pass(0).await.withdrawn, 0);
    assert!(world.bucket.holds(&shown.location));
    world.cancel(&run).await;
    assert_eq!(world.pass(0).await.withdrawn, 1);
    assert!(!world.bucket.holds(&shown.location));
}
