//! What must hold whatever went wrong. Each check names what breaks it.

use std::collections::{BTreeMap, BTreeSet};

use export_contract::event::RunEvent;
use export_contract::run::{Phase, RunStatus};

use crate::history::{History, Survivor};

/// A check: what breaks it, one line each.
pub(crate) type Check = fn(&History) -> Vec<String>;

/// All of them, by name.
pub(crate) const CHECKS: [(&str, Check); 7] = [
    ("every_accepted_run_ends_once_and_well", every_accepted_run_ends_once_and_well),
    ("no_effect_happens_twice", no_effect_happens_twice),
    ("bundles_are_those_of_an_undisturbed_run", bundles_are_those_of_an_undisturbed_run),
    ("events_have_no_gap_and_come_in_order", events_have_no_gap_and_come_in_order),
    ("no_tenant_exceeds_its_cap", no_tenant_exceeds_its_cap),
    ("nothing_is_left_in_staging", nothing_is_left_in_staging),
    ("memory_and_files_come_back", memory_and_files_come_back),
];

/// Memory that a process may have kept beyond its beginning, for pools and what its allocator holds.
const KEPT_KIB: u64 = 96 << 10;
/// Open files that it may have kept, for pools.
const KEPT_FILES: usize = 40;

/// Every order has a run, and the run succeeded: whatever went wrong was not of its making.
pub(crate) fn every_accepted_run_ends_once_and_well(history: &History) -> Vec<String> {
    let runs: BTreeMap<&str, _> = history.runs.iter().map(|run| (run.id.as_str(), run)).collect();
    let mut broken = Vec::new();
    for order in &history.orders {
        for id in &order.runs {
            match runs.get(id.as_str()) {
                None => broken.push(format!("run {id} was accepted and is not in the ledger")),
                Some(run) if run.status == RunStatus::Succeeded => {}
                Some(run) => broken.push(format!(
                    "run {id} ({}) is {}: {:?} {}",
                    order.profile,
                    run.status,
                    run.error_code,
                    run.error_message.as_deref().unwrap_or_default()
                )),
            }
            let ends = history.timelines.get(id).into_iter().flatten().filter(|event| event.event_type.is_terminal());
            let ends = ends.count();
            if ends != 1 {
                broken.push(format!("run {id} has {ends} ends in its timeline"));
            }
        }
        if order.runs.is_empty() {
            broken.push(format!("order {} was never accepted", order.key));
        }
    }
    broken
}

/// One run for each key, no run that nobody ordered, and no fact twice in a timeline.
pub(crate) fn no_effect_happens_twice(history: &History) -> Vec<String> {
    let mut broken = Vec::new();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for order in &history.orders {
        if order.runs.len() > 1 {
            broken.push(format!("key {} made {} runs", order.key, order.runs.len()));
        }
        for run in &order.runs {
            if let Some(other) = owners.insert(run, &order.key) {
                broken.push(format!("keys {other} and {} made one run, {run}", order.key));
            }
        }
    }
    let known: BTreeSet<&str> = history.runs.iter().map(|run| run.id.as_str()).collect();
    if known.len() != history.runs.len() {
        broken.push("a run stands twice in the ledger".to_owned());
    }
    broken.extend(known.iter().filter(|id| !owners.contains_key(*id)).map(|id| format!("nobody ordered run {id}")));
    for (run, events) in &history.timelines {
        let mut facts = BTreeSet::new();
        broken.extend(
            events
                .iter()
                .map(fact)
                .filter(|fact| !facts.insert(fact.clone()))
                .map(|fact| format!("run {run}: {fact} twice")),
        );
    }
    for run in &history.runs {
        let mut places = BTreeSet::new();
        if !run.distributions.iter().all(|place| places.insert((place.kind, &place.location))) {
            broken.push(format!("run {} was handed over twice to one place", run.id));
        }
    }
    broken
}

/// What an entry is of: nothing else may say the same.
fn fact(event: &RunEvent) -> String {
    let part = event.metrics.get("part").map(|part| format!(" part {part}")).unwrap_or_default();
    format!("{} {}{part}", event.event_type.as_str(), event.phase.map_or("", Phase::as_str))
}

/// The ledger's digest and that of the downloaded bytes are those of the reference.
pub(crate) fn bundles_are_those_of_an_undisturbed_run(history: &History) -> Vec<String> {
    let mut broken = Vec::new();
    for run in history.runs.iter().filter(|run| run.status == RunStatus::Succeeded) {
        let wanted = (run.tenant.to_string(), run.profile_id.to_string());
        let Some(reference) = history.references.get(&wanted) else {
            broken.push(format!("run {} of {wanted:?} has no reference", run.id));
            continue;
        };
        let told = run.bundle.as_ref().map(|bundle| bundle.digest.to_string()).unwrap_or_default();
        if told != *reference {
            broken.push(format!("run {} ({}) made {told} and not {reference}", run.id, wanted.1));
        }
        match history.downloads.get(run.id.as_str()) {
            Some(bytes) if bytes == reference => {}
            Some(bytes) => {
                broken.push(format!("the bytes of run {} ({}) are {bytes}, not {reference}", run.id, wanted.1));
            }
            None => broken.push(format!("the bundle of run {} was not downloaded", run.id)),
        }
    }
    broken
}

/// Whoever followed a run was told every entry once, in order, over all connections, and the timeline says the same now.
pub(crate) fn events_have_no_gap_and_come_in_order(history: &History) -> Vec<String> {
    let mut broken = Vec::new();
    for (run, events) in &history.timelines {
        if !events.iter().map(|event| event.ordinal).eq(1..=events.len() as u64) {
            broken.push(format!("the timeline of run {run} has gaps or is out of order"));
        }
    }
    for followed in &history.followed {
        let run = &followed.run;
        let expected: Vec<(u64, String)> = history
            .timelines
            .get(run)
            .into_iter()
            .flatten()
            .map(|event| (event.ordinal, event.event_type.as_str().to_owned()))
            .collect();
        if followed.seen != expected {
            broken.push(format!("a follower of run {run} was told {:?}, the timeline is {expected:?}", followed.seen));
        }
        if !followed.ended {
            broken.push(format!("a follower of run {run} never saw its end"));
        }
    }
    broken
}

/// No look at the ledger found more running runs than there may be.
pub(crate) fn no_tenant_exceeds_its_cap(history: &History) -> Vec<String> {
    let mut broken: Vec<String> = history
        .most_active
        .iter()
        .filter(|(_, most)| **most > history.cap)
        .map(|(tenant, most)| format!("{tenant} had {most} runs at once and may have {}", history.cap))
        .collect();
    if history.looks == 0 {
        broken.push("nobody looked".to_owned());
    }
    broken
}

/// After the collector, staging has the corners of known runs, and nothing in them that was only needed on the way.
pub(crate) fn nothing_is_left_in_staging(history: &History) -> Vec<String> {
    let known: BTreeSet<String> = history.runs.iter().map(|run| format!("{}/{}", run.tenant, run.id)).collect();
    let mut broken = Vec::new();
    for key in &history.staged {
        let names: Vec<&str> = key.splitn(3, '/').collect();
        let corner = names.iter().take(2).copied().collect::<Vec<_>>().join("/");
        if !known.contains(&corner) {
            broken.push(format!("`{key}` is of no run"));
        } else if key.contains("/scratch/") {
            broken.push(format!("`{key}` was needed on the way only"));
        }
    }
    broken
}

/// Processes that lived through it take no more than they did, pools and the allocator's keep aside.
pub(crate) fn memory_and_files_come_back(history: &History) -> Vec<String> {
    let mut broken = Vec::new();
    for Survivor { name, before, after } in &history.survivors {
        if after.resident_kib > before.resident_kib + KEPT_KIB {
            broken.push(format!("{name} grew from {} to {} KiB", before.resident_kib, after.resident_kib));
        }
        if after.open_files > before.open_files + KEPT_FILES {
            broken.push(format!("{name} had {} open files and has {}", before.open_files, after.open_files));
        }
    }
    if history.survivors.is_empty() {
        broken.push("no process lived to the end".to_owned());
    }
    broken
}
