//! `exportctl bundle pack --oci`: a bundle as an OCI image layout (OCI image specification 1.1), which `verify` and registries' tools take.
//!
//! The tar is the one layer of a manifest; what vouches for it are the layers of a second one whose subject is the first (design D21).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use export_canon::digesting::DigestingReader;
use export_canon::jcs;
use export_contract::Digest;
use export_oci::{BESIDE, Descriptor, Origin, empty_config};
use export_verify::Members;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::verify::failed;

/// Writes the bundle in `folder` as a layout in the new folder `out`. The same files make the same bytes.
pub(crate) fn pack(folder: &Path, out: &Path) -> Result<Exit, Failure> {
    let manifest = Members::open(folder).map_err(failed)?.manifest().clone();
    let layout = Layout { out: out.to_owned() };
    fs::create_dir(out).map_err(|cause| Failure::File { act: "make", path: out.to_owned(), cause })?;
    let blobs = out.join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(|cause| Failure::File { act: "make", path: blobs, cause })?;
    let (config, empty) = empty_config();
    layout.bytes(empty, &config.digest)?;
    let (tar, size) = layout.file(&folder.join("bundle.tar"))?;
    let origin = Origin {
        profile: format!("{}:{}", manifest.profile.kind, manifest.profile.variant),
        tenant: manifest.tenant,
        as_of: manifest.as_of,
    };
    let unwritable = |cause| Failure::File { act: "write", path: out.to_owned(), cause: io::Error::other(cause) };
    let image = export_oci::bundle(&origin, tar, size).map_err(unwritable)?;
    layout.bytes(&image.bytes, &image.digest)?;
    let mut layers = Vec::new();
    for (name, media) in BESIDE {
        let path = folder.join(name);
        if path.is_file() {
            let (digest, size) = layout.file(&path)?;
            layers.push(Descriptor::new(media, digest, size).titled(name));
        }
    }
    let signatures = export_oci::signatures(&image, layers).map_err(unwritable)?;
    layout.bytes(&signatures.bytes, &signatures.digest)?;
    let (image, signatures) = (image.descriptor(), signatures.descriptor());
    layout.write("index.json", &json!({ "schemaVersion": 2, "manifests": [image, signatures] }))?;
    layout.write("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }))?;
    Ok(Exit::Ok)
}

struct Layout {
    out: PathBuf,
}

impl Layout {
    fn blob(&self, digest: &Digest) -> PathBuf {
        self.out.join("blobs/sha256").join(digest.hex())
    }

    fn bytes(&self, bytes: &[u8], digest: &Digest) -> Result<(), Failure> {
        let path = self.blob(digest);
        fs::write(&path, bytes).map_err(|cause| Failure::File { act: "write", path, cause })
    }

    fn write(&self, name: &str, document: &Value) -> Result<(), Failure> {
        let path = self.out.join(name);
        fs::write(&path, canonical(document, &path)?).map_err(|cause| Failure::File { act: "write", path, cause })
    }

    /// Copies a file to where its digest says.
    fn file(&self, from: &Path) -> Result<(Digest, u64), Failure> {
        let failed = |act, path: &Path| {
            let path = path.to_owned();
            move |cause| Failure::File { act, path, cause }
        };
        let partial = self.out.join("blobs/partial");
        let mut reader = DigestingReader::new(File::open(from).map_err(failed("read", from))?);
        let mut writer = File::create(&partial).map_err(failed("write", &partial))?;
        let size = io::copy(&mut reader, &mut writer).map_err(failed("write", &partial))?;
        let digest = Digest::from_bytes(*reader.finish().1.sha256.as_bytes());
        let path = self.blob(&digest);
        fs::rename(&partial, &path).map_err(failed("write", &path))?;
        Ok((digest, size))
    }
}

fn canonical(document: &Value, path: &Path) -> Result<Vec<u8>, Failure> {
    let unwritable = |cause| Failure::File { act: "write", path: path.to_owned(), cause: io::Error::other(cause) };
    jcs::to_vec(document).map_err(unwritable)
}
