//! Which versions Trivy can read, and which of two fixes of a distribution is the later one.

mod order;

use std::cmp::Ordering;
use std::str::FromStr as _;

pub(crate) use order::Ordered;

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

    /// The same for a bound of a range, where Trivy takes no local version of PEP 440 and would pass over the whole advisory.
    pub(crate) fn bound(self, version: &str) -> String {
        let mut written = self.written(version);
        if self == Self::Pep440 {
            written.truncate(written.find('+').unwrap_or(written.len()));
        }
        written
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
                text.split(['.', '-']).next().is_some_and(|first| first.bytes().all(|byte| byte.is_ascii_digit()))
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
                    && rest.bytes().all(|byte| plain(byte) && byte != b'_' && (byte != b'~' || self == Self::Generic))
                    && rest.matches('+').count() <= 1
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
        "alpine" | "wolfi" | "chainguard" => {
            let (a, b) = (of_apk(a), of_apk(b));
            rpm_version::Evr::parse(&a).cmp(&rpm_version::Evr::parse(&b))
        }
        _ => rpm_version::Evr::parse(a).cmp(&rpm_version::Evr::parse(b)),
    }
}

/// In apk these come before the release that they lead to, as what follows a `~` does in rpm; their order is that of their names.
fn of_apk(version: &str) -> String {
    ["alpha", "beta", "pre", "rc"]
        .iter()
        .fold(version.to_owned(), |text, name| text.replace(&format!("_{name}"), &format!("~{name}")))
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
            (
                Scheme::Semantic,
                vec!["1.2.3", "1.2", "1.2.3-alpha.1"],
                vec!["1.2.3.4", "latest", "1.x", "1.0-a~b", "1+a+b"],
            ),
            (
                Scheme::Pep440,
                vec!["1.0", "1!2.0", "2.0.0rc1", "1.0.post1", "1.0+local.1"],
                vec!["1.0-foo-bar", "abc", "1 2"],
            ),
            (Scheme::Gem, vec!["1.2.3", "1.0.0.rc1", "4.2.11.1"], vec!["a.1", "1..2", "1beta"]),
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
        assert_eq!(later("alpine", "2.0_rc1-r0", "2.0-r0"), Ordering::Less);
        assert_eq!(later("alpine", "2.0_alpha1-r0", "2.0_rc1-r0"), Ordering::Less);
        assert_eq!(later("alpine", "2.0_p1-r0", "2.0-r0"), Ordering::Greater);
        assert_eq!(later("alma", "8.7p1-38.el9_4.1", "8.7p1-38.el9"), Ordering::Greater);
    }
}
