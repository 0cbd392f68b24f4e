//! `exportctl bundle pack --oci`: a bundle as an OCI image layout (OCI image specification 1.1), which `verify` and registries' tools take.
//!
//! The tar is the one layer of a manifest; what vouches for it are the layers of a second one whose subject is the first (design D21).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use export_canon::digesting::{DigestingReader, sha256};
use export_canon::jcs;
use export_verify::Members;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::verify::failed;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// What the artefact is.
const BUNDLE: &str = "application/vnd.export-center.bundle.v1";
/// What its layer is.
const TAR: &str = "application/vnd.export-center.bundle.v1.tar";
/// What vouches for it.
const SIGNATURES: &str = "application/vnd.export-center.signatures.v1";
/// The files beside the tar and their media types.
const BESIDE: [(&str, &str); 8] = [
    ("cosign.pub", "application/x-pem-file"),
    ("export.json", "application/json"),
    ("export.json.sig", "text/plain"),
    ("export.json.sigstore.json", "application/vnd.dev.sigstore.bundle.v0.3+json"),
    ("provenance.json", "application/vnd.in-toto+json"),
    ("provenance.sigstore.json", "application/vnd.dev.sigstore.bundle.v0.3+json"),
    ("target.json.sig", "text/plain"),
    ("target.json.sigstore.json", "application/vnd.dev.sigstore.bundle.v0.3+json"),
];

/// Writes the bundle in `folder` as a layout in the new folder `out`. The same files make the same bytes.
pub(crate) fn pack(folder: &Path, out: &Path) -> Result<Exit, Failure> {
    let manifest = Members::open(folder).map_err(failed)?.manifest().clone();
    let layout = Layout { out: out.to_owned() };
    fs::create_dir(out).map_err(|cause| Failure::File { act: "make", path: out.to_owned(), cause })?;
    let blobs = out.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|cause| Failure::File { act: "make", path: blobs, cause })?;
    let empty = layout.bytes(b"{}", EMPTY)?;
    let bundle = titled(layout.file(&folder.join("bundle.tar"), TAR)?, "bundle.tar");
    let mut annotations = json!({
        "io.stellaops.export.profile": format!("{}:{}", manifest.profile.kind, manifest.profile.variant),
        "io.stellaops.export.tenant": manifest.tenant,
    });
    // Of what is observed and never of today: a second call makes the same digest.
    if let (Some(as_of), Some(members)) = (manifest.as_of, annotations.as_object_mut()) {
        members.insert("org.opencontainers.image.created".to_owned(), json!(as_of));
    }
    let image = layout.manifest(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": BUNDLE,
        "config": empty,
        "layers": [bundle],
        "annotations": annotations,
    }))?;
    let mut layers = Vec::new();
    for (name, media) in BESIDE {
        let path = folder.join(name);
        if path.is_file() {
            layers.push(titled(layout.file(&path, media)?, name));
        }
    }
    let signatures = layout.manifest(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": SIGNATURES,
        "config": empty,
        "layers": layers,
        "subject": image,
    }))?;
    layout.write("index.json", &json!({ "schemaVersion": 2, "manifests": [image, signatures] }))?;
    layout.write("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    Ok(Exit::Ok)
}

struct Layout {
    out: PathBuf,
}

impl Layout {
    fn blob(&self, hex: &str) -> PathBuf {
        self.out.join("blobs/sha256").join(hex)
    }

    fn bytes(&self, bytes: &[u8], media: &str) -> Result<Value, Failure> {
        let hex = sha256(bytes).hex();
        let path = self.blob(&hex);
        fs::write(&path, bytes).map_err(|cause| Failure::File { act: "write", path, cause })?;
        Ok(json!({ "mediaType": media, "digest": format!("sha256:{hex}"), "size": bytes.len() }))
    }

    fn manifest(&self, manifest: &Value) -> Result<Value, Failure> {
        self.bytes(&canonical(manifest, &self.out)?, MANIFEST)
    }

    fn write(&self, name: &str, document: &Value) -> Result<(), Failure> {
        let path = self.out.join(name);
        fs::write(&path, canonical(document, &path)?).map_err(|cause| Failure::File { act: "write", path, cause })
    }

    /// Copies a file to where its digest says.
    fn file(&self, from: &Path, media: &str) -> Result<Value, Failure> {
        let failed = |act, path: &Path| {
            let path = path.to_owned();
            move |cause| Failure::File { act, path, cause }
        };
        let partial = self.out.join("blobs/partial");
        let mut reader = DigestingReader::new(File::open(from).map_err(failed("read", from))?);
        let mut writer = File::create(&partial).map_err(failed("write", &partial))?;
        let size = io::copy(&mut reader, &mut writer).map_err(failed("write", &partial))?;
        let hex = reader.finish().1.sha256.hex();
        let path = self.blob(&hex);
        fs::rename(&partial, &path).map_err(failed("write", &path))?;
        Ok(json!({ "mediaType": media, "digest": format!("sha256:{hex}"), "size": size }))
    }
}

fn canonical(document: &Value, path: &Path) -> Result<Vec<u8>, Failure> {
    let unwritable = |cause| Failure::File { act: "write", path: path.to_owned(), cause: io::Error::other(cause) };
    jcs::to_vec(document).map_err(unwritable)
}

/// The descriptor with the name that tools give to the file.
fn titled(mut descriptor: Value, title: &str) -> Value {
    if let Some(members) = descriptor.as_object_mut() {
        members.insert("annotations".to_owned(), json!({ "org.opencontainers.image.title": title }));
    }
    descriptor
}
