//! The name under which a scanner looks a package up.

use std::str::FromStr as _;

use packageurl::PackageUrl;

/// The qualifier that belongs to an OCI artefact's name.
const REPOSITORY_URL: &str = "repository_url";

/// A purl without version, qualifiers and subpath; of an OCI artefact with the repository that it is in (VEX Repository Specification 0.1,
/// section 3.2). None where the text is no purl.
pub fn package_of(purl: &str) -> Option<String> {
    let found = PackageUrl::from_str(purl).ok()?;
    let mut package = PackageUrl::new(found.ty().to_owned(), found.name().to_owned()).ok()?;
    if let Some(namespace) = found.namespace() {
        package.with_namespace(namespace.to_owned()).ok()?;
    }
    if found.ty() == "oci"
        && let Some(repository) = found.qualifiers().get(REPOSITORY_URL)
    {
        package.add_qualifier(REPOSITORY_URL, repository.to_string()).ok()?;
    }
    Some(package.to_string())
}

#[cfg(test)]
mod tests {
    use super::package_of;

    #[test]
    fn a_package_is_its_purl_without_what_tells_its_builds_apart() {
        for (purl, expected) in [
            ("pkg:npm/%40scope/name@1.0.0?x=y#sub/path", Some("pkg:npm/%40scope/name")),
            ("pkg:golang/github.com/a/b@v1.2.3", Some("pkg:golang/github.com/a/b")),
            ("pkg:pypi/Some_Package@1", Some("pkg:pypi/some-package")),
            (
                "pkg:oci/app@sha256:ab?repository_url=ghcr.io/org/app&tag=1&arch=amd64",
                // Encoded as scanners write it.
                Some("pkg:oci/app?repository_url=ghcr.io%2Forg%2Fapp"),
            ),
            ("pkg:oci/app@sha256:ab", Some("pkg:oci/app")),
            ("https://example.org/product", None),
            ("pkg:npm", None),
            ("", None),
        ] {
            assert_eq!(package_of(purl).as_deref(), expected, "{purl}");
        }
    }
}
