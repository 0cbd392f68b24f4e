//! Which runs are kept, and why: a pure decision over all runs of a tenant.
//!
//! A run is live by itself, or because a live run needs it: a delta its base, a confirmation the bundle that it confirms, a run at work
//! whatever it was admitted with. So a chain of deltas is as long as its newest delta is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use export_contract::run::RunStatus;
use export_contract::{Digest, ProfileId, RunId, Timestamp};

use super::facts::Facts;

/// What is to become of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is kept.
    Live(Why),
    /// Its time is over, for this reason.
    Over(String),
    /// Its bytes are being removed: there is nothing to decide any more.
    Going,
}

/// Why a run is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It has not ended.
    AtWork,
    /// It did not succeed, and may be looked into or replayed until then.
    Failed(Timestamp),
    /// Its profile says nothing of an end.
    ForEver,
    /// Its distributions expire then.
    Until(Timestamp),
    /// It is among the newest of its profile: its place, from 1, and how many are kept.
    Newest(usize, u32),
    /// A run that is kept needs it.
    NeededBy(RunId, Need),
}

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// A delta builds upon it.
    Base,
    /// A run confirmed its bundle.
    Bundle,
    /// A run was admitted with it as what it may build upon or confirm.
    Admitted,
    /// A run that waits may confirm its bundle.
    MayConfirm,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtWork => f.write_str("it has not ended"),
            Self::Failed(until) => write!(f, "it did not succeed, and is kept for replays until {until}"),
            Self::ForEver => f.write_str("its profile keeps bundles for ever"),
            Self::Until(until) => write!(f, "it expires at {until}"),
            Self::Newest(place, last) => write!(f, "it is number {place} of the newest {last} that its profile keeps"),
            Self::NeededBy(run, Need::Base) => write!(f, "delta {run} builds upon it"),
            Self::NeededBy(run, Need::Bundle) => write!(f, "run {run} confirmed its bundle"),
            Self::NeededBy(run, Need::Admitted) => write!(f, "run {run} was admitted with it"),
            Self::NeededBy(run, Need::MayConfirm) => write!(f, "run {run} waits and may confirm its bundle"),
        }
    }
}

/// What was decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decision {
    pub(crate) verdicts: BTreeMap<RunId, Verdict>,
    /// By run: the runs that need it, whatever their own verdict. It must not go before them, since they may come back.
    pub(crate) needed_by: BTreeMap<RunId, BTreeSet<RunId>>,
}

/// Decides on every run of a tenant that is not pruned.
pub(crate) fn decide(runs: &[Facts], now: Timestamp, failed_for: Duration) -> Decision {
    let needs: BTreeMap<&RunId, Vec<(RunId, Need)>> = needs(runs);
    let places = places(runs);
    let mut decision = Decision::default();
    let mut live: Vec<RunId> = Vec::new();
    for run in runs {
        let place = places.get(run.id()).copied();
        let verdict = if run.is_going() { Verdict::Going } else { by_itself(run, place, now, failed_for) };
        if matches!(verdict, Verdict::Live(_)) {
            live.push(run.id().clone());
        }
        decision.verdicts.insert(run.id().clone(), verdict);
        for (needed, _) in needs.get(run.id()).into_iter().flatten() {
            decision.needed_by.entry(needed.clone()).or_default().insert(run.id().clone());
        }
    }
    while let Some(by) = live.pop() {
        for (needed, need) in needs.get(&by).into_iter().flatten() {
            if let Some(verdict @ Verdict::Over(_)) = decision.verdicts.get_mut(needed) {
                *verdict = Verdict::Live(Why::NeededBy(by.clone(), *need));
                live.push(needed.clone());
            }
        }
    }
    decision
}

/// What the run's own state and profile say.
fn by_itself(run: &Facts, place: Option<usize>, now: Timestamp, failed_for: Duration) -> Verdict {
    match run.status {
        RunStatus::Pending | RunStatus::Running => Verdict::Live(Why::AtWork),
        RunStatus::Failed | RunStatus::Aborted => {
            let ended_at = run.ended_at.unwrap_or_else(|| run.id().made_at());
            let until = ended_at.plus_seconds(i64::try_from(failed_for.as_secs()).unwrap_or(i64::MAX));
            if now < until {
                Verdict::Live(Why::Failed(until))
            } else {
                Verdict::Over(format!("it {} at {ended_at}, and was kept for replays until {until}", run.status))
            }
        }
        RunStatus::Succeeded => {
            if let Some(until) = run.keep.until.filter(|until| now < *until) {
                return Verdict::Live(Why::Until(until));
            }
            let place = place.unwrap_or(usize::MAX);
            match (run.keep.until, run.keep.last) {
                (None, None) => Verdict::Live(Why::ForEver),
                (_, Some(last)) if place <= last as usize => Verdict::Live(Why::Newest(place, last)),
                (None, Some(last)) => Verdict::Over(format!("it is not among the newest {last} of its profile")),
                (Some(until), None) => Verdict::Over(format!("it expired at {until}")),
                (Some(until), Some(last)) => {
                    Verdict::Over(format!("it expired at {until} and is not among the newest {last} of its profile"))
                }
            }
        }
    }
}

/// The place of each run that succeeded among the bundles of its profile, from 1 for the newest. A run and those that confirmed its
/// bundle are one bundle, which is as new as the newest of them.
fn places(runs: &[Facts]) -> BTreeMap<&RunId, usize> {
    let bundle = |run: &Facts| run.needs.bundle.clone().unwrap_or_else(|| run.id().clone());
    let kept = || runs.iter().filter(|run| run.status == RunStatus::Succeeded && !run.is_going());
    let mut newest: BTreeMap<(&ProfileId, RunId), &RunId> = BTreeMap::new();
    for run in kept() {
        let known = newest.entry((&run.profile, bundle(run))).or_insert(run.id());
        *known = (*known).max(run.id());
    }
    let mut by_profile: BTreeMap<&ProfileId, Vec<(&RunId, RunId)>> = BTreeMap::new();
    for ((profile, bundle), newest) in newest {
        by_profile.entry(profile).or_default().push((newest, bundle));
    }
    let mut place_of: BTreeMap<(&ProfileId, RunId), usize> = BTreeMap::new();
    for (profile, mut bundles) in by_profile {
        bundles.sort_by(|a, b| b.cmp(a));
        for (place, (_, bundle)) in (1..).zip(bundles) {
            place_of.insert((profile, bundle), place);
        }
    }
    let place = |run: &Facts| place_of.get(&(&run.profile, bundle(run))).copied();
    kept().filter_map(|run| Some((run.id(), place(run)?))).collect()
}

/// What each run that may still be kept needs of others.
fn needs(runs: &[Facts]) -> BTreeMap<&RunId, Vec<(RunId, Need)>> {
    let mut known_as: BTreeMap<&Digest, Vec<&RunId>> = BTreeMap::new();
    for run in runs {
        for digest in &run.known_as {
            known_as.entry(digest).or_default().push(run.id());
        }
    }
    let named = |name: &str| -> Vec<RunId> {
        if let Ok(id) = name.parse::<RunId>() {
            return vec![id];
        }
        let text = if name.starts_with("sha256:") { name.to_owned() } else { format!("sha256:{name}") };
        let Ok(digest) = text.parse::<Digest>() else { return Vec::new() };
        known_as.get(&digest).into_iter().flatten().map(|id| (*id).clone()).collect()
    };
    let mut needs = BTreeMap::new();
    for run in runs.iter().filter(|run| !run.is_going()) {
        let mut wanted: Vec<(RunId, Need)> = Vec::new();
        match (&run.needs.base, &run.needs.base_name) {
            (Some(base), _) => wanted.push((base.clone(), Need::Base)),
            (None, Some(name)) => wanted.extend(named(name).into_iter().map(|id| (id, Need::Base))),
            (None, None) => {}
        }
        wanted.extend(run.needs.bundle.clone().map(|id| (id, Need::Bundle)));
        match &run.needs.admitted {
            Some(admitted) => wanted.extend(admitted.iter().map(|id| (id.clone(), Need::Admitted))),
            None if !run.status.is_terminal() => {
                wanted.extend(may_confirm(run, runs).map(|id| (id.clone(), Need::MayConfirm)));
            }
            None => {}
        }
        needs.insert(run.id(), wanted);
    }
    needs
}

/// The run that admission would name now (see `previous.rs`).
fn may_confirm<'a>(run: &Facts, runs: &'a [Facts]) -> Option<&'a RunId> {
    let asks = run.needs.asks?;
    let asks_the_same = |earlier: &&Facts| {
        earlier.status == RunStatus::Succeeded
            && earlier.expiry.is_none()
            && earlier.profile == run.profile
            && earlier.needs.asks == Some(asks)
            && earlier.id() < run.id()
    };
    runs.iter().filter(asks_the_same).map(Facts::id).max()
}

#[cfg(test)]
mod tests;
