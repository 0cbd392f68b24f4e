//! The names that tools go by.

use export_contract::profile::ProfileKind;

/// An image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image index, the form of an answer with referrers.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The configuration of what is no image: `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The annotation by which tools name the file that a layer becomes.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Artefact type of a bundle.
pub const BUNDLE: &str = "application/vnd.export-center.bundle.v1";
/// Media type of its layer.
pub const TAR: &str = "application/vnd.export-center.bundle.v1.tar";
/// Artefact type of what vouches for a bundle or database.
pub const SIGNATURES: &str = "application/vnd.export-center.signatures.v1";
/// Artefact type of the statement that a bundle or database is unchanged.
pub const REFRESH: &str = "application/vnd.export-center.refresh.v1";
/// Media type of a Sigstore bundle.
pub(crate) const SIGSTORE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Artefact type of what Trivy loads.
pub(crate) const TRIVY: &str = "application/vnd.aquasec.trivy.config.v1+json";

/// The files that vouch for a bundle, in the order of the layers, and their media types.
pub const BESIDE: [(&str, &str); 8] = [
    ("cosign.pub", "application/x-pem-file"),
    ("export.json", "application/json"),
    ("export.json.sig", "text/plain"),
    ("export.json.sigstore.json", SIGSTORE),
    ("provenance.json", "application/vnd.in-toto+json"),
    ("provenance.sigstore.json", SIGSTORE),
    ("target.json.sig", "text/plain"),
    ("target.json.sigstore.json", SIGSTORE),
];

/// What Trivy goes by: it refuses a layer of another media type, and unpacks by the ending of its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrivyLayer {
    /// Media type of the layer.
    pub media: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Path of the file in the bundle.
    pub path: &'static str,
}

/// The vulnerability database.
pub const TRIVY_DB: TrivyLayer = TrivyLayer {
    media: "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip",
    title: "db.tar.gz",
    path: "trivy/db.tar.gz",
};

/// The index of Java archives.
pub const TRIVY_JAVA_DB: TrivyLayer = TrivyLayer {
    media: "application/vnd.aquasec.trivy.javadb.layer.v1.tar+gzip",
    title: "javadb.tar.gz",
    path: "trivy/javadb.tar.gz",
};

/// The layer that Trivy wants, for the kinds that it loads.
pub fn trivy_layer(kind: ProfileKind) -> Option<TrivyLayer> {
    match kind {
        ProfileKind::TrivyDb => Some(TRIVY_DB),
        ProfileKind::TrivyJavaDb => Some(TRIVY_JAVA_DB),
        ProfileKind::JsonRaw | ProfileKind::JsonPolicy | ProfileKind::MirrorFull | ProfileKind::MirrorDelta => None,
    }
}
