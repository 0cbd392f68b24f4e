//! Runs, as a client sees them.

use std::time::Duration;

use anyhow::Context as _;
use export_client::{Client, NewRun, RunSignal};
use export_contract::Digest;
use export_contract::event::RunEvent;
use export_contract::run::{Run, RunBundle, RunStatus};
use tokio::time::timeout;

use crate::programs::soak;

/// Longest that a run may take, whatever is killed under it; one of millions of records takes its time.
fn finished_within() -> Duration {
    Duration::from_mins(if soak() { 60 } else { 4 })
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The run.
    pub run: Run,
    /// Its whole timeline.
    pub events: Vec<RunEvent>,
}

impl Finished {
    /// The names of its events.
    pub fn timeline(&self) -> Vec<&'static str> {
        self.events.iter().map(|event| event.event_type.as_str()).collect()
    }

    /// Its bundle.
    ///
    /// # Panics
    /// When it has none.
    pub fn bundle(&self) -> &RunBundle {
        assert_eq!(self.run.status, RunStatus::Succeeded, "{:?} {:?}", self.run.error_code, self.run.error_message);
        match &self.run.bundle {
            Some(bundle) => bundle,
            None => panic!("run {} succeeded without a bundle", self.run.id),
        }
    }

    /// Digest of its bundle.
    pub fn digest(&self) -> &Digest {
        &self.bundle().digest
    }

    /// Asserts that the run ended once: ordinals without gaps, one end, no event type twice that may come once only.
    ///
    /// # Panics
    /// When it did not.
    pub fn assert_once(&self) {
        let ordinals: Vec<u64> = self.events.iter().map(|event| event.ordinal).collect();
        let expected: Vec<u64> = (1..=self.events.len() as u64).collect();
        assert_eq!(ordinals, expected, "ordinals have gaps or repeat");
        let ends = self.events.iter().filter(|event| event.event_type.is_terminal()).count();
        assert_eq!(ends, 1, "{:?}", self.timeline());
        let mut facts: Vec<String> = self
            .events
            .iter()
            .map(|event| {
                let phase = event.phase.map(export_contract::run::Phase::as_str);
                format!("{} {phase:?} {:?}", event.event_type.as_str(), event.metrics.get("part"))
            })
            .collect();
        facts.sort();
        let count = facts.len();
        facts.dedup();
        assert_eq!(facts.len(), count, "a fact stands twice: {:?}", self.timeline());
    }
}

/// Submits a run of `profile` for everything.
///
/// # Errors
/// When the server refuses.
pub async fn start(client: &Client, profile: &str) -> anyhow::Result<Run> {
    let wanted = NewRun { profile_id: profile.to_owned(), ..NewRun::default() };
    client.start_run(&wanted, None).await.context("cannot start a run")
}

/// Follows a run to its end.
///
/// # Errors
/// When it does not end in time; the error has its timeline so far.
pub async fn finish(client: &Client, id: &str) -> anyhow::Result<Finished> {
    let mut events: Vec<RunEvent> = Vec::new();
    let follow = async {
        let mut stream = client.follow(id, 0);
        while let Some(signal) = stream.next().await? {
            if let RunSignal::Event(event) = signal {
                events.push(event);
            }
        }
        client.run(id).await
    };
    let within = finished_within();
    match timeout(within, follow).await {
        Ok(run) => Ok(Finished { run: run.context("cannot follow the run")?, events }),
        Err(_) => {
            let names: Vec<String> = events.iter().map(|event| event.message.clone()).collect();
            anyhow::bail!("run {id} has not ended within {within:?}; so far: {}", names.join(", "))
        }
    }
}
