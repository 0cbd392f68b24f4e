//! How far retention is with a run: first it is no longer offered, then its bytes go, then nothing is left but its record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A run whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expiry {
    /// Since when nothing that it made is offered, and nothing new may build upon it. Until `removing_at` it may come back.
    pub since: Timestamp,
    /// When its bytes began to go; there is no way back from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removing_at: Option<Timestamp>,
    /// When the last of them were gone, those that a target kept locked included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_at: Option<Timestamp>,
}

impl Expiry {
    /// Of a run that is no longer offered from `since` on.
    pub fn began(since: Timestamp) -> Self {
        Self { since, removing_at: None, pruned_at: None }
    }

    /// Whether its bytes began to go.
    pub fn is_final(&self) -> bool {
        self.removing_at.is_some()
    }
}
