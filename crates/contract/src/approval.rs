//! Approvals: what lets a run read the evidence of other tenants.
//!
//! An approval is a JSON document in a DSSE envelope (secure-systems-lab/dsse, version 1), signed by a person or a program whose key the deployment
//! lists as an approver's. It permits runs of one tenant, of one profile, with exactly its selectors, until it expires.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::selectors::SelectorRequest;
use crate::{Digest, ProfileId, TenantId, Timestamp, Version};

/// `payloadType` of the envelope.
pub const APPROVAL_TYPE: &str = "application/vnd.export-center.approval.v1+json";
/// Longest time that an approval may be valid, seconds: 90 days.
pub const MAX_APPROVAL_SECONDS: i64 = 90 * 86_400;
/// Longest reason, bytes.
pub const MAX_REASON: usize = 1_000;

/// What an approver signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// Schema version.
    pub v: Version<1>,
    /// Whose runs it permits: the tenant that gets the bundle.
    pub tenant: TenantId,
    /// Of which profile.
    pub profile_id: ProfileId,
    /// With exactly these selectors, as a request names them; `tenants` says whose evidence may be read.
    pub selectors: SelectorRequest,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// Until when a run may be submitted with it.
    pub expires_at: Timestamp,
    /// Why, for auditors.
    pub reason: String,
}

/// The approval that a run was submitted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunApproval {
    /// The name under which the deployment lists the approver.
    pub approver: String,
    /// Id of the approver's key: SHA-256 of its SPKI.
    pub key_id: String,
    /// Digest of what was signed.
    pub digest: Digest,
    /// Until when it permitted runs.
    pub expires_at: Timestamp,
    /// Why, in the approver's words.
    pub reason: String,
    /// The envelope itself, for auditors to verify.
    pub envelope: String,
}
