//! The audit log: who did what, and whether it was allowed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ErrorCode, TenantId, Timestamp, Version};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// What somebody did.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum AuditAction { $($(#[$doc])* #[serde(rename = $text)] $name,)+ }

        impl AuditAction {
            /// Every action, in the order of this page.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name in entries.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

actions! {
    /// A profile was made.
    ProfileCreated = "profile.created",
    /// A profile was changed.
    ProfileRevised = "profile.revised",
    /// A profile was deleted.
    ProfileDeleted = "profile.deleted",
    /// A run was asked for, by a request or a schedule.
    RunSubmitted = "run.submitted",
    /// A run was cancelled.
    RunCancelled = "run.cancelled",
    /// A run is to be made again. Reserved.
    RunReplayed = "run.replayed",
    /// An approval let a run read the evidence of other tenants. One that did not is a refused `run.submitted`.
    ApprovalUsed = "approval.used",
    /// A bundle was downloaded, or a part of it.
    BundleDownloaded = "bundle.downloaded",
    /// `export.json` was read.
    ManifestRead = "manifest.read",
    /// Another file beside a bundle was read.
    FileRead = "file.read",
    /// A signed link was made.
    LinkCreated = "link.created",
    /// A signed link was followed, by whoever has it.
    LinkFollowed = "link.followed",
    /// A bundle was pulled from the registry, or a part of it.
    RegistryPulled = "registry.pulled",
    /// A VEX repository was read.
    VexPulled = "vex.pulled",
    /// A schedule was made.
    ScheduleCreated = "schedule.created",
    /// A schedule was changed.
    ScheduleChanged = "schedule.changed",
    /// A schedule was deleted.
    ScheduleDeleted = "schedule.deleted",
    /// A webhook was made.
    WebhookCreated = "webhook.created",
    /// A webhook was changed, or given a new secret.
    WebhookChanged = "webhook.changed",
    /// A webhook was deleted.
    WebhookDeleted = "webhook.deleted",
    /// A test or a repetition of a message to a webhook was asked for.
    WebhookSent = "webhook.sent",
    /// A key signed a bundle.
    KeyUsed = "key.used",
    /// Another request was refused for want of a permission.
    AccessRefused = "access.refused",
    /// A request of another kind that changes something.
    RequestMade = "request.made",
}

impl std::fmt::Display for AuditAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for AuditAction {
    type Err = UnknownAction;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or_else(|| UnknownAction(text.to_owned()))
    }
}

/// A text that names no [`AuditAction`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an action of the audit log")]
pub struct UnknownAction(String);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was about to be done. Where an entry still says so, the process stopped before it could say what came of it:
    /// the object tells.
    Begun,
    /// It was done.
    Allowed,
    /// It was not.
    Refused,
}

impl AuditOutcome {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Allowed => "allowed",
            Self::Refused => "refused",
        }
    }
}

/// An entry of the audit log. Never holds a token, a secret, or the query of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Schema version of this document.
    pub v: Version<1>,
    /// Id, unique within the tenant.
    pub id: String,
    /// Whose log.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: AuditAction,
    /// Who: the subject of the token, `schedule:ID for SUBJECT`, `link`, `anonymous`, or the stage.
    pub actor: String,
    /// The token's own id (`jti`), where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// What it was done to, as a path below the API, such as `runs/01k…/files/export.json`.
    pub object: String,
    /// What came of it.
    pub outcome: AuditOutcome,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
    /// Status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Address of the peer: a proxy's, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Follows the request through logs and traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

impl AuditEntry {
    /// Where it stands among the entries of its tenant: by time, then by id. Also the cursor of a page.
    pub fn place(&self) -> String {
        format!("{:020}.{}", self.at.as_micros(), self.id)
    }
}
