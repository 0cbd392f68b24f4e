//! Checking approvals against the approvers' keys.

use std::collections::BTreeSet;

use export_canon::digesting::sha256;
use export_contract::approval::{APPROVAL_TYPE, Approval, MAX_APPROVAL_SECONDS, MAX_REASON, RunApproval};
use export_contract::selectors::SelectorRequest;
use export_contract::{Digest, ProfileId, TenantId, Timestamp};
use export_signing::PublicKey;
use export_signing::dsse::{Envelope, pre_authentication};

/// Longest envelope, bytes: lists of selectors may be long.
const MAX_ENVELOPE: usize = 1 << 20;

/// Why an approval permits nothing.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalRefused {
    /// No approver is listed, or the feature is off.
    #[error("this deployment exports no evidence of other tenants (cross_tenant.enabled)")]
    Disabled,
    /// Not an envelope with one signature, or its payload is no approval.
    #[error("the approval is not a DSSE envelope of `{APPROVAL_TYPE}` with one signature: {0}")]
    Malformed(String),
    /// No approver's key verifies the signature.
    #[error("no approver of this deployment signed the approval")]
    Stranger,
    /// Its time is over, or too long.
    #[error("the approval's time is not right: {0}")]
    Time(String),
    /// It is for something else.
    #[error("the approval is for another {what}: it says `{approved}`, the request `{asked}`")]
    Other {
        /// What differs.
        what: &'static str,
        /// What was approved.
        approved: String,
        /// What is asked for.
        asked: String,
    },
    /// The selectors are not those that were approved.
    #[error("the approval is for other selectors; they must be exactly those that were signed")]
    Selectors,
}

/// What somebody wants to do by an approval.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Whose run.
    pub tenant: &'a TenantId,
    /// Of which profile.
    pub profile: &'a str,
    /// What it reads.
    pub selectors: &'a SelectorRequest,
}

/// An approval, the bytes that were signed, and who signed them.
type Opened<'a> = (Approval, Vec<u8>, &'a (String, PublicKey));

/// Those who may approve, by name. Without any nothing is approved.
#[derive(Clone, Debug, Default)]
pub struct Approvers(Vec<(String, PublicKey)>);

impl Approvers {
    /// Approvers by name with their keys.
    pub fn new(approvers: Vec<(String, PublicKey)>) -> Self {
        Self(approvers)
    }

    /// Checks an envelope: signature first, then what it is for, at the time `now`. Gives what the run keeps of it, and the tenants whose
    /// evidence it may read.
    ///
    /// # Errors
    /// When the approval does not permit exactly what is wanted.
    pub fn check(
        &self,
        envelope: &str,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<(RunApproval, BTreeSet<TenantId>), ApprovalRefused> {
        if self.0.is_empty() {
            return Err(ApprovalRefused::Disabled);
        }
        let (approval, payload, approver) = self.opened(envelope)?;
        if approval.tenant != *wanted.tenant {
            return Err(other("tenant", &approval.tenant, wanted.tenant));
        }
        // A profile may be named by its kind.
        if wanted.profile.parse::<ProfileId>().ok().as_ref() != Some(&approval.profile_id) {
            return Err(other("profile", &approval.profile_id, &wanted.profile));
        }
        check_time(&approval, now)?;
        let tenants = approval.selectors.others(wanted.tenant);
        let tenants = tenants.map(str::parse).collect::<Result<BTreeSet<TenantId>, _>>();
        let tenants = tenants.map_err(|fault| ApprovalRefused::Malformed(format!("selectors.tenants: {fault}")))?;
        // Compared as what they mean, so that the order of a list does not matter.
        let meant = |selectors: &SelectorRequest| selectors.resolve_across(wanted.tenant, &tenants, now).ok();
        if meant(&approval.selectors).is_none_or(|approved| meant(wanted.selectors) != Some(approved)) {
            return Err(ApprovalRefused::Selectors);
        }
        let (name, key) = approver;
        let kept = RunApproval {
            approver: name.clone(),
            key_id: key.key_id(),
            digest: Digest::from_bytes(*sha256(&payload).as_bytes()),
            expires_at: approval.expires_at,
            reason: approval.reason,
            envelope: envelope.to_owned(),
        };
        Ok((kept, tenants))
    }

    /// The approval in an envelope, the bytes that were signed, and who signed them.
    fn opened(&self, envelope: &str) -> Result<Opened<'_>, ApprovalRefused> {
        let malformed = |why: &str| ApprovalRefused::Malformed(why.to_owned());
        if envelope.len() > MAX_ENVELOPE {
            return Err(malformed("it is longer than 1 MiB"));
        }
        let parsed: Envelope = serde_json::from_str(envelope).map_err(|fault| malformed(&fault.to_string()))?;
        if parsed.payload_type != APPROVAL_TYPE {
            return Err(malformed("its payloadType is another one"));
        }
        let (payload, signature) = parsed.open().ok_or_else(|| malformed("payload or signature is not base64"))?;
        let signed = pre_authentication(APPROVAL_TYPE, &payload);
        let approver = self.0.iter().find(|(_, key)| key.verify(&signed, &signature).is_ok());
        let approver = approver.ok_or(ApprovalRefused::Stranger)?;
        // Nothing of the payload is looked at before somebody vouches for it.
        let approval: Approval = serde_json::from_slice(&payload).map_err(|fault| malformed(&fault.to_string()))?;
        if approval.reason.trim().is_empty() || approval.reason.len() > MAX_REASON {
            return Err(malformed("its reason must have 1 to 1000 bytes"));
        }
        Ok((approval, payload, approver))
    }
}

fn check_time(approval: &Approval, now: Timestamp) -> Result<(), ApprovalRefused> {
    let refuse = |why: String| Err(ApprovalRefused::Time(why));
    if approval.expires_at <= now {
        return refuse(format!("it expired at {}; ask for a new one", approval.expires_at));
    }
    // Clocks of signers may be a little ahead.
    if approval.issued_at > now.plus_seconds(60) {
        return refuse(format!("it was signed at {}, which is yet to come", approval.issued_at));
    }
    if approval.expires_at > approval.issued_at.plus_seconds(MAX_APPROVAL_SECONDS) {
        return refuse("it is valid for more than 90 days".to_owned());
    }
    Ok(())
}

fn other(what: &'static str, approved: &impl ToString, asked: &impl ToString) -> ApprovalRefused {
    ApprovalRefused::Other { what, approved: approved.to_string(), asked: asked.to_string() }
}
