//! The register of proofs that were seen, so that none is taken twice (RFC 9449 section 11.1).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

/// A proof that was good in all else, at the moment it is seen. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Digest of its key's thumbprint and its `jti`.
    pub proof: [u8; 32],
    /// Its `iat`.
    pub issued_at: i64,
    /// When it is seen.
    pub now: i64,
    /// When it is too old for every gateway, and may be forgotten.
    pub until: i64,
}

/// Whether a proof was seen before cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act}")]
pub struct RegisterUnavailable {
    /// What was tried.
    pub act: &'static str,
    /// Why it failed, where that is known.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Remembers proofs until they are too old to be taken. All gateways of a deployment share one.
#[async_trait]
pub trait ProofRegister: Send + Sync + fmt::Debug {
    /// Whether this is the first time that the proof is seen. Of any number of callers with the same proof, wherever they are, one
    /// hears `true`.
    ///
    /// # Errors
    /// When that cannot be told: the proof must then be refused. A register that may have forgotten what it knew tells nothing of
    /// proofs that were made before.
    async fn first_seen(&self, sighting: &Sighting) -> Result<bool, RegisterUnavailable>;
}

/// A register in memory, for one gateway and for tests. Bounded: when it is full it tells nothing until proofs grow old.
#[derive(Debug)]
pub struct MemoryRegister {
    most: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    until: BTreeMap<[u8; 32], i64>,
    by_end: BTreeSet<(i64, [u8; 32])>,
}

impl MemoryRegister {
    /// A register of `most` proofs at one time.
    pub fn new(most: usize) -> Self {
        Self { most, seen: Mutex::default() }
    }
}

#[async_trait]
impl ProofRegister for MemoryRegister {
    async fn first_seen(&self, sighting: &Sighting) -> Result<bool, RegisterUnavailable> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((until, proof)) = seen.by_end.first().copied().filter(|(until, _)| *until < sighting.now) {
            seen.by_end.remove(&(until, proof));
            seen.until.remove(&proof);
        }
        if seen.until.contains_key(&sighting.proof) {
            return Ok(false);
        }
        if seen.until.len() >= self.most {
            return Err(RegisterUnavailable { act: "remember more proofs at one time", cause: None });
        }
        seen.until.insert(sighting.proof, sighting.until);
        seen.by_end.insert((sighting.until, sighting.proof));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryRegister, ProofRegister as _, Sighting};

    #[tokio::test]
    async fn a_full_register_takes_nothing_until_proofs_grow_old() {
        let register = MemoryRegister::new(2);
        let at = |number: u8, now: i64| Sighting { proof: [number; 32], issued_at: now, now, until: now + 70 };
        assert!(register.first_seen(&at(1, 0)).await.unwrap());
        assert!(register.first_seen(&at(2, 1)).await.unwrap());
        assert!(register.first_seen(&at(3, 2)).await.is_err());
        assert!(!register.first_seen(&at(1, 70)).await.unwrap(), "known until it is too old");
        assert!(register.first_seen(&at(3, 71)).await.unwrap());
        assert!(register.first_seen(&at(4, 71)).await.is_err());
    }
}
