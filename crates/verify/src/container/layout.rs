//! An OCI image layout (OCI image specification 1.1, "Image Layout"): the files are blobs under their digests, and the layers of one
//! manifest give them names. Signatures and provenance may also be layers of manifests whose subject is that one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use export_canon::digesting::{Digester, sha256};
use export_contract::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{BESIDE, BUNDLE, is_known, regular, whole};
use crate::archive::Archive;
use crate::error::{Problem, VerifyError, shown};

/// The file that makes a folder a layout.
pub(super) const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
const VERSION: &str = "1.0.0";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
const MAX_MARKER: u64 = 4 << 10;
/// What registries take for a manifest.
const MAX_MANIFEST: u64 = 4 << 20;
/// Most manifests of a layout that are read.
const MAX_MANIFESTS: usize = 256;
/// Most layers of a manifest.
const MAX_LAYERS: usize = 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// `index.json`. Members that are not used are let through, as the specification asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayoutIndex {
    schema_version: u32,
    manifests: Vec<Descriptor>,
}

/// An image manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LayoutManifest {
    schema_version: u32,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default)]
    subject: Option<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    fn title(&self) -> Option<&str> {
        self.annotations.get(TITLE).map(String::as_str)
    }
}

/// A layout with one bundle.
#[derive(Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
    /// Known files by title.
    files: BTreeMap<&'static str, Descriptor>,
    others: Vec<String>,
}

impl Layout {
    pub(super) fn open(folder: &Path) -> Result<Self, VerifyError> {
        let marker: Marker = json(MARKER, &required(&folder.join(MARKER), MARKER, MAX_MARKER)?)?;
        if marker.image_layout_version != VERSION {
            return Err(VerifyError::rule(MARKER, "its version is not 1.0.0"));
        }
        let index: LayoutIndex = json(INDEX, &required(&folder.join(INDEX), INDEX, MAX_MANIFEST)?)?;
        if index.schema_version != 2 {
            return Err(VerifyError::rule(INDEX, "its schemaVersion is not 2"));
        }
        if index.manifests.len() > MAX_MANIFESTS {
            return Err(VerifyError::rule(INDEX, "it lists more than 256 manifests"));
        }
        let mut layout = Self { folder: folder.to_owned(), files: BTreeMap::new(), others: Vec::new() };
        let manifests = layout.manifests(index)?;
        let holds_bundle =
            |manifest: &LayoutManifest| manifest.layers.iter().any(|layer| layer.title() == Some(BUNDLE));
        let bundles: Vec<&Digest> =
            manifests.iter().filter(|(_, manifest)| holds_bundle(manifest)).map(|(digest, _)| digest).collect();
        let [bundle] = bundles.as_slice() else {
            return Err(match bundles.len() {
                0 => VerifyError::FileMissing(BUNDLE.to_owned()),
                _ => VerifyError::rule(INDEX, "it lists several bundles; copy the one to verify into a layout alone"),
            });
        };
        for (digest, manifest) in &manifests {
            let about = manifest.subject.as_ref().map(|subject| &subject.digest);
            if digest == *bundle || about == Some(*bundle) {
                layout.admit(manifest)?;
            } else {
                layout.others.push(format!("manifest {digest}"));
            }
        }
        Ok(layout)
    }

    /// Reads every manifest once, however often the index lists it.
    fn manifests(&self, index: LayoutIndex) -> Result<BTreeMap<Digest, LayoutManifest>, VerifyError> {
        let mut manifests = BTreeMap::new();
        for descriptor in index.manifests {
            if descriptor.media_type != MANIFEST {
                return Err(VerifyError::rule(INDEX, "it lists something that is no OCI image manifest"));
            }
            let name = descriptor.digest.to_string();
            let manifest: LayoutManifest = json(&name, &self.blob(&descriptor, &name, MAX_MANIFEST)?)?;
            if manifest.schema_version != 2 || manifest.layers.len() > MAX_LAYERS {
                return Err(VerifyError::rule(&name, "it is no OCI image manifest of at most 1024 layers"));
            }
            manifests.insert(descriptor.digest, manifest);
        }
        Ok(manifests)
    }

    /// Takes the layers with known names, and checks the digests of all others here and now.
    fn admit(&mut self, manifest: &LayoutManifest) -> Result<(), VerifyError> {
        self.check(&manifest.config, "config")?;
        for layer in &manifest.layers {
            let title = layer.title().unwrap_or("layer without a title");
            if title != BUNDLE && !is_known(title) {
                self.check(layer, title)?;
                self.others.push(shown(title));
                continue;
            }
            let names = BESIDE.map(|(name, _)| name);
            let name = names.into_iter().find(|name| *name == title).unwrap_or(BUNDLE);
            if let Some(earlier) = self.files.insert(name, layer.clone())
                && earlier.digest != layer.digest
            {
                return Err(VerifyError::rule(name, "it is there twice, with different digests"));
            }
        }
        Ok(())
    }

    pub(super) fn bundle(&self) -> Result<File, VerifyError> {
        let descriptor = self.descriptor()?;
        let (file, bytes) = self.opened(descriptor, BUNDLE)?;
        same_length(BUNDLE, descriptor.size, bytes)?;
        Ok(file)
    }

    pub(super) fn bundle_bytes(&self) -> Result<u64, VerifyError> {
        self.descriptor().map(|descriptor| descriptor.size)
    }

    /// Compares the tar that was read with the digest that the layout keeps it under.
    pub(super) fn compare(&self, archive: &Archive) -> Result<(), VerifyError> {
        same_digest(BUNDLE, &self.descriptor()?.digest, &archive.digest)
    }

    pub(super) fn beside(&self, name: &'static str, limit: u64) -> Result<Option<Vec<u8>>, VerifyError> {
        self.files.get(name).map(|descriptor| self.blob(descriptor, name, limit)).transpose()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub(super) fn others(&self) -> &[String] {
        &self.others
    }

    fn descriptor(&self) -> Result<&Descriptor, VerifyError> {
        self.files.get(BUNDLE).ok_or_else(|| VerifyError::FileMissing(BUNDLE.to_owned()))
    }

    fn opened(&self, descriptor: &Descriptor, name: &str) -> Result<(File, u64), VerifyError> {
        let path = self.folder.join("blobs/sha256").join(descriptor.digest.hex());
        regular(&path, name)?.ok_or_else(|| VerifyError::FileMissing(shown(name)))
    }

    /// A blob, whole.
    fn blob(&self, descriptor: &Descriptor, name: &str, limit: u64) -> Result<Vec<u8>, VerifyError> {
        if descriptor.size > limit {
            return Err(VerifyError::malformed(name, Problem::TooLarge { bytes: descriptor.size, limit }));
        }
        let (file, bytes) = self.opened(descriptor, name)?;
        same_length(name, descriptor.size, bytes)?;
        let whole = whole(file, limit, Path::new(name))?;
        same_digest(name, &descriptor.digest, &Digest::from_bytes(*sha256(&whole).as_bytes()))?;
        Ok(whole)
    }

    /// Digest and length of a blob that is not used.
    fn check(&self, descriptor: &Descriptor, name: &str) -> Result<(), VerifyError> {
        let (mut file, bytes) = self.opened(descriptor, name)?;
        same_length(name, descriptor.size, bytes)?;
        let mut digester = Digester::new();
        let mut piece = vec![0; super::PIECE];
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(got) => digester.update(piece.get(..got).unwrap_or_default()),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(VerifyError::Read { path: name.into(), cause }),
            }
        }
        same_digest(name, &descriptor.digest, &Digest::from_bytes(*digester.finish().sha256.as_bytes()))
    }
}

fn required(path: &Path, name: &str, limit: u64) -> Result<Vec<u8>, VerifyError> {
    let (file, bytes) = regular(path, name)?.ok_or_else(|| VerifyError::FileMissing(name.to_owned()))?;
    if bytes > limit {
        return Err(VerifyError::malformed(name, Problem::TooLarge { bytes, limit }));
    }
    whole(file, limit, path)
}

fn json<T: DeserializeOwned>(name: &str, text: &[u8]) -> Result<T, VerifyError> {
    serde_json::from_slice(text).map_err(|cause| VerifyError::not_json(name, &cause))
}

fn same_length(name: &str, expected: u64, found: u64) -> Result<(), VerifyError> {
    if expected == found {
        return Ok(());
    }
    let bytes = |count| format!("{count} bytes long");
    Err(VerifyError::DigestMismatch { what: shown(name), expected: bytes(expected), found: bytes(found) })
}

fn same_digest(name: &str, expected: &Digest, found: &Digest) -> Result<(), VerifyError> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (format!("{expected} by the layout"), found.to_string());
    Err(VerifyError::DigestMismatch { what: shown(name), expected, found })
}
