//! Retention: lets go of runs whose time is over, and of nothing that a run which is kept needs (decision 0012).
//!
//! A pass reads every run of a tenant that is not pruned, decides on all of them at once ([`mod@decide`]), and goes two steps at most with
//! each: what is over is *expiring* first, which nobody can download or build upon any more; in a later pass, the grace behind it, its
//! bytes go. Between the two stands a second decision, with every run that was submitted before the first. Each step is a fact of the run
//! ledger that one caller wins, so passes may be killed, repeated, and made by several processes at once.

mod corner;
mod decide;
mod facts;
mod gather;
mod orphans;
mod removal;
mod report;
mod withdrawal;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use export_blobs::BlobStore;
use export_contract::run::RunRef;
use export_contract::{RunId, TenantId, Timestamp};
use export_runs::{RetentionStep, RetentionStore};
use export_targets::Target;
use tokio::sync::Mutex;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use self::decide::{Decision, Verdict, decide};
use self::facts::Facts;
pub use self::report::{Deed, Freed, Pass, Told};
use crate::ports::Clock;

/// What retention goes by beside profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long what is over lies before its bytes go. Longer than a request or an admission may take, and than whoever downloads needs.
    pub grace: Duration,
    /// How long runs are kept that did not succeed.
    pub failed_for: Duration,
    /// Whether what lies in staging without a run in the ledger is removed, and not only told.
    pub remove_orphans: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { grace: Duration::from_hours(1), failed_for: Duration::from_hours(7 * 24), remove_orphans: false }
    }
}

/// The pruner. Any number of them may be at work.
pub struct Retention {
    ledger: Arc<dyn RetentionStore>,
    staging: Arc<dyn BlobStore>,
    targets: Vec<Arc<dyn Target>>,
    clock: Clock,
    rules: Rules,
    /// Runs whose scratch this process saw empty, each in the generation that it had ended in.
    swept: Mutex<BTreeSet<RunRef>>,
    /// Runs that did not succeed, and of which this process saw nothing left at any target, each in the generation that it had ended in.
    withdrawn: Mutex<BTreeSet<RunRef>>,
}

impl fmt::Debug for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retention").field("rules", &self.rules).field("targets", &self.targets).finish_non_exhaustive()
    }
}

/// What one tenant's part of a pass works on.
struct Round<'a> {
    tenant: &'a TenantId,
    now: Timestamp,
    dry_run: bool,
    tell: &'a (dyn Fn(Told) + Send + Sync),
}

impl Retention {
    /// A pruner that takes back by `targets` what was handed over.
    pub fn new(
        ledger: Arc<dyn RetentionStore>,
        staging: Arc<dyn BlobStore>,
        targets: Vec<Arc<dyn Target>>,
        clock: Clock,
        rules: Rules,
    ) -> Self {
        Self { ledger, staging, targets, clock, rules, swept: Mutex::default(), withdrawn: Mutex::default() }
    }

    /// One pass over every tenant; `tell` hears of every run, and why it is kept or goes. A dry run changes nothing, and tells what would
    /// be. What fails is logged and counted, and keeps the pass from nothing else: the next one goes on there.
    pub async fn pass(&self, dry_run: bool, tell: &(dyn Fn(Told) + Send + Sync)) -> Pass {
        let mut pass = Pass { dry_run, ..Pass::default() };
        let tenants = match self.ledger.tenants_with_bytes().await {
            Ok(tenants) => tenants,
            Err(error) => {
                pass.failed("ledger", &error, "cannot list the tenants");
                return pass;
            }
        };
        let mut known = BTreeSet::new();
        for tenant in &tenants {
            // The time before anything is read: whatever was written until then is seen.
            let now = (self.clock)();
            known.extend(self.tenant(&Round { tenant, now, dry_run, tell }, &mut pass).await);
        }
        self.look_for_orphans(&known, dry_run, tell, &mut pass).await;
        pass
    }

    /// Passes, one every `interval`, the first at once, until `stop` fires; `report` gets what each did.
    pub async fn run(&self, interval: Duration, dry_run: bool, stop: CancellationToken, report: impl Fn(Pass) + Send) {
        let mut next = tokio::time::interval(interval);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = next.tick() => {}
            }
            // A pass that is cut off goes on next time.
            tokio::select! {
                () = stop.cancelled() => return,
                pass = self.pass(dry_run, &|_| ()) => report(pass),
            }
        }
    }

    /// The tenant's part of a pass; gives the runs that the ledger knew then.
    async fn tenant(&self, round: &Round<'_>, pass: &mut Pass) -> Vec<RunId> {
        let runs = match self.gather(round.tenant).await {
            Ok(runs) => runs,
            // Whoever does not know every need decides on none.
            Err(error) => {
                pass.failed(error.kind(), &error, "cannot read all runs of a tenant, whose turn is passed over");
                return Vec::new();
            }
        };
        let decision = decide(&runs, round.now, self.rules.failed_for);
        let mut due: Vec<&Facts> = Vec::new();
        for run in &runs {
            match decision.verdicts.get(run.id()) {
                Some(Verdict::Live(why)) => self.keep(round, run, why.to_string(), pass).await,
                Some(Verdict::Over(reason)) => match run.expiry {
                    None => self.expire(round, run, reason, pass).await,
                    Some(expiry) if !is_over(expiry.since, self.rules.grace, round.now) => {
                        pass.waiting += 1;
                        round.tell(run, Deed::Waiting, format!("expiring since {}: {reason}", expiry.since));
                    }
                    Some(_) => due.push(run),
                },
                Some(Verdict::Going) | None => {}
            }
            self.sweep(round, run, pass).await;
            // Boxed: it holds a run with all its rows, once for each that it reads.
            Box::pin(self.withdraw(round, run, pass)).await;
        }
        let mut going: BTreeMap<&RunId, &Facts> =
            runs.iter().filter(|run| run.is_going()).map(|run| (run.id(), run)).collect();
        self.begin(round, due, &decision, &mut going, pass).await;
        for run in going.into_values() {
            Box::pin(self.remove(round, run, pass)).await;
        }
        runs.iter().map(|run| run.id().clone()).collect()
    }

    async fn keep(&self, round: &Round<'_>, run: &Facts, why: String, pass: &mut Pass) {
        if run.expiry.is_none() {
            pass.kept += 1;
            round.tell(run, Deed::Kept, why);
            return;
        }
        let step = RetentionStep::Spare { reason: format!("offered again: {why}") };
        if self.take(round, run, &step, pass).await {
            pass.spared += 1;
            round.tell(run, Deed::Spared, why);
        }
    }

    async fn expire(&self, round: &Round<'_>, run: &Facts, reason: &str, pass: &mut Pass) {
        let step = RetentionStep::Expire { reason: format!("no longer offered: {reason}") };
        if self.take(round, run, &step, pass).await {
            pass.expiring += 1;
            round.tell(run, Deed::Expiring, reason.to_owned());
        }
    }

    /// Lets the removal of those begin that are due. A run goes behind all that need it: until then they may come back, and must find it.
    async fn begin<'a>(
        &self,
        round: &Round<'_>,
        mut due: Vec<&'a Facts>,
        decision: &Decision,
        going: &mut BTreeMap<&'a RunId, &'a Facts>,
        pass: &mut Pass,
    ) {
        // What needs others is younger than they are, nearly always.
        due.sort_by(|a, b| b.id().cmp(a.id()));
        loop {
            let before = due.len();
            let mut left = Vec::new();
            for run in due {
                let needed_by = decision.needed_by.get(run.id());
                if !needed_by.is_none_or(|needed_by| needed_by.iter().all(|by| going.contains_key(by))) {
                    left.push(run);
                    continue;
                }
                let Some(expiry) = run.expiry else { continue };
                if self.take(round, run, &RetentionStep::Remove { since: expiry.since }, pass).await {
                    going.insert(run.id(), run);
                }
            }
            due = left;
            if due.is_empty() || due.len() == before {
                break;
            }
        }
        for run in due {
            pass.waiting += 1;
            round.tell(run, Deed::Waiting, "what needs it goes first".to_owned());
        }
    }

    /// Takes a step, unless nothing is to be changed; whether it was taken by this call, or would be.
    async fn take(&self, round: &Round<'_>, run: &Facts, step: &RetentionStep, pass: &mut Pass) -> bool {
        if round.dry_run {
            return true;
        }
        // The grace counts from the moment in which a run is no longer offered, however long this pass was held up before.
        match self.ledger.retain(round.tenant, run.id(), step, (self.clock)()).await {
            Ok(taken) => taken,
            Err(error) => {
                pass.failed("ledger", &error, "cannot write a step of retention");
                round.tell(run, Deed::Failed, error.to_string());
                false
            }
        }
    }
}

impl Round<'_> {
    fn tell(&self, run: &Facts, deed: Deed, why: String) {
        let tenant = self.tenant.clone();
        (self.tell)(Told { tenant, run: run.id().clone(), profile: Some(run.profile.clone()), deed, why });
    }
}

/// Whether `wait` is over since `since`.
fn is_over(since: Timestamp, wait: Duration, now: Timestamp) -> bool {
    since.plus_seconds(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)) <= now
}
