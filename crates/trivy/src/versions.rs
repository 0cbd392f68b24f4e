//! Which versions Trivy can read, and which of two fixes of a distribution is the later one.

use std::cmp::Ordering;
use std::str::FromStr as _;

/// How versions of an ecosystem are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Any number of parts, then what follows a `-` or `+`.
    Generic,
    /// Three parts at most.
    Semantic,
    /// PEP 440.
    Pep440,
    /// `RubyGems`: parts of digits or letters.
    Gem,
    /// Maven takes any text.
    Free,
}

/// Digits of one number: Trivy reads them into 64 bits.
const MAX_DIGITS: usize = 18;

impl Scheme {
    /// `version` as it is written into a bound. Trivy does not read every spelling that PEP 440 allows (`1.0-Alpha1`), but every
    /// normalised one.
    pub(crate) fn written(self, version: &str) -> String {
        match self {
            Self::Pep440 => {
                pep440_rs::Version::from_str(version).map_or_else(|_| version.to_owned(), |v| v.to_string())
            }
            _ => version.to_owned(),
        }
    }

    /// Whether Trivy reads `text` as a version. One bound that it cannot read makes it pass over the whole advisory with no more
    /// than a warning, so such a bound must never be written.
    pub(crate) fn reads(self, text: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'~' | b'_');
        if text.is_empty() || text.len() > 256 || !text.bytes().all(|byte| plain(byte) || byte == b'!') {
            return false;
        }
        match self {
            Self::Pep440 => pep440_rs::Version::from_str(text).is_ok(),
            Self::Free => text.bytes().all(plain) && text.starts_with(|first: char| first.is_ascii_alphanumeric()),
            Self::Gem => {
                text.starts_with(|first: char| first.is_ascii_digit())
                    && text
                        .split(['.', '-'])
                        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()) && short(part))
            }
            Self::Generic | Self::Semantic => {
                let text = text.strip_prefix('v').unwrap_or(text);
                let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
                let (release, rest) = text.split_at(end);
                let parts: Vec<&str> = release.split('.').collect();
                parts.iter().all(|part| !part.is_empty() && part.len() <= MAX_DIGITS)
                    && (self == Self::Generic || parts.len() <= 3)
                    && rest.bytes().all(|byte| plain(byte) && byte != b'_')
                    && (rest.is_empty()
                        || rest.starts_with(['-', '+']) && rest.len() > 1
                        || self == Self::Generic && rest.starts_with(|first: char| first.is_ascii_alphabetic()))
            }
        }
    }
}

fn short(part: &str) -> bool {
    !part.bytes().all(|byte| byte.is_ascii_digit()) || part.len() <= MAX_DIGITS
}

/// The order of two versions of a distribution's packages; of texts that are none, their order as texts.
pub(crate) fn later(source: &str, a: &str, b: &str) -> Ordering {
    match source {
        "debian" | "ubuntu" => match (debversion::Version::from_str(a), debversion::Version::from_str(b)) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => a.cmp(b),
        },
        _ => rpm_version::Evr::parse(a).cmp(&rpm_version::Evr::parse(b)),
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::{Scheme, later};

    #[test]
    fn what_trivy_cannot_read_is_not_taken_for_a_version() {
        for (scheme, good, bad) in [
            (
                Scheme::Generic,
                vec!["1", "1.2.3.4", "v1.2.3", "1.0.0-rc.1", "1.0+build", "1.0rc1"],
                vec!["", "a", "1..2", "1.2 || 3", "1,2", "9999999999999999999"],
            ),
            (Scheme::Semantic, vec!["1.2.3", "1.2", "1.2.3-alpha.1"], vec!["1.2.3.4", "latest", "1.x"]),
            (
                Scheme::Pep440,
                vec!["1.0", "1!2.0", "2.0.0rc1", "1.0.post1", "1.0+local.1"],
                vec!["1.0-foo-bar", "abc", "1 2"],
            ),
            (Scheme::Gem, vec!["1.2.3", "1.0.0.rc1", "4.2.11.1"], vec!["a.1", "1..2"]),
            (Scheme::Free, vec!["4.1.107.Final", "2.0-jre"], vec!["[1,2)", ">1", ""]),
        ] {
            assert!(good.iter().all(|text| scheme.reads(text)), "{scheme:?}");
            assert_eq!(bad.iter().filter(|text| scheme.reads(text)).count(), 0, "{scheme:?}");
        }
    }

    #[test]
    fn the_later_fix_is_told_as_the_distribution_does() {
        assert_eq!(later("debian", "1:9.2p1-2+deb12u3", "1:9.2p1-2+deb12u10"), Ordering::Less);
        assert_eq!(later("debian", "1.0~rc1-1", "1.0-1"), Ordering::Less);
        assert_eq!(later("alma", "8.7p1-38.el9_4.1", "8.7p1-38.el9"), Ordering::Greater);
    }
}
