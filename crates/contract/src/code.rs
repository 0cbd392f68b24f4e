//! The error codes of the REST API, run records and metrics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// A stable machine-readable reason. Which HTTP status a code has is the gateway's business.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum ErrorCode { $($(#[$doc])* #[serde(rename = $text)] $name,)+ }

        impl ErrorCode {
            /// Every code, in the order of this page.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as clients see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

codes! {
    /// The profile does not exist for this tenant (the number is the published one).
    ProfileNotFound = "ERR_EXPORT_002",
    /// The request is not what the API takes: bad JSON, unknown member, bad parameter.
    InvalidRequest = "ERR_EXPORT_INVALID_REQUEST",
    /// A selector is unknown, contradictory or cannot be parsed.
    InvalidSelector = "ERR_EXPORT_INVALID_SELECTOR",
    /// The profile's configuration is not valid.
    InvalidProfile = "ERR_EXPORT_INVALID_PROFILE",
    /// A profile of that id exists already with another content.
    ProfileExists = "ERR_EXPORT_PROFILE_EXISTS",
    /// No adapter of this build makes this profile.
    ProfileUnsupported = "ERR_EXPORT_PROFILE_UNSUPPORTED",
    /// The profile asks for a schema version of its database that is not made.
    SchemaUnsupported = "ERR_EXPORT_SCHEMA_UNSUPPORTED",
    /// The request carries no token or one that is not valid.
    Unauthenticated = "ERR_EXPORT_UNAUTHENTICATED",
    /// The token lacks the scope that the endpoint needs.
    ScopeMissing = "ERR_EXPORT_SCOPE_MISSING",
    /// The tenant is missing, unknown or not the token's.
    TenantMismatch = "ERR_EXPORT_TENANT_MISMATCH",
    /// The approval does not let the caller read the evidence of other tenants, or the deployment lets nobody.
    ApprovalInvalid = "ERR_EXPORT_APPROVAL_INVALID",
    /// The run does not exist for this tenant.
    RunNotFound = "ERR_EXPORT_RUN_NOT_FOUND",
    /// The run is not in a state that allows the call.
    RunConflict = "ERR_EXPORT_RUN_CONFLICT",
    /// The run has no bundle (yet).
    NotReady = "ERR_EXPORT_NOT_READY",
    /// No such path.
    NotFound = "ERR_EXPORT_NOT_FOUND",
    /// The path exists, the method does not.
    MethodNotAllowed = "ERR_EXPORT_METHOD_NOT_ALLOWED",
    /// The body is larger than the endpoint takes.
    BodyTooLarge = "ERR_EXPORT_BODY_TOO_LARGE",
    /// The body did not come in time.
    RequestTimeout = "ERR_EXPORT_REQUEST_TIMEOUT",
    /// The body's media type is not one the endpoint reads.
    UnsupportedMedia = "ERR_EXPORT_UNSUPPORTED_MEDIA",
    /// The `Range` header names no part of the bundle.
    RangeNotSatisfiable = "ERR_EXPORT_RANGE",
    /// An `Idempotency-Key` came again with another body.
    IdempotencyMismatch = "ERR_EXPORT_IDEMPOTENCY_MISMATCH",
    /// A request with this `Idempotency-Key` is still at work.
    IdempotencyInFlight = "ERR_EXPORT_IDEMPOTENCY_IN_FLIGHT",
    /// A request with this `Idempotency-Key` was done, and its answer held a secret, which was not kept.
    IdempotencyDone = "ERR_EXPORT_IDEMPOTENCY_DONE",
    /// The resource is no longer what `If-Match` names.
    PreconditionFailed = "ERR_EXPORT_PRECONDITION",
    /// The request accepts no media type that the endpoint answers with.
    NotAcceptable = "ERR_EXPORT_NOT_ACCEPTABLE",
    /// The profile cannot be deleted: it is built in, or a schedule makes runs of it.
    ProfileInUse = "ERR_EXPORT_PROFILE_IN_USE",
    /// A quota is used up.
    Quota = "ERR_EXPORT_QUOTA",
    /// A backing store or the broker does not answer; try again.
    Unavailable = "ERR_EXPORT_UNAVAILABLE",
    /// Nothing was selected and the profile does not allow an empty export (design D11).
    Empty = "ERR_EXPORT_EMPTY",
    /// The policy snapshot that the run needs is not there.
    SnapshotMissing = "ERR_EXPORT_SNAPSHOT_MISSING",
    /// The policy snapshot, or its findings, are no longer what plan pinned.
    SnapshotChanged = "ERR_EXPORT_SNAPSHOT_CHANGED",
    /// The base export of a delta cannot be reached.
    BaseMissing = "ERR_EXPORT_BASE_MISSING",
    /// The base export of a delta is no mirror, is of another profile, or is newer than the delta would be.
    BaseMismatch = "ERR_EXPORT_BASE_MISMATCH",
    /// A source could not be read to its end.
    SourceUnreadable = "ERR_EXPORT_SOURCE_UNREADABLE",
    /// A record breaks the aggregation-only contract (design D5).
    AocViolation = "ERR_EXPORT_AOC_VIOLATION",
    /// An adapter could not write its output.
    AdapterFailed = "ERR_EXPORT_ADAPTER_FAILED",
    /// A staged artefact is missing or does not have the digest that was promised.
    ArtefactCorrupt = "ERR_EXPORT_ARTEFACT_CORRUPT",
    /// The files cannot be encrypted as the profile asks: nobody to encrypt to, or a recipient's key cannot be had.
    EncryptionFailed = "ERR_EXPORT_ENCRYPTION_FAILED",
    /// Signing failed for good, or the signature did not verify.
    SigningFailed = "ERR_EXPORT_SIGNING_FAILED",
    /// A distribution driver is not on the allowlist.
    DistributionRefused = "ERR_EXPORT_DISTRIBUTION_REFUSED",
    /// A distribution driver could not hand the bundle over.
    DistributionFailed = "ERR_EXPORT_DISTRIBUTION_FAILED",
    /// The deployment is offline, and the run would speak to a host that is not local.
    Offline = "ERR_EXPORT_OFFLINE",
    /// The bundle was there, and its retention is over.
    Pruned = "ERR_EXPORT_PRUNED",
    /// A signed link is not valid: expired, of another run, or changed.
    LinkInvalid = "ERR_EXPORT_LINK_INVALID",
    /// A stage was tried as often as it may be.
    Exhausted = "ERR_EXPORT_RETRIES_EXHAUSTED",
    /// A message could not be read by the stage it was for.
    Poisoned = "ERR_EXPORT_POISONED",
    /// The dead letter does not exist for this tenant, or is no longer kept.
    DeadLetterNotFound = "ERR_EXPORT_DEAD_LETTER_NOT_FOUND",
    /// The schedule does not exist for this tenant.
    ScheduleNotFound = "ERR_EXPORT_SCHEDULE_NOT_FOUND",
    /// A schedule of that id exists already, or was changed by another request.
    ScheduleExists = "ERR_EXPORT_SCHEDULE_EXISTS",
    /// The schedule's times, rules or limits are not valid.
    InvalidSchedule = "ERR_EXPORT_INVALID_SCHEDULE",
    /// The webhook, or the delivery of it, does not exist for this tenant.
    WebhookNotFound = "ERR_EXPORT_WEBHOOK_NOT_FOUND",
    /// The webhook was changed by another request.
    WebhookConflict = "ERR_EXPORT_WEBHOOK_CONFLICT",
    /// The webhook's address or events are not valid.
    InvalidWebhook = "ERR_EXPORT_INVALID_WEBHOOK",
    /// A defect of the system; the log has the details under the trace id.
    Internal = "ERR_EXPORT_INTERNAL",
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ErrorCode {
    type Err = UnknownCode;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

/// A text that names no [`ErrorCode`] of this build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an error code of this build")]
pub struct UnknownCode(String);
