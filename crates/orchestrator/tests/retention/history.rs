//! Random histories: what users, workers, clocks, crashes and pruners do, in any order.

use export_contract::RunId;
use export_contract::run::RunStatus;
use proptest::prelude::*;

use super::world::{DAY, HOUR, Keeps, Makes, World};

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A request; of a delta, upon one of the newest mirrors. A slow one is written only later.
    Submit {
        tenant: u8,
        makes: Makes,
        base: u8,
        slow: bool,
    },
    /// Slots are given; a slow orchestrator stops before it writes what it found.
    Admit {
        tenant: u8,
        slow: bool,
    },
    /// One of the runs is planned, where it is admitted.
    Plan {
        which: u8,
        unchanged: bool,
    },
    /// One of those that are planned ends.
    End {
        which: u8,
        succeeds: bool,
    },
    /// One of the runs is cancelled, unless it has ended.
    Cancel {
        which: u8,
    },
    /// A request goes all the way at once.
    Make {
        tenant: u8,
        makes: Makes,
        base: u8,
        unchanged: bool,
    },
    /// A full mirror and so many deltas, each upon the one before.
    Chain {
        tenant: u8,
        deltas: u8,
    },
    Wait {
        seconds: i64,
    },
    Pass {
        pruner: usize,
    },
    /// The process is held up after so many calls, for less than the grace.
    HeldPass {
        after: u16,
    },
    /// The process is killed after so many calls.
    KilledPass {
        after: u16,
    },
    /// Two processes at once.
    Passes {
        first: Option<u16>,
        second: Option<u16>,
    },
}

pub(crate) fn keeps() -> impl Strategy<Value = Keeps> {
    let choices: [(Option<u32>, Option<u32>); 7] = [
        (None, None),
        (Some(1), None),
        (Some(1), None),
        (Some(3), None),
        (None, Some(1)),
        (None, Some(2)),
        (Some(1), Some(1)),
    ];
    proptest::sample::select(choices.to_vec()).prop_map(|(days, last)| Keeps { days, last })
}

pub(crate) fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let makes = || proptest::sample::select(Makes::ALL.to_vec());
    let killed = || proptest::option::weighted(0.7, 0..60_u16);
    let seconds = || {
        prop_oneof![
            2 => 60..HOUR,
            3 => HOUR..6 * HOUR,
            3 => 12 * HOUR..4 * DAY,
            1 => 8 * DAY..20 * DAY,
        ]
    };
    let deed = prop_oneof![
        3 => (0..2_u8, makes(), any::<u8>(), any::<bool>())
            .prop_map(|(tenant, makes, base, slow)| Deed::Submit { tenant, makes, base, slow }),
        3 => (0..2_u8, any::<bool>()).prop_map(|(tenant, slow)| Deed::Admit { tenant, slow }),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(which, unchanged)| Deed::Plan { which, unchanged }),
        3 => (any::<u8>(), proptest::bool::weighted(0.8)).prop_map(|(which, succeeds)| Deed::End { which, succeeds }),
        1 => any::<u8>().prop_map(|which| Deed::Cancel { which }),
        6 => (0..2_u8, makes(), any::<u8>(), any::<bool>())
            .prop_map(|(tenant, makes, base, unchanged)| Deed::Make { tenant, makes, base, unchanged }),
        3 => (0..2_u8, 1..4_u8).prop_map(|(tenant, deltas)| Deed::Chain { tenant, deltas }),
        5 => seconds().prop_map(|seconds| Deed::Wait { seconds }),
        4 => (0..2_usize).prop_map(|pruner| Deed::Pass { pruner }),
        1 => (0..40_u16).prop_map(|after| Deed::HeldPass { after }),
        3 => (0..60_u16).prop_map(|after| Deed::KilledPass { after }),
        2 => (killed(), killed()).prop_map(|(first, second)| Deed::Passes { first, second }),
    ];
    // A request for a delta whose base expires while the gateway looks, and passes of which none waits for it.
    let late_request = (0..2_u8).prop_map(|tenant| {
        vec![
            Deed::Make { tenant, makes: Makes::Full, base: 0, unchanged: false },
            Deed::Wait { seconds: 2 * DAY },
            Deed::Submit { tenant, makes: Makes::Delta, base: 0, slow: true },
            Deed::Pass { pruner: 0 },
            Deed::Pass { pruner: 1 },
        ]
    });
    // A request that is admitted while a pass is held up between its look and its word.
    let late_mark = (0..2_u8, any::<bool>(), 3..14_u16).prop_map(|(tenant, delta, after)| {
        let (made, makes) = if delta { (Makes::Full, Makes::Delta) } else { (Makes::Raw, Makes::Raw) };
        vec![
            Deed::Make { tenant, makes: made, base: 0, unchanged: false },
            Deed::Wait { seconds: 2 * DAY },
            Deed::HeldPass { after },
            Deed::Submit { tenant, makes, base: 0, slow: false },
            Deed::Admit { tenant, slow: false },
            Deed::Wait { seconds: HOUR },
            Deed::Pass { pruner: 0 },
        ]
    });
    let deeds = prop_oneof![20 => deed.prop_map(|deed| vec![deed]), 1 => late_request, 2 => late_mark];
    proptest::collection::vec(deeds, 1..45).prop_map(|deeds| deeds.concat())
}

impl World {
    pub(crate) async fn does(&mut self, deed: &Deed, keeps: &[Keeps; 3]) {
        let kept = |makes: Makes| keeps[makes as usize];
        match *deed {
            Deed::Submit { tenant, makes, base, slow } => {
                let base = self.mirror(tenant, base, makes);
                self.submit(tenant, makes, kept(makes), base.as_ref(), slow).await;
            }
            Deed::Admit { tenant, slow } => self.admit(tenant, slow).await,
            Deed::Plan { which, unchanged } => {
                if let Some(id) = self.pick(which, |run, planned| run == RunStatus::Running && !planned).await {
                    self.plan(&id, unchanged).await;
                }
            }
            Deed::End { which, succeeds } => {
                if let Some(id) = self.pick(which, |run, planned| run == RunStatus::Running && planned).await {
                    self.end(&id, succeeds).await;
                }
            }
            Deed::Cancel { which } => {
                if let Some(id) = self.pick(which, |run, _| !run.is_terminal()).await {
                    self.cancel(&id).await;
                }
            }
            Deed::Make { tenant, makes, base, unchanged } => {
                let base = self.mirror(tenant, base, makes);
                let before = self.runs.len();
                self.submit(tenant, makes, kept(makes), base.as_ref(), false).await;
                if self.runs.len() > before {
                    let id = self.runs.keys().next_back().unwrap().clone();
                    self.make(tenant, &id, unchanged).await;
                }
            }
            Deed::Chain { tenant, deltas } => {
                let mut base: Option<RunId> = None;
                for _ in 0..=deltas {
                    let makes = if base.is_some() { Makes::Delta } else { Makes::Full };
                    self.submit(tenant, makes, kept(makes), base.as_ref(), false).await;
                    let id = self.runs.keys().next_back().unwrap().clone();
                    self.make(tenant, &id, false).await;
                    base = Some(id);
                }
            }
            Deed::Wait { seconds } => self.wait(seconds).await,
            Deed::Pass { pruner } => {
                self.pass(pruner).await;
            }
            Deed::HeldPass { after } => self.held_pass(after).await,
            Deed::KilledPass { after } => self.killed_pass(after).await,
            Deed::Passes { first, second } => self.passes(first, second).await,
        }
    }

    /// Brings a run from its slot to its end.
    pub(crate) async fn make(&mut self, tenant: u8, id: &RunId, unchanged: bool) {
        self.admit(tenant, false).await;
        self.plan(id, unchanged).await;
        self.end(id, true).await;
    }

    /// One of the newest mirrors of a tenant, for a delta to build upon; some build upon nothing.
    fn mirror(&self, whose: u8, which: u8, makes: Makes) -> Option<RunId> {
        if makes != Makes::Delta {
            return None;
        }
        let tenant = super::world::tenant(whose);
        let mirrors = self.runs.values().rev().filter(|known| known.run.tenant == tenant && known.makes != Makes::Raw);
        mirrors.take(4).nth(usize::from(which % 5)).map(|known| known.run.id.clone())
    }

    async fn pick(&self, which: u8, fits: impl Fn(RunStatus, bool) -> bool) -> Option<RunId> {
        let mut found = Vec::new();
        for (id, known) in &self.runs {
            if fits(self.ledger_says(id).await.status, known.planned) {
                found.push(id.clone());
            }
        }
        if found.is_empty() { None } else { Some(found[usize::from(which) % found.len()].clone()) }
    }

    /// Lets everything come to rest: whatever was begun ends, and passes are made until nothing changes.
    pub(crate) async fn comes_to_rest(&mut self) {
        self.wait(60).await;
        for tenant in 0..2 {
            self.admit(tenant, false).await;
        }
        while let Some(id) = self.pick(0, |run, _| !run.is_terminal()).await {
            if !self.runs[&id].planned {
                self.plan(&id, false).await;
            }
            self.end(&id, true).await;
        }
        self.wait(400 * DAY).await;
        for _ in 0..4 {
            self.passes(None, None).await;
            self.wait(2 * HOUR).await;
        }
        let rest = self.pass(0).await;
        assert_eq!(
            (rest.expiring, rest.waiting, rest.spared, rest.pruned, rest.locked, rest.orphans),
            (0, 0, 0, 0, 0, 0)
        );
        assert!(rest.failures.is_empty(), "{rest:?}");
    }
}
