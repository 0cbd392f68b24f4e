//! What ought to be kept, by the words of docs/profiles.md, from what the test knows and not from what is pruned by.

use std::collections::{BTreeMap, BTreeSet};

use export_contract::RunId;
use export_contract::run::{Run, RunStatus};

use super::world::{DAY, Known, World};

/// What is known before a step.
pub(crate) struct Before {
    /// By run: what the ledger says of it.
    pub(crate) ledger: BTreeMap<RunId, Run>,
    /// The runs that ought to be kept.
    pub(crate) live: BTreeSet<RunId>,
}

fn is_going(run: &Run) -> bool {
    run.expiry.is_some_and(|expiry| expiry.removing_at.is_some())
}

impl World {
    pub(crate) async fn look(&self) -> Before {
        let mut ledger = BTreeMap::new();
        for id in self.runs.keys() {
            ledger.insert(id.clone(), self.ledger_says(id).await);
        }
        let mut live: BTreeSet<RunId> = self
            .runs
            .values()
            .filter(|known| self.lives_by_itself(known, &ledger))
            .map(|known| known.run.id.clone())
            .collect();
        // Whatever is asked for and not written yet keeps what it was promised.
        for draft in &self.drafts {
            live.extend(draft.run.options.base_export_id.iter().map(|base| base.parse::<RunId>().unwrap()));
        }
        loop {
            let mut more = BTreeSet::new();
            for id in &live {
                more.extend(self.needs(&self.runs[id], &ledger[id]).await);
            }
            let before = live.len();
            live.extend(more);
            if live.len() == before {
                return Before { ledger, live };
            }
        }
    }

    async fn needs(&self, known: &Known, ledger: &Run) -> BTreeSet<RunId> {
        let mut needs: BTreeSet<RunId> = known.base.iter().chain(&known.confirms).cloned().collect();
        if !ledger.status.is_terminal() {
            needs.extend(known.run.options.base_export_id.iter().map(|base| base.parse::<RunId>().unwrap()));
            if let Some(admitted) = self.admission(&known.run.reference()).await {
                needs.extend(admitted.base.map(|base| base.run.run));
                needs.extend(admitted.previous.map(|previous| previous.run));
            }
        }
        needs
    }

    fn lives_by_itself(&self, known: &Known, ledger: &BTreeMap<RunId, Run>) -> bool {
        let run = &ledger[&known.run.id];
        let ended = |days: i64| run.completed_at.unwrap().plus_seconds(days * DAY);
        match run.status {
            RunStatus::Pending | RunStatus::Running => true,
            RunStatus::Failed | RunStatus::Aborted => self.now() < ended(7),
            RunStatus::Succeeded if is_going(run) => false,
            RunStatus::Succeeded => {
                let expires_at = known.handed_over[0].expires_at;
                let in_time = expires_at.is_some_and(|until| self.now() < until);
                let newest = known.keeps.last.is_some_and(|last| self.newer_bundles(known, ledger) < last as usize);
                let for_ever = expires_at.is_none() && known.keeps.last.is_none();
                in_time || newest || for_ever
            }
        }
    }

    /// Bundles of the profile that are newer, and can still be had.
    fn newer_bundles(&self, known: &Known, ledger: &BTreeMap<RunId, Run>) -> usize {
        let bundle = |known: &Known| known.confirms.clone().unwrap_or(known.run.id.clone());
        let counts = |other: &&Known| {
            let run = &ledger[&other.run.id];
            run.status == RunStatus::Succeeded && !is_going(run)
        };
        let same_profile =
            |other: &&Known| (&other.run.tenant, &other.run.profile_id) == (&known.run.tenant, &known.run.profile_id);
        let mut newest: BTreeMap<RunId, RunId> = BTreeMap::new();
        for other in self.runs.values().filter(same_profile).filter(counts) {
            // By id, which rises.
            newest.insert(bundle(other), other.run.id.clone());
        }
        let mine = &newest[&bundle(known)];
        newest.values().filter(|other| *other > mine).count()
    }

    /// Asserts that nothing is gone that is needed: neither now, nor by what may come back.
    pub(crate) async fn assert_nothing_needed_is_gone(&self, before: &Before) {
        for (id, known) in &self.runs {
            let run = self.ledger_says(id).await;
            let went = is_going(&run) && !before.ledger.get(id).is_some_and(is_going);
            assert!(!(went && before.live.contains(id)), "{id} ({:?}) began to go, and was needed", known.makes);
            if is_going(&run) {
                continue;
            }
            self.is_whole(id, "by itself");
            for needed in known.base.iter().chain(&known.confirms) {
                let needed_run = self.ledger_says(needed).await;
                assert!(!is_going(&needed_run), "{needed} goes before {id}, which needs it");
                self.is_whole(needed, "by another");
            }
        }
    }

    /// Asserts that whatever is not needed is gone, once, and whatever is needed is offered.
    pub(crate) async fn assert_everything_else_is_gone_once(&self) {
        let live = self.look().await.live;
        for (id, known) in &self.runs {
            let run = self.ledger_says(id).await;
            let corner = export_blobs::Workspace::corner(&known.run.tenant, id);
            let left = self.staging.list(&corner).await.unwrap();
            let events = self.ledger.events(&known.run.tenant, id, 0, 1_000).await.unwrap();
            let count = |name: &str| events.iter().filter(|event| event.event_type.as_str() == name).count();
            if live.contains(id) {
                assert_eq!(run.expiry, None, "{id} is needed, and not offered");
                assert_eq!((count("run.removing"), count("run.pruned"), count("distribution.pruned")), (0, 0, 0));
                let scratch = left.iter().find(|key| key.as_str().contains("/scratch/"));
                assert_eq!(scratch, None, "what may be lost does not wait for the end of a run's time");
                continue;
            }
            let expiry =
                run.expiry.unwrap_or_else(|| panic!("nothing needs {id} ({:?}), and it is there", known.makes));
            assert!(expiry.pruned_at.is_some(), "{id} was never brought to its end: {expiry:?}");
            assert_eq!(left, [], "{id} is pruned");
            let names = self.staging.names(Some(&known.run.tenant.as_str().parse().unwrap())).await.unwrap();
            assert!(!names.contains(&id.to_string()), "the folder of {id} is left");
            let removals = (count("run.removing"), count("run.pruned"), count("distribution.pruned"));
            let shown = usize::from(known.shown.is_some());
            assert_eq!(removals, (1, 1, known.handed_over.len() + shown), "{id}");
            assert_eq!((count("distribution.found"), run.distributions.len()), (shown, removals.2), "{id}");
            for place in &run.distributions {
                assert!(place.pruned_at.is_some() && !self.bucket.holds(&place.location), "{}", place.location);
            }
            let ordinals: Vec<u64> = events.iter().map(|event| event.ordinal).collect();
            assert_eq!(ordinals, (1..=events.len() as u64).collect::<Vec<_>>());
        }
        let mut removed = self.bucket.removed.lock().unwrap().clone();
        let all = removed.len();
        removed.sort();
        removed.dedup();
        assert_eq!(removed.len(), all, "an object was removed twice");
    }
}
