//! What every driver must do. Each driver calls [`conformance`] from its own tests.

#![expect(clippy::expect_used, reason = "a test suite that is called from tests")]

mod staging;

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::event::WaitReason;
use export_contract::message::Distribution;
use export_contract::run::RunRef;
use export_pipeline::{Judged as _, Verdict};

pub use self::staging::{Bench, Handed, Trouble};
use crate::error::TargetError;
use crate::port::{Removal, Target};

/// The other side, as somebody sees it who is not the driver.
#[async_trait]
pub trait Peer: Send + Sync {
    /// The files that can be had of what `run` handed over: names and bytes, `bundle.tar` among them. Files of other runs with the
    /// same bundle may be among them where the peer keeps them together; nothing, if nothing is there.
    async fn files(&self, run: &RunRef, distribution: &Distribution) -> Vec<(String, Bytes)>;

    /// The names by which somebody who knows nothing of a run finds bundles there: tags, folders, the object that says that the others
    /// are whole. What only the driver finds is not shown, such as half an upload.
    async fn shown(&self) -> BTreeSet<String>;

    /// How many bytes of bodies it was sent so far; `None` where it cannot tell.
    fn taken(&self) -> Option<u64> {
        None
    }

    /// Whether bytes are copied there; the download endpoint only says where they are.
    fn copies(&self) -> bool {
        true
    }
}

/// Runs every promise of [`Target`]. What is there already, and other tenants', stays.
///
/// # Panics
/// When a promise is broken; that is its purpose.
pub async fn conformance(target: &dyn Target, peer: &dyn Peer) {
    let bench = Bench::new(target.kind()).await;
    a_bundle_and_the_files_beside_it_are_handed_over(&bench, target, peer).await;
    a_repeated_call_gives_the_same_answer_and_sends_nothing(&bench, target, peer).await;
    where_a_bundle_will_be_is_known_before_and_taking_back_what_never_came_is_no_error(&bench, target, peer).await;
    two_workers_at_once_give_the_same_answer(&bench, target, peer).await;
    what_is_taken_back_is_gone_and_taking_it_back_again_is_no_error(&bench, target, peer).await;
    if !peer.copies() {
        return;
    }
    damaged_or_lost_files_are_refused_and_nothing_is_shown(&bench, target, peer).await;
    staging_that_is_away_for_a_while_is_worth_another_try(&bench, target, peer).await;
    a_worker_that_is_killed_half_way_shows_nothing_and_the_next_one_ends_it(&bench, target, peer).await;
    a_cancelled_run_shows_nothing(&bench, target, peer).await;
    two_runs_with_the_same_bundle_are_taken_back_one_by_one(&bench, target, peer).await;
    what_was_killed_half_way_is_taken_back_by_what_was_known_before(&bench, target, peer).await;
    a_generation_that_is_taken_back_leaves_the_next_one(&bench, target, peer).await;
    a_run_that_confirms_a_bundle_hands_over_that_bundle_and_its_statement(&bench, target, peer).await;
    of_two_runs_of_which_one_confirms_the_other_each_can_go_first(&bench, target, peer).await;
}

/// Hands over, and looks whether the answer and what arrived are right.
async fn whole(handed: &Handed, target: &dyn Target, peer: &dyn Peer) -> Distribution {
    let distribution = handed.over(target).await.expect("handed over");
    assert_eq!(distribution.kind, target.kind());
    assert!(!distribution.location.is_empty());
    let bundle = &handed.signed().manifest.bundle;
    assert_eq!((&distribution.sha256, distribution.size_bytes), (&bundle.digest, bundle.bytes));
    assert_eq!((distribution.expires_at, distribution.pruned_at), (handed.expires_at(), None));
    arrived(handed, &distribution, peer).await;
    distribution
}

/// Every file of the run is there, byte for byte.
async fn arrived(handed: &Handed, distribution: &Distribution, peer: &dyn Peer) {
    if !peer.copies() {
        return;
    }
    let there = peer.files(handed.run(), distribution).await;
    for (name, bytes) in handed.files() {
        assert!(
            there.iter().any(|(found, held)| found == name && held == bytes),
            "`{name}` did not arrive; there is {:?}",
            there.iter().map(|(name, bytes)| (name, bytes.len())).collect::<Vec<_>>()
        );
    }
    for (name, _) in there {
        assert!(handed.files().contains_key(&name), "`{name}` is no file of the run");
    }
}

async fn a_bundle_and_the_files_beside_it_are_handed_over(bench: &Bench, target: &dyn Target, peer: &dyn Peer) {
    let before = peer.shown().await;
    let handed = bench.run().await;
    whole(&handed, target, peer).await;
    if peer.copies() {
        assert!(peer.shown().await.len() > before.len(), "what was handed over is not shown");
    }
}

async fn a_repeated_call_gives_the_same_answer_and_sends_nothing(bench: &Bench, target: &dyn Target, peer: &dyn Peer) {
    let handed = bench.run().await;
    let first = whole(&handed, target, peer).await;
    let (taken, shown) = (peer.taken(), peer.shown().await);
    assert_eq!(handed.over(target).await.expect("a second call"), first);
    assert_eq!(peer.taken(), taken, "what is there was sent again");
    assert_eq!(peer.shown().await, shown);
    arrived(&handed, &first, peer).await;
}

async fn where_a_bundle_will_be_is_known_before_and_taking_back_what_never_came_is_no_error(
    bench: &Bench,
    target: &dyn Target,
    peer: &dyn Peer,
) {
    let handed = bench.run().await;
    let (before, taken) = (peer.shown().await, peer.taken());
    let place = handed.place(target).await.expect("a place");
    assert_eq!(place.is_some(), peer.copies(), "what is seen elsewhere has a place");
    assert_eq!((peer.shown().await, peer.taken()), (before, taken), "nothing is sent for it");
    let Some(place) = place else { return };
    assert_eq!(target.remove(handed.run(), &place).await.expect("nothing to take back"), Removal::Removed);
    assert_eq!(whole(&handed, target, peer).await, place);
    assert_eq!(handed.place(target).await.expect("a place"), Some(place));
}

async fn what_was_killed_half_way_is_taken_back_by_what_was_known_before(
    bench: &Bench,
    target: &dyn Target,
    peer: &dyn Peer,
) {
    for name in ["provenance.json", "bundle.tar"] {
        let before = peer.shown().await;
        let handed = bench.run().await;
        let place = handed.place(target).await.expect("a place").expect("it is seen elsewhere");
        bench.trouble(&handed, name, Trouble::Hangs);
        tokio::select! {
            outcome = handed.over(target) => panic!("it ended without `{name}`: {outcome:?}"),
            () = bench.hangs() => {}
        }
        bench.no_trouble();
        assert_eq!(target.remove(handed.run(), &place).await.expect("taken back"), Removal::Removed);
        assert!(peer.files(handed.run(), &place).await.is_empty(), "{name}");
        assert_eq!(peer.shown().await, before, "{name}");
    }
}

async fn a_generation_that_is_taken_back_leaves_the_next_one(bench: &Bench, target: &dyn Target, peer: &dyn Peer) {
    let before = peer.shown().await;
    let first = bench.run().await;
    let of_first = whole(&first, target, peer).await;
    let with_first = peer.shown().await;
    let again = bench.replayed(&first);
    let of_again = again.over(target).await.expect("handed over");
    let both = peer.shown().await;
    for _ in 0..2 {
        assert_eq!(target.remove(first.run(), &of_first).await.expect("taken back"), Removal::Removed);
        let own: BTreeSet<String> = both.difference(&with_first).cloned().collect();
        let left = peer.shown().await;
        assert!(!own.is_empty() && own.is_subset(&left), "{own:?} went with the generation before: {left:?}");
        assert_eq!(again.over(target).await.expect("it is there"), of_again);
    }
    // Whoever takes back a generation takes those before it, too.
    first.over(target).await.expect("handed over");
    assert_eq!(target.remove(again.run(), &of_again).await.expect("taken back"), Removal::Removed);
    let shown = peer.shown().await;
    assert!(shown.is_subset(&before), "left: {:?}", shown.difference(&before));
}

async fn two_workers_at_once_give_the_same_answer(bench: &Bench, target: &dyn Target, peer: &dyn Peer) {
    let handed = bench.run().await;
    let (one, other) = futures::join!(handed.over(target), handed.over(target));
    let one = one.expect("one worker");
    assert_eq!(one, other.expect("the other worker"));
    arrived(&handed, &one, peer).await;
}

async fn what_is_taken_back_is_gone_and_taking_it_back_again_is_no_error(
    bench: &Bench,
    target: &dyn Target,
    peer: &dyn Peer,
) {
    let before = peer.shown().await;
    let handed = bench.run().await;
    let distribution = whole(&handed, target, peer).await;
    for _ in 0..2 {
        assert_eq!(target.remove(handed.run(), &distribution).await.expect("taken back"), Removal::Removed);
        let left = peer.files(handed.run(), &distribution).await;
        assert!(left.is_empty(), "{} files are left", left.len());
        let shown = peer.shown().await;
        assert!(shown.is_subset(&before), "left: {:?}", shown.difference(&before));
    }
    if peer.copies() {
        // The same run may be handed over again, as after a redelivery that came too late.
        whole(&handed, target, peer).await;
    }
}

async fn damaged_or_lost_files_are_refused_and_nothing_is_shown(bench: &Bench, target: &dyn Target, peer: &dyn Peer) {
    let before = peer.shown().await;
    for name in ["bundle.tar", "provenance.json"] {
        for trouble in [Trouble::Changed, Trouble::Short, Trouble::Lost] {
            let handed = bench.run().await;
            bench.trouble(&handed, name, trouble);
            let error = handed.over(target).await.expect_err("handed over though staging is damaged");
            let code = export_contract::ErrorCode::ArtefactCorrupt;
            assert_eq!(error.verdict(), Verdict::FailRun(code), "{name} {trouble:?}: {error:?}");
            assert_eq!(peer.shown().await, before, "{name} {trouble:?}");
            bench.no_trouble();
        }
    }
}

async fn staging_that_is_away_for_a_while_is_worth_another_try(bench: &Bench, target: &dyn Target, peer: &dyn Peer) {
    for name in ["bundle.tar", "export.json"] {
        let before = peer.shown().await;
        let handed = bench.run().await;
        bench.trouble(&handed, name, Trouble::Away);
        let error = handed.over(target).await.expect_err("handed over without staging");
        assert_eq!(error.verdict(), Verdict::Wait { on: WaitReason::Staging }, "{name}: {error:?}");
        assert_eq!(peer.shown().await, before, "{name}");
        bench.no_trouble();
        let distribution = whole(&handed, target, peer).await;
        target.remove(handed.run(), &distribution).await.expect("taken back");
    }
}

async fn a_worker_that_is_killed_half_way_shows_nothing_and_the_next_one_ends_it(
    bench: &Bench,
    target: &dyn Target,
    peer: &dyn Peer,
) {
    for name in ["bundle.tar", "provenance.json"] {
        let before = peer.shown().await;
        let handed = bench.run().await;
        bench.trouble(&handed, name, Trouble::Hangs);
        tokio::select! {
            outcome = handed.over(target) => panic!("it ended without `{name}`: {outcome:?}"),
            () = bench.hangs() => {}
        }
        assert_eq!(peer.shown().await, before, "{name}");
        bench.no_trouble();
        let distribution = whole(&handed, target, peer).await;
        target.remove(handed.run(), &distribution).await.expect("taken back");
    }
}

async fn a_cancelled_run_shows_nothing(bench: &Bench, target: &dyn Target, peer: &dyn Peer) {
    let before = peer.shown().await;
    let handed = bench.run().await;
    bench.trouble(&handed, "bundle.tar", Trouble::Cancels);
    let error = handed.over(target).await.expect_err("handed over though cancelled");
    assert!(matches!(error, TargetError::Cancelled(_)), "{error:?}");
    assert_eq!(peer.shown().await, before);
    bench.no_trouble();
}

async fn two_runs_with_the_same_bundle_are_taken_back_one_by_one(bench: &Bench, target: &dyn Target, peer: &dyn Peer) {
    for first_goes in [true, false] {
        let before = peer.shown().await;
        let one = bench.run().await;
        let other = bench.with_bundle_of(&one).await;
        let of_one = whole(&one, target, peer).await;
        let of_other = whole(&other, target, peer).await;
        let [(goes, gone), (stays, left)] =
            if first_goes { [(&one, of_one), (&other, of_other)] } else { [(&other, of_other), (&one, of_one)] };
        for _ in 0..2 {
            assert_eq!(target.remove(goes.run(), &gone).await.expect("taken back"), Removal::Removed);
            still_there(stays, &left, peer).await;
        }
        assert_eq!(target.remove(stays.run(), &left).await.expect("taken back"), Removal::Removed);
        assert!(peer.files(stays.run(), &left).await.is_empty());
        let shown = peer.shown().await;
        assert!(shown.is_subset(&before), "left: {:?}", shown.difference(&before));
    }
}

/// As [`arrived`], but files of the run that went may be left, where they are kept together.
async fn still_there(handed: &Handed, distribution: &Distribution, peer: &dyn Peer) {
    let there = peer.files(handed.run(), distribution).await;
    for (name, bytes) in handed.files() {
        assert!(there.iter().any(|(found, held)| found == name && held == bytes), "`{name}` went with another run's");
    }
}

async fn a_run_that_confirms_a_bundle_hands_over_that_bundle_and_its_statement(
    bench: &Bench,
    target: &dyn Target,
    peer: &dyn Peer,
) {
    // The earlier run may have handed over elsewhere, or its distribution may be gone.
    let earlier = bench.run().await;
    let confirming = bench.confirming(&earlier).await;
    let distribution = whole(&confirming, target, peer).await;
    let taken = peer.taken();
    assert_eq!(confirming.over(target).await.expect("a second call"), distribution);
    assert_eq!(peer.taken(), taken, "what is there was sent again");
    assert_eq!(target.remove(confirming.run(), &distribution).await.expect("taken back"), Removal::Removed);
    assert!(peer.files(confirming.run(), &distribution).await.is_empty());
}

async fn of_two_runs_of_which_one_confirms_the_other_each_can_go_first(
    bench: &Bench,
    target: &dyn Target,
    peer: &dyn Peer,
) {
    for earlier_goes in [true, false] {
        let before = peer.shown().await;
        let earlier = bench.run().await;
        let confirming = bench.confirming(&earlier).await;
        let of_earlier = whole(&earlier, target, peer).await;
        let of_confirming = whole(&confirming, target, peer).await;
        let [(goes, gone), (stays, left)] = if earlier_goes {
            [(&earlier, of_earlier), (&confirming, of_confirming)]
        } else {
            [(&confirming, of_confirming), (&earlier, of_earlier)]
        };
        assert_eq!(target.remove(goes.run(), &gone).await.expect("taken back"), Removal::Removed);
        still_there(stays, &left, peer).await;
        assert_eq!(target.remove(stays.run(), &left).await.expect("taken back"), Removal::Removed);
        assert!(peer.files(stays.run(), &left).await.is_empty());
        let shown = peer.shown().await;
        assert!(shown.is_subset(&before), "left: {:?}", shown.difference(&before));
    }
}
