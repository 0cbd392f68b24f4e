//! Names that processes exchange, each parsed once into its own type.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {what}: {rule}")]
pub struct ParseIdError {
    what: &'static str,
    found: String,
    rule: &'static str,
}

impl ParseIdError {
    fn new(what: &'static str, found: &str, rule: &'static str) -> Self {
        Self { what, found: found.chars().take(80).collect(), rule }
    }
}

const SLUG_RULE: &str = "use 1 to 64 lower-case letters, digits and inner hyphens";

fn is_slug(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letter = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=64).contains(&bytes.len())
        && bytes.iter().all(|b| letter(b) || *b == b'-')
        && bytes.first().is_some_and(letter)
        && bytes.last().is_some_and(letter)
}

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// A tenant: a slug, so that it can stand in subjects, paths, bucket prefixes and repository names as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

text_id!(TenantId);

impl TryFrom<String> for TenantId {
    type Error = ParseIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_slug(&text) { Ok(Self(text)) } else { Err(ParseIdError::new("tenant", &text, SLUG_RULE)) }
    }
}

/// A profile of a tenant: a slug. The spelling `json:raw` is accepted and means `json-raw`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileId(String);

text_id!(ProfileId);

impl TryFrom<String> for ProfileId {
    type Error = ParseIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let slug = text.replacen(':', "-", 1);
        if is_slug(&slug) { Ok(Self(slug)) } else { Err(ParseIdError::new("profile", &text, SLUG_RULE)) }
    }
}

/// A schedule of a tenant: a slug.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleId(String);

text_id!(ScheduleId);

impl TryFrom<String> for ScheduleId {
    type Error = ParseIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_slug(&text) { Ok(Self(text)) } else { Err(ParseIdError::new("schedule", &text, SLUG_RULE)) }
    }
}

/// A webhook of a tenant: a slug.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookId(String);

text_id!(WebhookId);

impl TryFrom<String> for WebhookId {
    type Error = ParseIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_slug(&text) { Ok(Self(text)) } else { Err(ParseIdError::new("webhook", &text, SLUG_RULE)) }
    }
}

/// An export run: a ULID in lower case, so that ids sort by the time they were made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

text_id!(RunId);

impl RunId {
    /// The id of a run that is made at `millis` (milliseconds since 1970) with 80 random bits.
    #[must_use]
    pub fn from_parts(millis: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(millis, random).to_string().to_ascii_lowercase())
    }

    /// The 128 bits of the id.
    pub fn bits(&self) -> u128 {
        ulid::Ulid::from_string(&self.0).map_or(0, u128::from)
    }

    /// When the id was made, by the clock of whoever made it.
    pub fn made_at(&self) -> crate::Timestamp {
        let millis = ulid::Ulid::from_string(&self.0).map_or(0, |ulid| ulid.timestamp_ms());
        let micros = i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000);
        crate::Timestamp::from_micros(micros).unwrap_or(crate::Timestamp::from(std::time::UNIX_EPOCH))
    }
}

impl TryFrom<String> for RunId {
    type Error = ParseIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let good = text.len() == 26
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && ulid::Ulid::from_string(&text).is_ok();
        if good {
            Ok(Self(text))
        } else {
            Err(ParseIdError::new("run id", &text, "use the 26 lower-case letters and digits of a ULID"))
        }
    }
}

/// How often a run was started anew: 1 at first, one more for every replay (design D19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The generation of a run that was never replayed.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Generation {
    /// As it stands in subjects and staging keys: `g1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

impl FromStr for Generation {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('g')
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| ParseIdError::new("generation", text, "use `g` and a number"))
    }
}

/// Number of a part of a run, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PartIndex(pub u32);

impl fmt::Display for PartIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{ProfileId, RunId, TenantId};

    #[test]
    fn a_tenant_that_would_break_a_subject_or_a_path_is_refused() {
        for bad in ["", "a.b", "a/b", "A", "-a", "a-", "*", ">", "a b", "ü", &"a".repeat(65)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert_eq!("acme-eu-1".parse::<TenantId>().unwrap().as_str(), "acme-eu-1");
    }

    #[test]
    fn a_profile_may_be_spelled_with_a_colon() {
        assert_eq!("json:raw".parse::<ProfileId>().unwrap().as_str(), "json-raw");
        assert!("json:raw:x".parse::<ProfileId>().is_err());
    }

    #[test]
    fn run_ids_are_lower_case_and_sort_by_time() {
        let early = RunId::from_parts(1_000, u128::MAX >> 48);
        let late = RunId::from_parts(1_001, 0);
        assert!(early < late);
        assert_eq!(early.as_str().parse::<RunId>().unwrap(), early);
        assert!(early.as_str().to_uppercase().parse::<RunId>().is_err());
    }
}
