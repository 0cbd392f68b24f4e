//! Stores that are away: what a worker does until they are back.
//!
//! A command that fails since staging or the evidence ledger is down has nothing wrong with it, and each delivery that it is handed back
//! with is one less of the few that it has. So it waits where it is, with heartbeats, and its step takes no other commands that would
//! only fail as well. That a store is away, and that it is back, its own check says: a command that fails for another reason on a
//! store that answers is tried again like any other.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use export_contract::Timestamp;
use export_contract::event::{WaitReason, Waiting};
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::report::{Backoff, Chain};
use crate::worker::step::Step;

/// How often watchers of a run that waits are told so.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// A check that takes longer says that the store is away.
const CHECK_WITHIN: Duration = Duration::from_secs(10);

/// Asks a store whether it can be read and written.
pub type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Box<dyn Error + Send + Sync>>> + Send + Sync>;

/// The breakers of one worker.
#[derive(Debug, Default)]
pub(crate) struct Breakers(BTreeMap<WaitReason, Arc<Breaker>>);

pub(crate) struct Breaker {
    step: Step,
    reason: WaitReason,
    check: Check,
    metrics: Metrics,
    /// Since when the store is away.
    away: watch::Sender<Option<Timestamp>>,
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("reason", &self.reason).field("away", &self.away).finish_non_exhaustive()
    }
}

impl Breakers {
    pub(crate) fn new(step: Step, checks: BTreeMap<WaitReason, Check>, metrics: &Metrics) -> Self {
        let breaker = |(reason, check)| {
            let away = watch::Sender::new(None);
            (reason, Arc::new(Breaker { step, reason, check, metrics: metrics.clone(), away }))
        };
        Self(checks.into_iter().map(breaker).collect())
    }

    pub(crate) fn of(&self, reason: WaitReason) -> Option<&Arc<Breaker>> {
        self.0.get(&reason)
    }

    /// Returns when no store is away.
    pub(crate) async fn all_closed(&self) {
        for breaker in self.0.values() {
            let mut away = breaker.away.subscribe();
            // It ends with an error when the sender is gone, which is ours.
            drop(away.wait_for(Option::is_none).await);
        }
    }
}

impl Breaker {
    /// Where the store is away, waits until it is back; says whether it was. `tell` hears of it while it lasts.
    pub(crate) async fn outlast(self: &Arc<Self>, tell: impl Fn(Waiting)) -> bool {
        let mut away = self.away.subscribe();
        if away.borrow_and_update().is_none() {
            let Err(error) = self.ask().await else { return false };
            self.open(error.as_ref());
        }
        loop {
            let Some(since) = *away.borrow_and_update() else { return true };
            tell(Waiting { reason: self.reason, since });
            tokio::select! {
                changed = away.changed() => if changed.is_err() { return true },
                () = tokio::time::sleep(TELL_EVERY) => {}
            }
        }
    }

    async fn ask(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        tokio::time::timeout(CHECK_WITHIN, (self.check)()).await?
    }

    /// Notes that the store is away, and asks it until it is back; one caller does.
    fn open(self: &Arc<Self>, error: &(dyn Error + Send + Sync + 'static)) {
        let now = Timestamp::from(SystemTime::now());
        let opened = self.away.send_if_modified(|away| {
            let opens = away.is_none();
            away.get_or_insert(now);
            opens
        });
        if !opened {
            return;
        }
        let (step, reason) = (self.step.durable(), self.reason.as_str());
        tracing::warn!(step, reason, error = %Chain(error), "a store is away; the step waits for it and takes no more commands");
        self.metrics.paused(self.step, self.reason, true);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut backoff = Backoff::up_to(Duration::from_secs(5));
            let back = async {
                loop {
                    backoff.wait().await;
                    if this.ask().await.is_ok() {
                        break;
                    }
                }
            };
            // Where nobody waits any more, nobody needs to know.
            tokio::select! { () = back => {}, () = this.away.closed() => {} }
            this.metrics.paused(this.step, this.reason, false);
            tracing::info!(step, reason, "the step goes on");
            this.away.send_replace(None);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use export_contract::event::WaitReason;
    use futures::FutureExt as _;
    use prometheus::Registry;

    use super::{Breakers, Check};
    use crate::metrics::Metrics;
    use crate::worker::Step;

    /// A store that is away for so many checks.
    fn away_for(checks: u32) -> (Breakers, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let check: Check = Arc::new(move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move { if number < checks { Err("it is away".into()) } else { Ok(()) } }.boxed()
        });
        let metrics = Metrics::register(&Registry::new()).unwrap();
        (Breakers::new(Step::Plan, BTreeMap::from([(WaitReason::Staging, check)]), &metrics), asked)
    }

    #[tokio::test]
    async fn whoever_waits_for_a_store_waits_until_its_check_says_that_it_is_back() {
        let (breakers, asked) = away_for(3);
        let breaker = breakers.of(WaitReason::Staging).unwrap();
        let told = AtomicU32::new(0);
        let tell = |waiting: export_contract::event::Waiting| {
            assert_eq!(waiting.reason, WaitReason::Staging);
            told.fetch_add(1, Ordering::SeqCst);
        };
        let opened = tokio::join!(breaker.outlast(tell), async {
            tokio::task::yield_now().await;
            assert!(breakers.all_closed().now_or_never().is_none(), "no command is taken meanwhile");
            breaker.outlast(|_| ()).await
        });
        assert_eq!(opened, (true, true));
        assert_eq!(asked.load(Ordering::SeqCst), 4, "one asks, however many wait");
        assert!(told.load(Ordering::SeqCst) > 0);
        breakers.all_closed().await;
    }

    #[tokio::test]
    async fn a_store_that_answers_is_not_waited_for() {
        let (breakers, _) = away_for(0);
        assert!(!breakers.of(WaitReason::Staging).unwrap().outlast(|_| panic!("nothing to tell")).await);
        assert!(breakers.of(WaitReason::Evidence).is_none());
    }
}
