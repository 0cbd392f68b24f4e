//! Packs bundles as others hand them on.

use std::collections::BTreeMap;
use std::path::Path;

use export_canon::zst::FrameEncoder;
use serde_json::{Value, json};

use crate::made::{Made, digest};

pub(crate) const ORDER: [&str; 7] = [
    "cosign.pub",
    "export.json",
    "export.json.sig",
    "export.json.sigstore.json",
    "provenance.json",
    "provenance.sigstore.json",
    "bundle.tar",
];

pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameEncoder::new(3).unwrap().encode(bytes, &mut out).unwrap();
    out
}

/// A header such as GNU tar writes, with owner and time.
pub(crate) fn header(name: &str, size: usize, kind: u8) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0001750\0");
    put(116, b"0001750\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"14736000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar  \0");
    put(265, b"somebody");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

pub(crate) fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let padding = vec![0; bytes.len().next_multiple_of(512) - bytes.len()];
    [header(name, bytes.len(), b'0'), bytes.to_vec(), padding].concat()
}

pub(crate) fn ended(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 10_240]].concat()
}

/// A delivery with the members in this order.
pub(crate) fn delivery(made: &Made, order: &[&str]) -> Vec<u8> {
    ended(&order.iter().map(|name| member(name, &made.0[name])).collect::<Vec<_>>())
}

/// Blobs by digest, an index, a marker.
pub(crate) struct Layout {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Layout {
    pub(crate) fn blob(&mut self, bytes: &[u8]) -> (String, usize) {
        let digest = digest(bytes);
        self.files.insert(format!("blobs/sha256/{}", digest.hex()), bytes.to_vec());
        (digest.to_string(), bytes.len())
    }

    fn descriptor(&mut self, media: &str, bytes: &[u8], title: Option<&str>) -> Value {
        let (digest, size) = self.blob(bytes);
        let mut descriptor = json!({"mediaType": media, "digest": digest, "size": size});
        if let Some(title) = title {
            descriptor["annotations"] = json!({"org.opencontainers.image.title": title});
        }
        descriptor
    }

    pub(crate) fn manifest(&mut self, layers: &[(&str, &[u8])], subject: Option<&Value>) -> Value {
        let config = self.descriptor("application/vnd.oci.empty.v1+json", b"{}", None);
        let layers: Vec<Value> =
            layers.iter().map(|(name, bytes)| self.descriptor("application/octet-stream", bytes, Some(name))).collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.export-center.bundle.v1", "config": config, "layers": layers,
        });
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        let text = serde_json::to_vec(&manifest).unwrap();
        self.descriptor("application/vnd.oci.image.manifest.v1+json", &text, None)
    }

    /// Everything in one manifest, or signatures and provenance in one that refers to it.
    pub(crate) fn of(made: &Made, apart: bool) -> Self {
        let mut layout = Self { files: BTreeMap::new() };
        let layers: Vec<(&str, &[u8])> = made.0.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        let (main, others): (Vec<_>, Vec<_>) =
            layers.into_iter().partition(|(name, _)| !apart || matches!(*name, "bundle.tar" | "export.json"));
        let main = layout.manifest(&main, None);
        let mut manifests = vec![main.clone()];
        if apart {
            manifests.push(layout.manifest(&others, Some(&main)));
        }
        layout.index(&manifests);
        layout.files.insert("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        layout
    }

    fn index(&mut self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        self.files.insert("index.json".to_owned(), serde_json::to_vec(&index).unwrap());
    }

    pub(crate) fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        for (name, bytes) in &self.files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}
