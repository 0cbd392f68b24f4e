//! Package URLs (<https://github.com/package-url/purl-spec>) as far as import needs them: recognising one,
//! naming its ecosystem, and building one from an ecosystem and a package name.

/// Types of purls and the ecosystems of the OSV schema they belong to, in lower case. A type that is not
/// listed is its own ecosystem. Distribution packages are named by their namespace, see [`DISTRIBUTIONS`].
const ECOSYSTEMS: [(&str, &str); 17] = [
    ("bitnami", "bitnami"),
    ("brew", "homebrew"),
    ("cargo", "crates.io"),
    ("composer", "packagist"),
    ("conan", "conancenter"),
    ("cran", "cran"),
    ("gem", "rubygems"),
    ("golang", "go"),
    ("hackage", "hackage"),
    ("hex", "hex"),
    ("julia", "julia"),
    ("maven", "maven"),
    ("npm", "npm"),
    ("nuget", "nuget"),
    ("pub", "pub"),
    ("pypi", "pypi"),
    ("swift", "swifturl"),
];

/// Namespaces of `deb`, `rpm` and `apk` purls and the ecosystems of the OSV schema, in lower case. A
/// namespace that is not listed is its own ecosystem.
const DISTRIBUTIONS: [(&str, &str); 7] = [
    ("almalinux", "almalinux"),
    ("opensuse", "opensuse"),
    ("photon", "photon os"),
    ("redhat", "red hat"),
    ("rhel", "red hat"),
    ("rocky", "rocky linux"),
    ("sles", "suse"),
];

/// Whether `text` begins as a purl does: `pkg:`, a type, a slash or more.
pub(crate) fn is_purl(text: &str) -> bool {
    parts(text).is_some()
}

/// Type and the rest, leading slashes (`pkg://npm/...`) left out.
fn parts(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("pkg:")?.trim_start_matches('/');
    let (kind, rest) = rest.split_once('/')?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-');
    (!kind.is_empty() && kind.chars().all(good) && !rest.is_empty()).then_some((kind, rest))
}

/// The ecosystem of a purl, in lower case.
pub(crate) fn ecosystem(purl: &str) -> Option<String> {
    let (kind, rest) = parts(purl)?;
    let kind = kind.to_ascii_lowercase();
    if matches!(kind.as_str(), "deb" | "rpm" | "apk") {
        let path = rest.split(['@', '?', '#']).next().unwrap_or(rest);
        let Some((namespace, _)) = path.split_once('/') else {
            return Some(kind);
        };
        let namespace = namespace.to_lowercase();
        return Some(lookup(&DISTRIBUTIONS, &namespace).map_or(namespace, str::to_owned));
    }
    Some(lookup(&ECOSYSTEMS, &kind).map_or(kind, str::to_owned))
}

fn lookup(table: &[(&'static str, &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(found, _)| *found == key).map(|(_, value)| *value)
}

/// The purl of a package that an advisory names by an ecosystem of the OSV schema (lower case, no suffix) and
/// a name.
///
/// Half of the advisories name no purl; without this a selector on products would pass over them. Only
/// ecosystems whose names map to a purl by the purl specification alone are served; distributions are not.
pub(crate) fn from_package(ecosystem: &str, name: &str) -> Option<String> {
    let name = name.trim();
    let kind = ECOSYSTEMS.iter().find(|(_, found)| *found == ecosystem).map(|(kind, _)| *kind)?;
    let path = match kind {
        "maven" => name.replacen(':', "/", 1),
        "pypi" => name.to_lowercase().replace('_', "-"),
        "composer" | "hex" | "bitnami" => name.to_lowercase(),
        "conan" | "julia" | "brew" => return None,
        _ => name.to_owned(),
    };
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(encode).collect();
    (!parts.is_empty()).then(|| format!("pkg:{kind}/{}", parts.join("/")))
}

/// Percent-encodes a segment: everything but unreserved characters and the colon, by UTF-8 bytes.
fn encode(segment: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(out, "%{byte:02X}").unwrap_or_default();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{ecosystem, from_package, is_purl};

    #[test]
    fn purls_name_their_ecosystem() {
        let cases = [
            ("pkg:npm/%40a/b@1.0.0", "npm"),
            ("pkg:golang/golang.org/x/net@v0.26.0", "go"),
            ("pkg:maven/org.apache/x@1?type=jar", "maven"),
            ("pkg:gem/rails", "rubygems"),
            ("pkg:cargo/serde", "crates.io"),
            ("pkg:deb/debian/curl@7.50.3-1?arch=i386", "debian"),
            ("pkg:rpm/redhat/openssl@3.0", "red hat"),
            ("pkg:rpm/openssl@3.0", "rpm"),
            ("pkg:apk/alpine/curl", "alpine"),
            ("pkg:oci/trivy@sha256%3Aabc", "oci"),
            ("pkg://NPM/x", "npm"),
        ];
        for (purl, expected) in cases {
            assert_eq!(ecosystem(purl).as_deref(), Some(expected), "{purl}");
        }
        for bad in ["package-lock.json", "pkg:", "pkg:npm", "pkg:npm/", "pkg:a b/c", "PKG:npm/x"] {
            assert!(!is_purl(bad), "{bad}");
        }
    }

    #[test]
    fn packages_become_purls_where_the_mapping_is_certain() {
        let cases = [
            ("npm", "@scope/name", Some("pkg:npm/%40scope/name")),
            ("go", "github.com/gin-gonic/gin", Some("pkg:golang/github.com/gin-gonic/gin")),
            ("maven", "org.apache:log4j", Some("pkg:maven/org.apache/log4j")),
            ("pypi", "Flask_Login", Some("pkg:pypi/flask-login")),
            ("almalinux", "firefox", None),
            ("npm", "", None),
        ];
        for (ecosystem, name, expected) in cases {
            assert_eq!(from_package(ecosystem, name).as_deref(), expected, "{ecosystem} {name}");
        }
    }
}
