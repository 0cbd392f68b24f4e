//! Targets in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use export_contract::Timestamp;
use export_contract::message::Distribution;
use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;
use export_targets::{Delivery, Removal, Target, TargetError};

use super::world::at;

/// What a target holds: by location, until when it is locked.
#[derive(Debug)]
pub(crate) struct Depot {
    kind: DistributionKind,
    seconds: std::sync::Arc<AtomicI64>,
    held: Mutex<BTreeMap<String, Option<Timestamp>>>,
    /// Removals of something that was there.
    pub(crate) removed: Mutex<Vec<String>>,
    /// Does not answer.
    pub(crate) away: std::sync::atomic::AtomicBool,
}

impl Depot {
    pub(crate) fn new(kind: DistributionKind, seconds: std::sync::Arc<AtomicI64>) -> Self {
        Self { kind, seconds, held: Mutex::default(), removed: Mutex::default(), away: false.into() }
    }

    pub(crate) fn hand_over(&self, location: &str, locked_until: Option<Timestamp>) {
        self.held.lock().unwrap().insert(location.to_owned(), locked_until);
    }

    pub(crate) fn holds(&self, location: &str) -> bool {
        self.held.lock().unwrap().contains_key(location)
    }
}

#[async_trait]
impl Target for Depot {
    fn kind(&self) -> DistributionKind {
        self.kind
    }

    async fn place(&self, _delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        Ok(None)
    }

    async fn distribute(&self, _delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        Err(TargetError::Refused { act: "distribute".to_owned(), cause: "tests hand over themselves".into() })
    }

    async fn remove(&self, _run: &RunRef, distribution: &Distribution) -> Result<Removal, TargetError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(TargetError::Unavailable { act: "remove".to_owned(), after: None, cause: "it is away".into() });
        }
        let mut held = self.held.lock().unwrap();
        let now = at(self.seconds.load(Ordering::SeqCst));
        match held.get(&distribution.location) {
            Some(Some(until)) if now < *until => return Ok(Removal::Locked { until: Some(*until) }),
            Some(_) => self.removed.lock().unwrap().push(distribution.location.clone()),
            None => {}
        }
        held.remove(&distribution.location);
        Ok(Removal::Removed)
    }
}
