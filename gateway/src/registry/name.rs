//! The paths of a registry.

use std::fmt;

use export_contract::{Digest, ProfileId, TenantId};

use super::refusal::Refusal;

/// Longest path that is read: two names, a verb and a digest stay far below it.
const MAX_PATH: usize = 512;

/// A repository: the runs of one profile of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// Whose.
    pub(crate) tenant: TenantId,
    /// Which profile.
    pub(crate) profile: ProfileId,
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.profile)
    }
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Whether this is a registry, and whether it takes the caller's token.
    Base,
    /// A token.
    Token,
    /// Something of a repository.
    Of(Repository, What),
}

/// What is asked of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A manifest.
    Manifest(Reference),
    /// A blob.
    Blob(Digest),
    /// Its tags.
    Tags,
    /// What refers to a manifest.
    Referrers(Digest),
}

/// How a manifest is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// By a tag, which may be another manifest's tomorrow.
    Tag(String),
    /// By its digest.
    Digest(Digest),
}

/// Reads what comes after `/v2/`. The names of a repository are slugs, so nothing that leads elsewhere (`..`, escapes, empty names) is
/// one.
pub(crate) fn asked(path: &str) -> Result<Asked, Refusal> {
    if path.len() > MAX_PATH {
        return Err(Refusal::name_invalid());
    }
    let names: Vec<&str> = path.split('/').collect();
    match names.as_slice() {
        [""] => Ok(Asked::Base),
        ["token"] => Ok(Asked::Token),
        [tenant, profile, "manifests", reference] => {
            Ok(Asked::Of(repository(tenant, profile)?, What::Manifest(named(reference)?)))
        }
        [tenant, profile, "blobs", text] => Ok(Asked::Of(repository(tenant, profile)?, What::Blob(digest(text)?))),
        [tenant, profile, "tags", "list"] => Ok(Asked::Of(repository(tenant, profile)?, What::Tags)),
        [tenant, profile, "referrers", text] => {
            Ok(Asked::Of(repository(tenant, profile)?, What::Referrers(digest(text)?)))
        }
        // Only pushes have such paths.
        [_, _, "blobs", "uploads", ..] => Err(Refusal::read_only()),
        _ => Err(Refusal::name_unknown()),
    }
}

fn repository(tenant: &str, profile: &str) -> Result<Repository, Refusal> {
    // `json:raw` is a name of the API, not of a repository.
    if profile.contains(':') {
        return Err(Refusal::name_invalid());
    }
    match (tenant.parse(), profile.parse()) {
        (Ok(tenant), Ok(profile)) => Ok(Repository { tenant, profile }),
        _ => Err(Refusal::name_invalid()),
    }
}

fn named(reference: &str) -> Result<Reference, Refusal> {
    if reference.contains([':', '%']) {
        return digest(reference).map(Reference::Digest);
    }
    // As the specification draws a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    let bytes = reference.as_bytes();
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let good = (1..=128).contains(&bytes.len())
        && bytes.first().is_some_and(word)
        && bytes.iter().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
    if good { Ok(Reference::Tag(reference.to_owned())) } else { Err(Refusal::manifest_unknown()) }
}

fn digest(text: &str) -> Result<Digest, Refusal> {
    // A colon may come escaped; nothing else in a digest can.
    text.replacen("%3A", ":", 1).replacen("%3a", ":", 1).parse().map_err(|_| Refusal::digest_invalid())
}

#[cfg(test)]
mod tests {
    use super::{Asked, Reference, What, asked};

    #[test]
    fn paths_of_the_specification_are_read() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(asked("").unwrap(), Asked::Base);
        assert_eq!(asked("token").unwrap(), Asked::Token);
        let of = |path: &str| match asked(path).unwrap() {
            Asked::Of(repository, what) => (repository.to_string(), what),
            other => panic!("{other:?}"),
        };
        let name = "acme/trivy-db".to_owned();
        let by_digest = What::Manifest(Reference::Digest(digest.parse().unwrap()));
        assert_eq!(of("acme/trivy-db/manifests/2"), (name.clone(), What::Manifest(Reference::Tag("2".into()))));
        assert_eq!(of(&format!("acme/trivy-db/manifests/{digest}")), (name.clone(), by_digest.clone()));
        assert_eq!(of(&format!("acme/trivy-db/manifests/{}", digest.replace(':', "%3A"))), (name.clone(), by_digest));
        assert_eq!(of(&format!("acme/trivy-db/blobs/{digest}")), (name.clone(), What::Blob(digest.parse().unwrap())));
        assert_eq!(of("acme/trivy-db/tags/list"), (name.clone(), What::Tags));
        assert_eq!(of(&format!("acme/trivy-db/referrers/{digest}")), (name, What::Referrers(digest.parse().unwrap())));
        // A tenant may have any name.
        assert_eq!(of("token/blobs/tags/list"), ("token/blobs".to_owned(), What::Tags));
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let long = "a".repeat(10_000);
        for (path, code) in [
            ("_catalog", "NAME_UNKNOWN"),
            ("acme", "NAME_UNKNOWN"),
            ("/", "NAME_UNKNOWN"),
            ("acme/trivy-db", "NAME_UNKNOWN"),
            ("acme/trivy-db/manifests/", "MANIFEST_UNKNOWN"),
            ("acme/trivy-db/manifests/.hidden", "MANIFEST_UNKNOWN"),
            ("acme/trivy-db/manifests/sha512:00", "DIGEST_INVALID"),
            ("acme/trivy-db/manifests/%2e%2e", "DIGEST_INVALID"),
            ("acme/trivy-db/blobs/sha256:..", "DIGEST_INVALID"),
            ("acme/trivy-db/referrers/latest", "DIGEST_INVALID"),
            ("../acme/manifests/latest", "NAME_INVALID"),
            ("acme/../manifests/latest", "NAME_INVALID"),
            ("acme//manifests/latest", "NAME_INVALID"),
            ("acme/json:raw/manifests/latest", "NAME_INVALID"),
            ("ACME/trivy-db/manifests/latest", "NAME_INVALID"),
            ("acme/%2e%2e/manifests/latest", "NAME_INVALID"),
            ("acme/team/trivy-db/manifests/latest", "NAME_UNKNOWN"),
            (&long, "NAME_INVALID"),
            (&format!("acme/trivy-db/blobs/{}", digest.to_uppercase()), "DIGEST_INVALID"),
            ("acme/trivy-db/blobs/uploads/", "UNSUPPORTED"),
        ] {
            let refused = format!("{:?}", asked(path).unwrap_err());
            assert!(refused.contains(&format!("\"{code}\"")), "{path:.40}: {refused}");
        }
    }
}
