//! How old the evidence is.

use export_contract::Timestamp;
use export_contract::manifest::ExportManifest;

use crate::error::VerifyError;
use crate::policy::Policy;
use crate::refresh::Refresh;

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

/// How old the evidence is, and how long it counts as fresh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Age {
    /// Seconds since `asOf`, or since a refresh found nothing newer; by the policy's clock, if all of that is known.
    pub(crate) seconds: Option<i64>,
    /// Until when the profile calls it fresh: what the manifest says, or the refresh where that is later.
    pub(crate) fresh_until: Option<Timestamp>,
}

/// Judges the age by the policy's clock.
pub(crate) fn check(manifest: &ExportManifest, refresh: Option<&Refresh>, policy: &Policy) -> Result<Age, VerifyError> {
    let checked_at = refresh.map(|refresh| refresh.checked_at);
    // Its freshness counts from that time, so a wrong clock would make it fresh for ever.
    if checked_at.zip(policy.now).is_some_and(|(at, now)| at.as_seconds() - now.as_seconds() > SKEW) {
        return Err(VerifyError::AgeUnknown("the refresh found nothing newer at a time that is still to come"));
    }
    let fresh_until = manifest.fresh_until.max(refresh.map(|refresh| refresh.fresh_until));
    if let Some((until, now)) = fresh_until.zip(policy.now)
        && now > until
    {
        return Err(VerifyError::NotFresh(until));
    }
    // None is less than any time.
    let known = manifest.as_of.max(checked_at);
    let seconds = known.zip(policy.now).map(|(known, now)| now.as_seconds() - known.as_seconds());
    let Some(max_age) = policy.max_age_seconds else { return Ok(Age { seconds, fresh_until }) };
    let known = known.ok_or(VerifyError::AgeUnknown("export.json has no asOf, because the ledger was empty"))?;
    let age = seconds.ok_or(VerifyError::AgeUnknown("the policy has no clock"))?;
    if age < -SKEW {
        return Err(VerifyError::AgeUnknown("export.json is as of a time that is still to come"));
    }
    if age > max_age {
        return Err(match checked_at {
            Some(checked_at) => VerifyError::ConfirmedTooLongAgo { checked_at, age, max_age },
            None => VerifyError::TooOld { as_of: known, age, max_age },
        });
    }
    Ok(Age { seconds, fresh_until })
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
