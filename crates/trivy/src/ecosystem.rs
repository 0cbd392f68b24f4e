//! Which bucket an ecosystem goes to.

use crate::versions::Scheme;

/// A language's packages: Trivy reads every bucket `<prefix>::<anything>` and keeps, of an id that stands in two, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Language {
    /// Before the `::`.
    pub(crate) prefix: &'static str,
    /// What GitHub calls the ecosystem, as in `GitHub Security Advisory pip`.
    pub(crate) github: &'static str,
    /// How its versions are written.
    pub(crate) scheme: Scheme,
}

/// A distribution's packages: one bucket for each release, its name exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct System {
    /// Such as `debian 12`.
    pub(crate) bucket: String,
    /// Id of its data source, which is the key of its severities too.
    pub(crate) source: &'static str,
    /// What an entry looks like.
    pub(crate) style: Style,
}

/// How entries of a distribution are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A fixed version; none means that there is no fix yet.
    MayBeUnfixed,
    /// A fixed version; without one the entry would never match.
    FixedOnly,
    /// A fixed version for each architecture.
    PerArchitecture,
}

/// Where an ecosystem's advisories go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Language(Language),
    System(System),
}

const LANGUAGES: [(&str, &str, &str, Scheme); 15] = [
    ("PyPI", "pip", "pip", Scheme::Pep440),
    ("npm", "npm", "npm", Scheme::Semantic),
    ("Maven", "maven", "Maven", Scheme::Free),
    ("Go", "go", "Go", Scheme::Generic),
    ("crates.io", "cargo", "Rust", Scheme::Generic),
    ("RubyGems", "rubygems", "RubyGems", Scheme::Gem),
    ("Packagist", "composer", "Composer", Scheme::Generic),
    ("NuGet", "nuget", "NuGet", Scheme::Generic),
    ("Hex", "erlang", "Erlang", Scheme::Generic),
    ("Pub", "pub", "Pub", Scheme::Generic),
    ("SwiftURL", "swift", "Swift", Scheme::Generic),
    ("ConanCenter", "conan", "Conan", Scheme::Generic),
    ("Bitnami", "bitnami", "Bitnami", Scheme::Semantic),
    ("Julia", "julia", "Julia", Scheme::Generic),
    ("Kubernetes", "k8s", "Kubernetes", Scheme::Generic),
];

/// The place of an OSV ecosystem, such as `PyPI` or `Ubuntu:22.04:LTS`; `None` where Trivy reads no such thing.
pub(crate) fn target(ecosystem: &str) -> Option<Target> {
    let (base, release) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
    if let Some((_, prefix, github, scheme)) = LANGUAGES.iter().find(|(name, ..)| *name == base) {
        return Some(Target::Language(Language { prefix, github, scheme: *scheme }));
    }
    let system = |bucket: String, source, style| Some(Target::System(System { bucket, source, style }));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match base {
        "AlmaLinux" if number(release) => system(format!("alma {release}"), "alma", Style::FixedOnly),
        "Rocky Linux" if number(release) => system(format!("rocky {release}"), "rocky", Style::PerArchitecture),
        "Debian" if number(release) => system(format!("debian {release}"), "debian", Style::MayBeUnfixed),
        "Ubuntu" => {
            let (release, extended) = match release.strip_prefix("Pro:") {
                Some(release) => (release, "-ESM"),
                None => (release, ""),
            };
            let release = release.strip_suffix(":LTS").unwrap_or(release);
            number(release)
                .then(|| format!("ubuntu {release}{extended}"))
                .and_then(|bucket| system(bucket, "ubuntu", Style::MayBeUnfixed))
        }
        "Alpine" => {
            let release = release.strip_prefix('v').unwrap_or(release);
            number(release)
                .then(|| format!("alpine {release}"))
                .and_then(|bucket| system(bucket, "alpine", Style::FixedOnly))
        }
        "Wolfi" => system("wolfi".to_owned(), "wolfi", Style::FixedOnly),
        "Chainguard" => system("chainguard".to_owned(), "chainguard", Style::FixedOnly),
        "Photon OS" if number(release) => system(format!("Photon OS {release}"), "photon", Style::FixedOnly),
        "openSUSE" => release
            .strip_prefix("Leap ")
            .filter(|number_of| number(number_of))
            .and_then(|release| system(format!("openSUSE Leap {release}"), "suse-cvrf", Style::FixedOnly)),
        _ => None,
    }
}

/// Name and address of a data source, for its row in the `data-source` bucket.
pub(crate) fn data_source(id: &str, github: &str) -> (String, String) {
    let (name, url) = match id {
        "ghsa" => {
            let ecosystem = github.to_lowercase();
            return (
                format!("GitHub Security Advisory {github}"),
                format!("https://github.com/advisories?query=type%3Areviewed+ecosystem%3A{ecosystem}"),
            );
        }
        "govulndb" => ("The Go Vulnerability Database", "https://pkg.go.dev/vuln/"),
        "bitnami" => ("Bitnami Vulnerability Database", "https://github.com/bitnami/vulndb"),
        "alma" => ("AlmaLinux Product Errata", "https://errata.almalinux.org/"),
        "rocky" => ("Rocky Linux updateinfo", "https://errata.rockylinux.org/"),
        "debian" => ("Debian Security Tracker", "https://security-tracker.debian.org/"),
        "ubuntu" => ("Ubuntu CVE Tracker", "https://ubuntu.com/security/cves"),
        "alpine" => ("Alpine Secdb", "https://secdb.alpinelinux.org/"),
        "wolfi" => ("Wolfi Secdb", "https://packages.wolfi.dev/os/security.json"),
        "chainguard" => ("Chainguard Security Data", "https://packages.cgr.dev/chainguard/security.json"),
        "photon" => ("Photon OS CVE metadata", "https://packages.vmware.com/photon/photon_cve_metadata/"),
        "suse-cvrf" => ("SUSE CVRF", "https://ftp.suse.com/pub/projects/security/cvrf/"),
        _ => ("Open Source Vulnerabilities", "https://osv.dev/"),
    };
    (name.to_owned(), url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Target, target};

    #[test]
    fn releases_have_the_exact_bucket_that_trivy_looks_up() {
        let bucket = |ecosystem: &str| match target(ecosystem) {
            Some(Target::System(system)) => Some(system.bucket),
            Some(Target::Language(language)) => Some(language.prefix.to_owned()),
            None => None,
        };
        for (ecosystem, expected) in [
            ("AlmaLinux:9", Some("alma 9")),
            ("Rocky Linux:8", Some("rocky 8")),
            ("Debian:12", Some("debian 12")),
            ("Ubuntu:22.04:LTS", Some("ubuntu 22.04")),
            ("Ubuntu:Pro:18.04:LTS", Some("ubuntu 18.04-ESM")),
            ("Alpine:v3.19", Some("alpine 3.19")),
            ("openSUSE:Leap 15.5", Some("openSUSE Leap 15.5")),
            ("Wolfi", Some("wolfi")),
            ("Packagist:https://packages.drupal.org/8", Some("composer")),
            ("GitHub Actions", None),
            ("Debian", None),
        ] {
            assert_eq!(bucket(ecosystem).as_deref(), expected, "{ecosystem}");
        }
    }
}
