//! Webhooks: who is told of the end of runs, and what became of telling them.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::RunStatus;
use crate::{ProfileId, RunId, TenantId, Timestamp, Version, WebhookId};

/// What a webhook is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum WebhookEvent {
    /// A run ended with a bundle.
    #[serde(rename = "run.succeeded")]
    RunSucceeded,
    /// A run ended without one.
    #[serde(rename = "run.failed")]
    RunFailed,
    /// A run was cancelled.
    #[serde(rename = "run.aborted")]
    RunAborted,
    /// Somebody asked for a message that says nothing.
    #[serde(rename = "webhook.test")]
    Test,
}

impl WebhookEvent {
    /// The events that a webhook may ask for.
    pub const OF_RUNS: [Self; 3] = [Self::RunSucceeded, Self::RunFailed, Self::RunAborted];

    /// The name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunSucceeded => "run.succeeded",
            Self::RunFailed => "run.failed",
            Self::RunAborted => "run.aborted",
            Self::Test => "webhook.test",
        }
    }

    /// The event of a run's state; `None` while it has not ended.
    pub fn of(status: RunStatus) -> Option<Self> {
        match status {
            RunStatus::Succeeded => Some(Self::RunSucceeded),
            RunStatus::Failed => Some(Self::RunFailed),
            RunStatus::Aborted => Some(Self::RunAborted),
            RunStatus::Pending | RunStatus::Running => None,
        }
    }
}

impl fmt::Display for WebhookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A webhook as the API shows it: its secret is shown once, when it is made, and is not in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Schema version of this document.
    pub v: Version<1>,
    /// Id, unique within the tenant.
    pub id: WebhookId,
    /// Whose webhook.
    pub tenant: TenantId,
    /// Where messages are sent to.
    pub url: String,
    /// What it is told of.
    pub events: BTreeSet<WebhookEvent>,
    /// Only of runs of this profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<ProfileId>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether messages are sent.
    pub enabled: bool,
    /// Why it is not, where nobody asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_because: Option<String>,
    /// Until when messages are signed with the former secret too; absent where it was never rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_secret_until: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
    /// When; runs that ended before are not told of.
    pub created_at: Timestamp,
    /// Rises with every write.
    pub revision: u32,
}

/// State of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is tried until it is taken or given up.
    Pending,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// One attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// The receiver's status, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A message to a webhook, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Schema version of this document.
    pub v: Version<1>,
    /// `webhook-id` of the message, the same in every attempt and replay.
    pub id: String,
    /// Whose.
    pub tenant: TenantId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// What it tells of.
    pub event: WebhookEvent,
    /// The run it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// State.
    pub state: DeliveryState,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it is tried (again); while an attempt is under way, when another orchestrator may take it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Attempts since it was written or replayed.
    pub tries: u32,
    /// Times that somebody asked for it again.
    pub replays: u32,
    /// The newest attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The body, byte for byte.
    pub body: String,
    /// Rises with every write.
    pub revision: u32,
}
