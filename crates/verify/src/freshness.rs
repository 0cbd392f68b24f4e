//! How old the evidence is.

use export_contract::manifest::ExportManifest;

use crate::error::VerifyError;
use crate::policy::Policy;

/// Seconds that clocks may differ.
const SKEW: i64 = 300;

/// A length of time for people, in its two largest units.
pub(crate) fn spoken(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.saturating_abs();
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let mut left = seconds;
    let parts = UNITS.iter().skip(largest).take(2).map(|(unit, name)| {
        let count = left / unit;
        left %= unit;
        (count, name)
    });
    let parts: Vec<String> = parts
        .enumerate()
        .filter(|(place, (count, _))| *place == 0 || *count > 0)
        .map(|(_, (count, name))| format!("{count} {name}"))
        .collect();
    format!("{sign}{}", parts.join(" "))
}

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

#[cfg(test)]
mod tests {
    use super::spoken;

    #[test]
    fn ages_are_spoken_in_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min 59 s"),
            (86_400, "1 d"),
            (86_459, "1 d"),
            (25_625_211, "296 d 14 h"),
            (-90, "-1 min 30 s"),
        ] {
            assert_eq!(spoken(seconds), text, "{seconds}");
        }
        assert!(spoken(i64::MIN).starts_with('-'));
    }
}
