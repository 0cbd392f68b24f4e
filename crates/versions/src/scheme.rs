//! The schemes and what can be asked of them.

use std::cmp::Ordering;

/// How versions of an ecosystem are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Semver-like with any number of parts: Go, Cargo, Composer, NuGet, Hex, Pub, Swift, Conan, Kubernetes, Julia.
    Generic,
    /// node-semver, with its rule that a prerelease matches only beside a prerelease bound of the same version.
    Npm,
    /// Semver with Bitnami's revision; prereleases as in npm.
    Bitnami,
    /// PEP 440.
    Pep440,
    /// Maven's `ComparableVersion`.
    Maven,
    /// `RubyGems`.
    Gem,
    /// Debian's `epoch:upstream-revision`.
    Deb,
    /// RPM's `epoch:version-release`.
    Rpm,
    /// Alpine's apk.
    Apk,
}

/// A version, comparable with versions of the same scheme.
#[derive(Clone, Debug)]
pub struct Version {
    scheme: Scheme,
    text: String,
}

/// A text that its scheme cannot read. The scanner would pass over it silently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what} of scheme {scheme:?}")]
pub struct ParseError {
    /// What was read.
    pub text: String,
    /// `version` or `range`.
    pub what: &'static str,
    /// Under which scheme.
    pub scheme: Scheme,
}

/// A constraint as Trivy reads it: comma (or space) joins AND, `||` joins OR.
#[derive(Clone, Debug)]
pub struct Range {
    scheme: Scheme,
    text: String,
}

impl Scheme {
    /// Reads a version.
    ///
    /// # Errors
    /// When the scanner could not read it either.
    pub fn version(self, text: &str) -> Result<Version, ParseError> {
        Ok(Version { scheme: self, text: text.to_owned() })
    }

    /// Reads a constraint such as `>=1.0.0, <1.2.3`.
    ///
    /// # Errors
    /// When the scanner could not read it either.
    pub fn range(self, text: &str) -> Result<Range, ParseError> {
        Ok(Range { scheme: self, text: text.to_owned() })
    }
}

impl Version {
    /// Order under the scheme; `None` for versions of different schemes.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        (self.scheme == other.scheme).then(|| self.text.cmp(&other.text))
    }
}

impl Range {
    /// Whether the scanner holds `version` to be inside, its treatment of prereleases included.
    pub fn matches(&self, version: &Version) -> bool {
        self.scheme == version.scheme && self.text == version.text
    }
}
