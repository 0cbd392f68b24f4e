//! What the gateway is built from.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use export_authority::{Approvers, Authority, LinkKey, LocalAuthority, ProofChecker};
use export_blobs::BlobStore;
use export_contract::profile::ProfileKind;
use export_contract::{RunId, Timestamp};
use export_pipeline::{DeadLetters, RunFeed, RunQueue};
use export_runs::{IdempotencyStore, QuotaRules, RunStore, ScheduleStore};
use rand::Rng as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::Health;
use crate::audit::Audit;
use crate::brake::Brake;
use crate::console::Console;
use crate::metrics::HttpMetrics;
use crate::rates::Rates;
use crate::registry::Registry;
use crate::request::Incoming;
use crate::vex::VexRepositories;
use crate::webhooks::Webhooks;

/// Bounds on requests; each is documented in `docs/limits.md`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request body, bytes.
    pub body_bytes: usize,
    /// Followers of event streams at one time.
    pub event_streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 1 << 20, event_streams: 500 }
    }
}

/// A key whose signatures stand on bundles.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicKey {
    /// Its id, as in the run's `bundle.keyId`.
    pub key_id: String,
    /// SPKI, PEM.
    pub pem: String,
    /// Whether it signs still; a former key only verifies what it signed.
    pub current: bool,
    /// When it began to sign, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// When it signed for the last time, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// The keys as they are shown.
#[derive(Serialize, JsonSchema)]
pub(crate) struct KeyList {
    pub(crate) keys: Vec<PublicKey>,
}

/// Everything that an endpoint may use.
#[derive(Clone)]
pub struct Gateway {
    /// The run ledger.
    pub runs: Arc<dyn RunStore>,
    /// The schedules.
    pub schedules: Arc<dyn ScheduleStore>,
    /// The webhooks.
    pub webhooks: Webhooks,
    /// The way to the log.
    pub queue: Arc<dyn RunQueue>,
    /// The way back.
    pub feed: Arc<dyn RunFeed>,
    /// The commands that nobody could do.
    pub letters: Arc<dyn DeadLetters>,
    /// Staging.
    pub blobs: Arc<dyn BlobStore>,
    /// Checks tokens.
    pub authority: Arc<dyn Authority>,
    /// Checks that who sends a token holds its key.
    pub proofs: ProofChecker,
    /// Where clients reach this gateway, such as `https://export.example`; `None`: at the host that they name, over what we speak.
    pub public_url: Option<String>,
    /// Holds whoever guesses secrets.
    pub brake: Arc<Brake>,
    /// Issues tokens, where this gateway is its own authority.
    pub issuer: Option<Arc<LocalAuthority>>,
    /// The profile kinds that the deployed adapters make.
    pub supported: BTreeSet<ProfileKind>,
    /// Keys for verifiers.
    pub keys: Vec<PublicKey>,
    /// Readiness.
    pub health: Arc<Health>,
    /// Bounds.
    pub limits: Limits,
    /// Free places for followers of event streams.
    pub event_places: Arc<tokio::sync::Semaphore>,
    /// Who may let runs read the evidence of other tenants.
    pub approvers: Approvers,
    /// Signs links.
    pub links: LinkKey,
    /// What the registry at `/v2/` goes by.
    pub registry: Arc<Registry>,
    /// VEX repositories that were made last.
    pub vex: Arc<VexRepositories>,
    /// What each tenant may have.
    pub quotas: Arc<QuotaRules>,
    /// How many requests there may be.
    pub rates: Arc<Rates>,
    /// Where it is written who did what.
    pub audit: Audit,
    /// What is counted.
    pub metrics: HttpMetrics,
    /// What became of requests with an `Idempotency-Key`.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// The pages for people, where they are served.
    pub console: Option<Console>,
    /// Origins whose pages may call from a browser; none unless configured.
    pub cors: Arc<BTreeSet<String>>,
}

impl Gateway {
    /// The address of a request as its client sees it, without the query.
    pub(crate) fn address(&self, request: &Incoming) -> String {
        let base = self.public_url.clone().unwrap_or_else(|| self.registry.named_host(request));
        format!("{base}{}", request.path)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("supported", &self.supported)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The wall clock, which the gateway may read: nothing it reads there reaches a bundle.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A new run id, which also serves as correlation and trace id.
pub(crate) fn new_id() -> RunId {
    let millis = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let mut random = [0_u8; 16];
    rand::rng().fill_bytes(&mut random);
    RunId::from_parts(u64::try_from(millis).unwrap_or(0), u128::from_be_bytes(random))
}
