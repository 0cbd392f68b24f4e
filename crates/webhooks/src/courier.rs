//! The port: who carries a message.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use export_contract::{TenantId, Timestamp, WebhookId};

/// A message that is to be sent once.
#[derive(Clone, Copy)]
pub struct Parcel<'a> {
    /// Whose webhook.
    pub tenant: &'a TenantId,
    /// Which webhook.
    pub webhook: &'a WebhookId,
    /// Where to.
    pub url: &'a str,
    /// The webhook's secrets as they are kept: each signs.
    pub sealed_secrets: &'a [&'a str],
    /// `webhook-id`, the same in every attempt.
    pub id: &'a str,
    /// `webhook-timestamp`: when this attempt is made.
    pub at: Timestamp,
    /// The body.
    pub body: &'a str,
}

impl fmt::Debug for Parcel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("webhook", self.webhook).field("id", &self.id).finish_non_exhaustive()
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The receiver's status, where it answered.
    pub status: Option<u16>,
    /// What went wrong, for people.
    pub error: Option<String>,
    /// When the receiver wants to be asked again.
    pub retry_after: Option<Duration>,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
}

impl Sent {
    /// Whether the receiver took the message: any 2xx.
    pub fn is_taken(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether the receiver wants no more of them.
    pub fn is_gone(&self) -> bool {
        self.status == Some(410)
    }
}

/// Carries messages.
#[async_trait]
pub trait Courier: Send + Sync + fmt::Debug {
    /// Sends a message once. Whatever goes wrong is part of the answer.
    async fn send(&self, parcel: Parcel<'_>) -> Sent;
}
