//! Which bucket an ecosystem goes to.

use crate::versions::Scheme;

/// A language's packages: Trivy reads every bucket `<prefix>::<anything>` and keeps, of an id that stands in two, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Language {
    /// What OSV calls it.
    pub(crate) ecosystem: &'static str,
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

const fn language(ecosystem: &'static str, prefix: &'static str, github: &'static str, scheme: Scheme) -> Language {
    Language { ecosystem, prefix, github, scheme }
}

pub(crate) const COMPOSER: Language = language("Packagist", "composer", "Composer", Scheme::Generic);
pub(crate) const MAVEN: Language = language("Maven", "maven", "Maven", Scheme::Free);
pub(crate) const NPM: Language = language("npm", "npm", "npm", Scheme::Semantic);
pub(crate) const RUBY_GEMS: Language = language("RubyGems", "rubygems", "RubyGems", Scheme::Gem);

const LANGUAGES: [Language; 15] = [
    language("PyPI", "pip", "pip", Scheme::Pep440),
    NPM,
    MAVEN,
    language("Go", "go", "Go", Scheme::Generic),
    language("crates.io", "cargo", "Rust", Scheme::Generic),
    RUBY_GEMS,
    COMPOSER,
    language("NuGet", "nuget", "NuGet", Scheme::Generic),
    language("Hex", "erlang", "Erlang", Scheme::Generic),
    language("Pub", "pub", "Pub", Scheme::Generic),
    language("SwiftURL", "swift", "Swift", Scheme::Generic),
    language("ConanCenter", "conan", "Conan", Scheme::Generic),
    language("Bitnami", "bitnami", "Bitnami", Scheme::Semantic),
    language("Julia", "julia", "Julia", Scheme::Generic),
    language("Kubernetes", "k8s", "Kubernetes", Scheme::Generic),
];

/// The scheme of the versions in buckets of `prefix`.
pub(crate) fn scheme(prefix: &str) -> Option<Scheme> {
    LANGUAGES.iter().find(|language| language.prefix == prefix).map(|language| language.scheme)
}

/// The place of an OSV ecosystem, such as `PyPI` or `Ubuntu:22.04:LTS`; `None` where Trivy reads no such thing.
pub(crate) fn target(ecosystem: &str) -> Option<Target> {
    let (base, release) = ecosystem.split_once(':').unwrap_or((ecosystem, ""));
    if let Some(language) = LANGUAGES.iter().find(|language| language.ecosystem == base) {
        return Some(Target::Language(*language));
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
        "MinimOS" => system("minimos".to_owned(), "minimos", Style::FixedOnly),
        "Echo" => system("echo".to_owned(), "echo", Style::FixedOnly),
        // Trivy's buckets have the minor version, too.
        "Azure Linux" => match release {
            "2" | "2.0" => system("CBL-Mariner 2.0".to_owned(), "cbl-mariner", Style::MayBeUnfixed),
            "3" | "3.0" => system("Azure Linux 3.0".to_owned(), "azure", Style::MayBeUnfixed),
            _ => None,
        },
        "openSUSE" if release == "Tumbleweed" => {
            system("openSUSE Tumbleweed".to_owned(), "suse-cvrf", Style::FixedOnly)
        }
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
        "julia" => ("Julia Ecosystem Security Advisories", "https://github.com/JuliaLang/SecurityAdvisories.jl"),
        "ruby-advisory-db" => ("Ruby Advisory Database", "https://github.com/rubysec/ruby-advisory-db"),
        "php-security-advisories" => {
            ("PHP Security Advisories Database", "https://github.com/FriendsOfPHP/security-advisories")
        }
        "nodejs-security-wg" => ("Node.js Ecosystem Security Working Group", "https://github.com/nodejs/security-wg"),
        "project-kb" => ("SAP Project KB", "https://github.com/SAP/project-kb"),
        "minimos" => ("MinimOS Security Data", "https://packages.mini.dev/advisories/secdb/security.json"),
        "echo" => ("Echo", "https://advisory.echohq.com/data.json"),
        "azure" => ("Azure Linux Vulnerability Data", "https://github.com/microsoft/AzureLinuxVulnerabilityData"),
        "cbl-mariner" => ("CBL-Mariner Vulnerability Data", "https://github.com/microsoft/AzureLinuxVulnerabilityData"),
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
            ("openSUSE:Tumbleweed", Some("openSUSE Tumbleweed")),
            ("Azure Linux:3", Some("Azure Linux 3.0")),
            ("MinimOS", Some("minimos")),
            ("Alpaquita:stream", None),
            ("CleanStart", None),
            ("Alpine", None),
            ("Red Hat:enterprise_linux:9::baseos", None),
            ("Wolfi", Some("wolfi")),
            ("Packagist:https://packages.drupal.org/8", Some("composer")),
            ("GitHub Actions", None),
            ("Debian", None),
        ] {
            assert_eq!(bucket(ecosystem).as_deref(), expected, "{ecosystem}");
        }
    }
}
