use std::time::Duration;

use export_contract::retention::Expiry;
use export_contract::run::{RunRef, RunStatus};
use export_contract::{Digest, Generation, RunId, Timestamp};

use super::super::facts::{Facts, Keep, Needs};
use super::{Decision, Need, Verdict, Why, decide};

fn at(days: i64) -> Timestamp {
    "2026-05-01T00:00:00Z".parse::<Timestamp>().unwrap().plus_seconds(days * 86_400)
}

fn id(number: u64) -> RunId {
    RunId::from_parts(1_000 + number, 0)
}

/// A run that succeeded on its day, and is kept for ever.
fn run(number: u64) -> Facts {
    Facts {
        run: RunRef { tenant: "acme".parse().unwrap(), run: id(number), generation: Generation::FIRST },
        profile: "nightly".parse().unwrap(),
        status: RunStatus::Succeeded,
        ended_at: Some(at(i64::try_from(number).unwrap())),
        keep: Keep::default(),
        needs: Needs::default(),
        expiry: None,
        known_as: vec![Digest::from_bytes([u8::try_from(number).unwrap(); 32])],
    }
}

fn days(number: u64, days: i64) -> Facts {
    let mut run = run(number);
    run.keep.until = run.ended_at.map(|at| at.plus_seconds(days * 86_400));
    run
}

fn last(number: u64, last: u32) -> Facts {
    Facts { keep: Keep { until: None, last: Some(last) }, ..run(number) }
}

fn of(status: RunStatus, facts: Facts) -> Facts {
    Facts { status, ended_at: facts.ended_at.filter(|_| status.is_terminal()), ..facts }
}

fn on(base: u64, facts: Facts) -> Facts {
    Facts { needs: Needs { base: Some(id(base)), ..Needs::default() }, ..facts }
}

fn confirms(bundle: u64, facts: Facts) -> Facts {
    Facts { needs: Needs { bundle: Some(id(bundle)), ..Needs::default() }, ..facts }
}

fn on_day(day: i64, runs: &[Facts]) -> Decision {
    decide(runs, at(day), Duration::from_hours(7 * 24))
}

/// The runs that are over.
fn over(decision: &Decision) -> Vec<u64> {
    let is_over = |number: &u64| matches!(decision.verdicts.get(&id(*number)), Some(Verdict::Over(_)));
    (0..20).filter(is_over).collect()
}

fn why(decision: &Decision, number: u64) -> Why {
    match decision.verdicts.get(&id(number)) {
        Some(Verdict::Live(why)) => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn days_and_counts_keep_a_run_alone_and_together() {
    let runs = [days(1, 2), days(2, 2), run(3), last(4, 2), last(5, 2), last(6, 2)];
    assert_eq!(over(&on_day(0, &runs)), [4], "places are counted over all revisions of the profile");
    // To the second.
    assert_eq!(over(&on_day(3, &runs)), [1, 4]);
    assert_eq!(over(&on_day(4, &runs)), [1, 2, 4]);
    assert_eq!(why(&on_day(400, &runs), 3), Why::ForEver);
    assert_eq!(why(&on_day(400, &runs), 5), Why::Newest(2, 2));
    let both = |number| Facts { keep: Keep { last: Some(1), ..days(number, 3).keep }, ..run(number) };
    let runs = [both(1), both(2), both(3)];
    assert_eq!(over(&on_day(3, &runs)), [] as [u64; 0]);
    assert_eq!(over(&on_day(4, &runs)), [1]);
    assert_eq!(over(&on_day(400, &runs)), [1, 2]);
}

#[test]
fn profiles_do_not_count_for_each_other_and_only_bundles_count() {
    let other = Facts { profile: "weekly".parse().unwrap(), ..last(1, 1) };
    let runs = [other, last(2, 1), of(RunStatus::Failed, last(3, 1)), of(RunStatus::Running, last(4, 1))];
    assert_eq!(over(&on_day(5, &runs)), [] as [u64; 0]);
}

#[test]
fn a_run_that_did_not_succeed_is_kept_for_replays() {
    let runs = [of(RunStatus::Failed, run(1)), of(RunStatus::Aborted, days(2, 300)), of(RunStatus::Pending, run(3))];
    assert_eq!(over(&on_day(7, &runs)), [] as [u64; 0]);
    assert_eq!(over(&on_day(8, &runs)), [1]);
    assert_eq!(over(&on_day(400, &runs)), [1, 2]);
    assert_eq!(why(&on_day(400, &runs), 3), Why::AtWork);
}

#[test]
fn a_delta_keeps_its_base_and_that_its_own() {
    let runs = [days(1, 1), on(1, days(2, 1)), on(2, run(3)), on(1, days(4, 1))];
    let decision = on_day(100, &runs);
    assert_eq!(over(&decision), [4]);
    assert_eq!(why(&decision, 1), Why::NeededBy(id(2), Need::Base));
    // A base that a request named and plan has not looked at yet, in any of its names.
    for name in [id(1).to_string(), format!("sha256:{}", "01".repeat(32)), "01".repeat(32)] {
        let needs = Needs { base_name: Some(name), ..Needs::default() };
        let runs = [days(1, 1), days(2, 1), Facts { needs, ..of(RunStatus::Pending, run(3)) }];
        assert_eq!(over(&on_day(100, &runs)), [2]);
    }
}

#[test]
fn a_run_and_those_that_confirmed_it_are_one_bundle_as_new_as_the_newest() {
    let runs = [last(1, 1), last(2, 1), confirms(1, last(3, 1))];
    let decision = on_day(5, &runs);
    assert_eq!(over(&decision), [2]);
    assert_eq!((why(&decision, 1), why(&decision, 3)), (Why::Newest(1, 1), Why::Newest(1, 1)));
    let runs = [last(1, 1), confirms(1, last(2, 1)), last(3, 1)];
    assert_eq!(over(&on_day(5, &runs)), [1, 2]);
    // Each with a profile of its own: the tar is needed for as long as somebody points at it.
    let runs = [days(1, 1), confirms(1, run(2))];
    assert_eq!(why(&on_day(5, &runs), 1), Why::NeededBy(id(2), Need::Bundle));
}

#[test]
fn what_a_run_at_work_was_admitted_with_is_kept_and_what_it_would_be_if_it_waits() {
    let admitted = Needs { admitted: Some(vec![id(1)]), asks: Some(7), ..Needs::default() };
    let asks = |number, facts: Facts| Facts { needs: Needs { asks: Some(number), ..Needs::default() }, ..facts };
    let runs = [
        asks(7, days(1, 1)),
        asks(7, days(2, 1)),
        asks(8, days(3, 1)),
        Facts { needs: admitted, ..of(RunStatus::Running, run(4)) },
        asks(7, days(5, 1)),
    ];
    assert_eq!(over(&on_day(100, &runs)), [2, 3, 5]);
    let waits = asks(7, of(RunStatus::Pending, run(4)));
    let runs = [asks(7, days(1, 1)), asks(7, days(2, 1)), asks(8, days(3, 1)), waits, asks(7, days(5, 1))];
    let decision = on_day(100, &runs);
    assert_eq!(over(&decision), [1, 3, 5]);
    assert_eq!(why(&decision, 2), Why::NeededBy(id(4), Need::MayConfirm));
}

#[test]
fn what_is_going_needs_nothing_and_counts_for_nothing() {
    let expiry = Some(Expiry { removing_at: Some(at(3)), ..Expiry::began(at(2)) });
    let going = Facts { expiry, ..on(1, last(2, 1)) };
    let runs = [last(1, 1), going.clone()];
    let decision = on_day(5, &runs);
    assert_eq!(why(&decision, 1), Why::Newest(1, 1));
    assert_eq!(decision.verdicts.get(&id(2)), Some(&Verdict::Going));
    assert!(decision.needed_by.is_empty());
    // One that is only expiring may come back: its base must not go before it.
    let runs = [days(1, 1), Facts { expiry: Some(Expiry::began(at(2))), ..on(1, days(2, 1)) }];
    let decision = on_day(5, &runs);
    assert_eq!(over(&decision), [1, 2]);
    assert_eq!(decision.needed_by.get(&id(1)).unwrap().first(), Some(&id(2)));
}
