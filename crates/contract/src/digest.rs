//! Content digests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A SHA-256 content digest: always `sha256:` and 64 lower-case hex digits.
///
/// The spelling is that of the OCI image specification, so a digest can be handed to registries as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

const PREFIX: &str = "sha256:";

/// Why a text is not a [`Digest`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a digest: expected `sha256:` and 64 lower-case hex digits")]
pub struct ParseDigestError {
    found: String,
}

impl Digest {
    /// The digest whose 32 bytes are given.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let nibble = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        let hex = bytes.iter().flat_map(|byte| [nibble(byte >> 4), nibble(byte & 15)]);
        Self(PREFIX.chars().chain(hex).collect())
    }

    /// The 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or_default();
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(self.hex().as_bytes().chunks_exact(2)) {
            *byte = pair.iter().fold(0, |value, digit_text| value << 4 | digit(*digit_text));
        }
        bytes
    }

    /// The 64 hex digits without the algorithm.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix(PREFIX).unwrap_or(&self.0)
    }

    /// The whole text, algorithm first.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let good = text.strip_prefix(PREFIX).is_some_and(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if good { Ok(Self(text)) } else { Err(ParseDigestError { found: text.chars().take(80).collect() }) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn only_lower_case_sha256_is_a_digest() {
        let good = Digest::from_bytes([0xab; 32]).to_string();
        assert_eq!(good.parse::<Digest>().unwrap().hex(), "ab".repeat(32));
        for bad in
            [good.to_uppercase(), good.replace("sha256", "sha512"), good.chars().take(70).collect(), String::new()]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
