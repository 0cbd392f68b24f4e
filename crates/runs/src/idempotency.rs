//! What became of requests that came with an `Idempotency-Key`, as stored state.
//!
//! A key is reserved before the request has any effect, for a short time only: a process that stops in between leaves a
//! reservation that runs out, and whoever comes with the key then does the work. Of several that come at once, one wins,
//! because a reservation is an entry with a revision like any other.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use export_contract::{TenantId, Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::entries::Entries;
use crate::store::RunStoreError;

/// Seconds for which a key is reserved for the request that came with it.
pub const LEASE_SECONDS: i64 = 60;
/// Seconds that an answer is kept after its request came.
pub const KEPT_SECONDS: i64 = 24 * 3_600;
/// Largest answer that is kept, bytes.
pub const MAX_ANSWER: usize = 256 << 10;
/// Keys that are over and removed with each new one.
const SWEPT: u32 = 16;
/// Seconds that a key is over before it is removed: whoever may still be at it is done by then.
const SWEPT_AFTER: i64 = 3_600;

/// An answer as it is given again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers that are part of it, such as `location`.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl fmt::Debug for KeptAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// How far the request of a key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum KeyState {
    /// Somebody is at it, or stopped while being at it.
    AtWork {
        /// Until when the key is theirs.
        until: Timestamp,
    },
    /// It was refused and had no effect: the key may be used again.
    Free,
    /// It is done.
    Done {
        /// What was answered; absent where the answer holds a secret, or is too large to be kept.
        answer: Option<KeptAnswer>,
    },
}

/// A key of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownKey {
    /// Schema version.
    pub v: Version<1>,
    /// Whose key.
    pub tenant: TenantId,
    /// Digest of the key: it comes from a client, and may hold anything.
    pub id: String,
    /// Digest of what the request asks for.
    pub fingerprint: String,
    /// How far it is.
    pub state: KeyState,
    /// When it is forgotten.
    pub expires_at: Timestamp,
    /// Counts the writes.
    pub revision: u32,
}

/// What a key comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The key is the caller's, who does the work and [settles](IdempotencyStore::settle) it.
    Yours(KnownKey),
    /// Another request with the key is at work.
    InFlight,
    /// The key came with another request before.
    Mismatch,
    /// The request was done, with this answer; none where it was not kept.
    Done(Option<KeptAnswer>),
}

/// The keys of all tenants. Every promise here is kept by the conformance suite, which each driver runs.
///
/// Each call is atomic. A key of another tenant is never found.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + fmt::Debug {
    /// Reserves a key for [`LEASE_SECONDS`], where nobody has it. `id` and `fingerprint` are digests of the key and of what is
    /// asked for.
    async fn reserve(
        &self,
        tenant: &TenantId,
        id: &str,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<Reservation, RunStoreError>;

    /// Writes what became of a reserved key; `false` where its time had run out and another request took it.
    async fn settle(&self, reserved: &KnownKey, state: KeyState) -> Result<bool, RunStoreError>;
}

#[async_trait]
impl<S: Entries + fmt::Debug> IdempotencyStore for S {
    async fn reserve(
        &self,
        tenant: &TenantId,
        id: &str,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<Reservation, RunStoreError> {
        let wanted = KnownKey {
            v: Version,
            tenant: tenant.clone(),
            id: id.to_owned(),
            fingerprint: fingerprint.to_owned(),
            state: KeyState::AtWork { until: now.plus_seconds(LEASE_SECONDS) },
            expires_at: now.plus_seconds(KEPT_SECONDS),
            revision: 1,
        };
        let Some(known) = self.entry::<KnownKey>(tenant, id).await? else {
            let over: Vec<KnownKey> = self.due(now.plus_seconds(-SWEPT_AFTER), SWEPT).await?;
            for key in over {
                self.remove::<KnownKey>(&key.tenant, &key.id).await?;
            }
            return Ok(self.add(wanted).await?.map_or(Reservation::InFlight, Reservation::Yours));
        };
        let is_over = known.expires_at <= now || known.state == KeyState::Free;
        if !is_over && known.fingerprint != fingerprint {
            return Ok(Reservation::Mismatch);
        }
        match known.state {
            KeyState::Done { answer } if !is_over => Ok(Reservation::Done(answer)),
            KeyState::AtWork { until } if !is_over && until > now => Ok(Reservation::InFlight),
            KeyState::AtWork { .. } | KeyState::Free | KeyState::Done { .. } => {
                let next = KnownKey { revision: known.revision.saturating_add(1), ..wanted };
                Ok(if self.replace(next.clone()).await? { Reservation::Yours(next) } else { Reservation::InFlight })
            }
        }
    }

    async fn settle(&self, reserved: &KnownKey, state: KeyState) -> Result<bool, RunStoreError> {
        let revision = reserved.revision.saturating_add(1);
        self.replace(KnownKey { state, revision, ..reserved.clone() }).await
    }
}
