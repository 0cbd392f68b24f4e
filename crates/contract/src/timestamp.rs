//! Points in time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A point in time, UTC, to the microsecond. Written as RFC 3339 with `Z` and no more fractional digits than it needs.
///
/// An offset in the input is converted, digits past the microsecond are cut, so that equal instants have equal texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(jiff::Timestamp);

/// Why a text or number is not a [`Timestamp`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{found}` is not an RFC 3339 time such as 2026-01-31T12:00:00Z")]
pub struct ParseTimestampError {
    found: String,
    #[source]
    cause: jiff::Error,
}

impl Timestamp {
    /// The instant `micros` microseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// When the instant lies outside the years -9999 to 9999.
    pub fn from_micros(micros: i64) -> Result<Self, ParseTimestampError> {
        jiff::Timestamp::from_microsecond(micros)
            .map(Self)
            .map_err(|cause| ParseTimestampError { found: micros.to_string(), cause })
    }

    /// Microseconds since 1970-01-01T00:00:00Z; orders as the instants do.
    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded towards zero.
    pub fn as_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// This instant moved by `seconds`; stays where it is when the result cannot be represented.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        self.0.checked_add(jiff::SignedDuration::from_secs(seconds)).map_or(self, Self)
    }
}

impl From<std::time::SystemTime> for Timestamp {
    /// The clock's reading, cut to the microsecond. Readings outside jiff's range become the epoch.
    fn from(time: std::time::SystemTime) -> Self {
        let micros = jiff::Timestamp::try_from(time).map_or(0, jiff::Timestamp::as_microsecond);
        Self(jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |cause| ParseTimestampError { found: text.chars().take(64).collect(), cause };
        let parsed: jiff::Timestamp = text.parse().map_err(error)?;
        jiff::Timestamp::from_microsecond(parsed.as_microsecond()).map(Self).map_err(error)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = ParseTimestampError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn offsets_and_digits_past_the_microsecond_do_not_make_two_texts_of_one_instant() {
        let a: Timestamp = "2025-03-01T12:00:00.123456789-06:00".parse().unwrap();
        let b: Timestamp = "2025-03-01T18:00:00.123456Z".parse().unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "2025-03-01T18:00:00.123456Z");
        assert_eq!("2025-03-01T18:00:00Z".parse::<Timestamp>().unwrap().to_string(), "2025-03-01T18:00:00Z");
        assert!("2025-03-01 18:00".parse::<Timestamp>().is_err());
    }
}
