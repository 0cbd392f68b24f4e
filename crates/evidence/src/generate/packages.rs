//! The packages that all synthetic documents speak of.

use super::random::Random;

/// Names per ecosystem; few enough that documents meet in the same package.
const NAMES: u64 = 2_000;

/// Ecosystem of the OSV schema, and the beginning of its purls.
const ECOSYSTEMS: [(&str, &str); 10] = [
    ("npm", "pkg:npm/"),
    ("PyPI", "pkg:pypi/"),
    ("Go", "pkg:golang/example.org/syn/"),
    ("Maven", "pkg:maven/org.example.syn/"),
    ("crates.io", "pkg:cargo/"),
    ("RubyGems", "pkg:gem/"),
    ("NuGet", "pkg:nuget/"),
    ("Packagist", "pkg:composer/syn/"),
    ("Debian:12", "pkg:deb/debian/"),
    ("Alpine:v3.20", "pkg:apk/alpine/"),
];

/// A package.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) ecosystem: &'static str,
    /// Name as the ecosystem writes it.
    pub(super) name: String,
    /// Purl without version.
    pub(super) purl: String,
}

impl Package {
    pub(super) fn any(random: &mut Random) -> Self {
        let (ecosystem, prefix) = *random.one_of(&ECOSYSTEMS);
        let short = format!("syn-package-{:04}", random.below(NAMES));
        let name = match ecosystem {
            "Go" => format!("example.org/syn/{short}"),
            "Maven" => format!("org.example.syn:{short}"),
            "Packagist" => format!("syn/{short}"),
            _ => short.clone(),
        };
        Self { ecosystem, name, purl: format!("{prefix}{short}") }
    }

    pub(super) fn range_type(&self) -> &'static str {
        if matches!(self.ecosystem, "npm" | "Go" | "crates.io") { "SEMVER" } else { "ECOSYSTEM" }
    }
}

/// A version number.
pub(super) fn version(random: &mut Random) -> String {
    format!("{}.{}.{}", random.below(9), random.below(30), random.below(20))
}
