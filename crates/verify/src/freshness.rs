//! How old the evidence is.

use export_contract::manifest::ExportManifest;

use crate::error::VerifyError;
use crate::policy::Policy;

/// Seconds that clocks may differ.
const SKEW: i64 = 300;

/// The age in seconds by the policy's clock, if both times are known.
pub(crate) fn check(manifest: &ExportManifest, policy: &Policy) -> Result<Option<i64>, VerifyError> {
    if let Some((until, now)) = manifest.fresh_until.zip(policy.now)
        && now > until
    {
        return Err(VerifyError::NotFresh(until));
    }
    let age = manifest.as_of.zip(policy.now).map(|(as_of, now)| now.as_seconds() - as_of.as_seconds());
    let Some(max_age) = policy.max_age_seconds else { return Ok(age) };
    let as_of =
        manifest.as_of.ok_or(VerifyError::AgeUnknown("export.json has no asOf, because the ledger was empty"))?;
    let age = age.ok_or(VerifyError::AgeUnknown("the policy has no clock"))?;
    if age < -SKEW {
        return Err(VerifyError::AgeUnknown("export.json is as of a time that is still to come"));
    }
    if age > max_age {
        return Err(VerifyError::TooOld { as_of, age, max_age });
    }
    Ok(Some(age))
}
