//! Descriptors and manifests.

use std::collections::BTreeMap;

use export_canon::CanonError;
use export_canon::digesting::sha256;
use export_canon::jcs;
use export_contract::{Digest, TenantId, Timestamp, refresh};
use serde::Serialize;

use crate::media::{BUNDLE, EMPTY, MANIFEST, REFRESH, SIGNATURES, SIGSTORE, TAR, TITLE, TRIVY, TrivyLayer};

const CONFIG: &[u8] = b"{}";

/// Names a blob (OCI image specification, "Descriptors").
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the blob.
    pub media_type: &'static str,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Of a manifest in an index: what kind of artefact it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<&'static str>,
    /// What is said of the blob.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<&'static str, String>,
}

impl Descriptor {
    /// A blob about which nothing more is said.
    pub fn new(media_type: &'static str, digest: Digest, size: u64) -> Self {
        Self { media_type, digest, size, artifact_type: None, annotations: BTreeMap::new() }
    }

    /// The same with the name of the file that tools make of it.
    #[must_use]
    pub fn titled(mut self, title: &str) -> Self {
        self.annotations.insert(TITLE, title.to_owned());
        self
    }
}

/// The configuration of every artefact here, and its bytes.
pub fn empty_config() -> (Descriptor, &'static [u8]) {
    (Descriptor::new(EMPTY, digest_of(CONFIG), CONFIG.len() as u64), CONFIG)
}

/// What an artefact says of where it comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Which bundle: kind and variant, such as `json:raw`.
    pub profile: String,
    /// Whose evidence.
    pub tenant: TenantId,
    /// Newest observation inside; never today, so that the same evidence has the same digest.
    pub as_of: Option<Timestamp>,
}

impl Origin {
    fn annotations(&self) -> BTreeMap<&'static str, String> {
        let mut annotations = BTreeMap::from([
            ("io.stellaops.export.profile", self.profile.clone()),
            ("io.stellaops.export.tenant", self.tenant.to_string()),
        ]);
        annotations.extend(self.as_of.map(|at| ("org.opencontainers.image.created", at.to_string())));
        annotations
    }
}

/// A finished manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its bytes: RFC 8785 canonical JSON.
    pub bytes: Vec<u8>,
    /// Their digest.
    pub digest: Digest,
    /// What kind of artefact it is of.
    pub artifact_type: &'static str,
}

impl Manifest {
    /// Its descriptor, as a subject.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(MANIFEST, self.digest.clone(), self.bytes.len() as u64)
    }

    /// Its descriptor in a list of referrers, which names the artefact type (OCI distribution specification, "Listing Referrers").
    pub fn referrer(&self) -> Descriptor {
        Descriptor { artifact_type: Some(self.artifact_type), ..self.descriptor() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u8,
    media_type: &'static str,
    artifact_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
}

impl Document {
    fn new(artifact_type: &'static str, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type,
            config: empty_config().0,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    fn finish(self) -> Result<Manifest, CanonError> {
        let bytes = jcs::to_vec(&self)?;
        Ok(Manifest { digest: digest_of(&bytes), bytes, artifact_type: self.artifact_type })
    }
}

/// The manifest of a bundle, whose tar has this digest and length.
///
/// # Errors
/// When it cannot be written as canonical JSON.
pub fn bundle(origin: &Origin, tar: Digest, size: u64) -> Result<Manifest, CanonError> {
    let layer = Descriptor::new(TAR, tar, size).titled("bundle.tar");
    Document { annotations: origin.annotations(), ..Document::new(BUNDLE, vec![layer]) }.finish()
}

/// The manifest of a database as Trivy pulls it, whose archive has this digest and length.
///
/// # Errors
/// As [`bundle`].
pub fn database(origin: &Origin, layer: TrivyLayer, archive: Digest, size: u64) -> Result<Manifest, CanonError> {
    let layer = Descriptor::new(layer.media, archive, size).titled(layer.title);
    Document { annotations: origin.annotations(), ..Document::new(TRIVY, vec![layer]) }.finish()
}

/// The manifest of what vouches for `subject`: files of [`crate::BESIDE`], in that order.
///
/// # Errors
/// As [`bundle`].
pub fn signatures(subject: &Manifest, files: Vec<Descriptor>) -> Result<Manifest, CanonError> {
    Document { subject: Some(subject.descriptor()), ..Document::new(SIGNATURES, files) }.finish()
}

/// The manifest of the statement that `subject` is what a run would make now, whose file has this digest and length.
///
/// # Errors
/// As [`bundle`].
pub fn confirmation(subject: &Manifest, statement: Digest, size: u64) -> Result<Manifest, CanonError> {
    let layer = Descriptor::new(SIGSTORE, statement, size).titled(refresh::FILE);
    Document { subject: Some(subject.descriptor()), ..Document::new(REFRESH, vec![layer]) }.finish()
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*sha256(bytes).as_bytes())
}

#[cfg(test)]
mod tests {
    use export_contract::Digest;
    use export_contract::profile::ProfileKind;

    use super::{Descriptor, Origin, bundle, database, empty_config, signatures};
    use crate::{TRIVY_DB, trivy_layer};

    fn origin(kind: ProfileKind) -> Origin {
        Origin {
            profile: kind.to_string(),
            tenant: "acme".parse().unwrap(),
            as_of: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        }
    }

    /// Digests that registries and pins of others hold by now: a change here is a change for everybody who pulled.
    #[test]
    fn the_bytes_of_a_manifest_stay_what_they_were() {
        let made = bundle(&origin(ProfileKind::JsonRaw), Digest::from_bytes([7; 32]), 10).unwrap();
        assert_eq!(
            String::from_utf8(made.bytes.clone()).unwrap(),
            concat!(
                r#"{"annotations":{"io.stellaops.export.profile":"json:raw","io.stellaops.export.tenant":"acme","#,
                r#""org.opencontainers.image.created":"2026-01-01T00:00:00Z"},"#,
                r#""artifactType":"application/vnd.export-center.bundle.v1","#,
                r#""config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
                r#""mediaType":"application/vnd.oci.empty.v1+json","size":2},"layers":[{"annotations":"#,
                r#"{"org.opencontainers.image.title":"bundle.tar"},"digest":"#,
                r#""sha256:0707070707070707070707070707070707070707070707070707070707070707","#,
                r#""mediaType":"application/vnd.export-center.bundle.v1.tar","size":10}],"#,
                r#""mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}"#,
            )
        );
        let file = Descriptor::new("text/plain", Digest::from_bytes([8; 32]), 1).titled("export.json.sig");
        let vouching = signatures(&made, vec![file]).unwrap();
        let text = String::from_utf8(vouching.bytes).unwrap();
        assert!(text.contains(&format!(r#""subject":{{"digest":"{}""#, made.digest)), "{text}");
    }

    #[test]
    fn a_database_is_one_layer_that_trivy_takes() {
        let layer = trivy_layer(ProfileKind::TrivyDb).unwrap();
        assert_eq!(layer, TRIVY_DB);
        let made = database(&origin(ProfileKind::TrivyDb), layer, Digest::from_bytes([7; 32]), 10).unwrap();
        let text = String::from_utf8(made.bytes).unwrap();
        assert!(text.contains(r#""artifactType":"application/vnd.aquasec.trivy.config.v1+json""#), "{text}");
        assert!(text.contains(r#""mediaType":"application/vnd.aquasec.trivy.db.layer.v1.tar+gzip","size":10}]"#));
        assert!(trivy_layer(ProfileKind::MirrorFull).is_none());
        assert_eq!(empty_config().0.size, 2);
    }
}
