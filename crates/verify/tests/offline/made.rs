//! Makes bundles, good ones and any other kind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use export_canon::digesting::sha256;
use export_canon::jcs;
use export_canon::tar::TarWriter;
use export_canon::zst::{FrameEncoder, seek_table};
use export_contract::Digest;
use export_contract::manifest::{ExportManifest, ManifestContent, PATH};
use export_signing::bundle::{Bundle, to_base64};
use export_signing::dsse::{Envelope, IN_TOTO, pre_authentication};
use export_signing::{FileSigner, Password, Signer as _, generate_key_pair};
use export_verify::{Policy, Report, VerifyError, verify};
use serde_json::{Value, json};

const SAMPLE: &str = include_str!("../../../contract/tests/wire/export_manifest.1.0.json");

/// The key that the policy trusts, and one that it does not.
pub(crate) static OURS: LazyLock<FileSigner> = LazyLock::new(signer);
pub(crate) static FOREIGN: LazyLock<FileSigner> = LazyLock::new(signer);

fn signer() -> FileSigner {
    let folder = tempfile::tempdir().unwrap();
    let password = Password::new(b"password".to_vec());
    generate_key_pair(folder.path(), &password).unwrap();
    FileSigner::open(&folder.path().join("cosign.key"), &password).unwrap()
}

pub(crate) fn sign(signer: &FileSigner, message: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(signer.sign(message)).unwrap()
}

pub(crate) fn trusting() -> Policy {
    Policy { keys: vec![OURS.public_key().clone()], ..Policy::default() }
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*sha256(bytes).as_bytes())
}

/// A file of a bundle and what the manifest says of it.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: Option<u64>,
    pub(crate) plain: Option<u64>,
    pub(crate) frames: Option<u64>,
}

impl File {
    pub(crate) fn plain(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: bytes.to_vec(), records: None, plain: None, frames: None }
    }

    /// Lines in frames, with a seek table if there are several.
    pub(crate) fn lines(path: &str, frames: &[&str]) -> Self {
        let text: String = frames.concat();
        Self {
            path: path.to_owned(),
            bytes: compressed(frames),
            records: Some(text.lines().count() as u64),
            plain: Some(text.len() as u64),
            frames: Some(frames.len() as u64),
        }
    }
}

pub(crate) fn compressed(frames: &[&str]) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(3).unwrap();
    let mut bytes = Vec::new();
    let infos: Vec<_> = frames.iter().map(|text| encoder.encode(text.as_bytes(), &mut bytes).unwrap()).collect();
    if infos.len() > 1 {
        bytes.extend(seek_table(&infos).unwrap());
    }
    bytes
}

pub(crate) fn files() -> Vec<File> {
    let lines: Vec<String> = (0..60).map(|n| format!("{{\"id\":\"ADV-{n}\",\"score\":{n}.0}}\n")).collect();
    let (one, rest) = lines.split_at(20);
    let (two, three) = rest.split_at(20);
    vec![
        File::plain("README.md", b"# Evidence\n"),
        File::lines("data/raw/advisories.jsonl.zst", &[&one.concat(), &two.concat(), &three.concat()]),
        File::lines("data/raw/vex.jsonl.zst", &[""]),
    ]
}

pub(crate) fn manifest(files: &[File]) -> ExportManifest {
    let mut manifest: ExportManifest = serde_json::from_str(SAMPLE).unwrap();
    manifest.fresh_until = None;
    manifest.contents = files
        .iter()
        .map(|file| ManifestContent {
            path: file.path.clone(),
            digest: digest(&file.bytes),
            bytes: file.bytes.len() as u64,
            content_type: "application/octet-stream".to_owned(),
            records: file.records,
            plain_bytes: file.plain,
            frames: file.frames,
        })
        .collect();
    manifest.contents.sort_by(|a, b| a.path.cmp(&b.path));
    rehash(&mut manifest);
    manifest
}

/// Sets `rerunHash` to what the contents ask for.
pub(crate) fn rehash(manifest: &mut ExportManifest) {
    let mut digests: Vec<String> = manifest.contents.iter().map(|content| content.digest.to_string()).collect();
    digests.sort();
    manifest.rerun_hash = digest(digests.join("\n").as_bytes());
}

pub(crate) fn tar(files: &[File], export_json: &[u8]) -> Vec<u8> {
    let mut entries: BTreeMap<&str, &[u8]> =
        files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice())).collect();
    entries.insert(PATH, export_json);
    let mut writer = TarWriter::new(Vec::new());
    for (path, bytes) in entries {
        writer.append(path, bytes.len() as u64, bytes).unwrap();
    }
    writer.finish().unwrap()
}

/// The files of a bundle by name, as they lie in a folder.
#[derive(Clone)]
pub(crate) struct Made(pub(crate) BTreeMap<&'static str, Vec<u8>>);

impl Made {
    pub(crate) fn good() -> Self {
        Self::of(&files())
    }

    pub(crate) fn of(files: &[File]) -> Self {
        Self::saying(files, &manifest(files))
    }

    /// A signed bundle whose manifest may say anything.
    pub(crate) fn saying(files: &[File], manifest: &ExportManifest) -> Self {
        Self::with_text(files, &jcs::to_vec(manifest).unwrap())
    }

    /// A signed bundle whose `export.json` may be any text.
    pub(crate) fn with_text(files: &[File], export_json: &[u8]) -> Self {
        Self::sealed(export_json, &tar(files, export_json), &OURS)
    }

    pub(crate) fn sealed(export_json: &[u8], tar: &[u8], signer: &FileSigner) -> Self {
        let signature = sign(signer, export_json);
        let key = signer.public_key();
        let bundle = Bundle::of_message(key, export_json, &signature);
        let mut made = Self(BTreeMap::from([
            ("bundle.tar", tar.to_vec()),
            ("cosign.pub", key.pem().as_bytes().to_vec()),
            ("export.json", export_json.to_vec()),
            ("export.json.sig", to_base64(&signature).into_bytes()),
            ("export.json.sigstore.json", serde_json::to_vec(&bundle).unwrap()),
        ]));
        made.attest(&statement(export_json, tar), signer);
        made
    }

    /// Replaces the provenance.
    pub(crate) fn attest(&mut self, statement: &Value, signer: &FileSigner) {
        self.seal(jcs::to_vec(statement).unwrap(), signer);
    }

    /// Replaces the provenance by any text.
    pub(crate) fn seal(&mut self, payload: Vec<u8>, signer: &FileSigner) {
        self.0.insert("provenance.sigstore.json", envelope(&payload, signer));
        self.0.insert("provenance.json", payload);
    }

    /// The same bundle with a refresh, a day after its `asOf` and good for two.
    pub(crate) fn refreshed(self) -> Self {
        self.refreshed_as(&OURS, |_| ())
    }

    /// The same with a refresh that may say anything.
    pub(crate) fn refreshed_as(mut self, signer: &FileSigner, change: impl FnOnce(&mut Value)) -> Self {
        let mut statement = refresh(&self.0["export.json"], &self.0["bundle.tar"]);
        change(&mut statement);
        self.0.insert("refresh.sigstore.json", envelope(&jcs::to_vec(&statement).unwrap(), signer));
        self
    }

    /// The same bundle with another tar, and provenance about that.
    pub(crate) fn with_tar(mut self, tar: Vec<u8>) -> Self {
        self.attest(&statement(&self.0["export.json"], &tar), &OURS);
        self.0.insert("bundle.tar", tar);
        self
    }

    pub(crate) fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|name, _| !names.contains(name));
        self
    }

    pub(crate) fn with(mut self, name: &'static str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(self.0.get_mut(name).unwrap());
        self
    }

    /// Changes a JSON file beside the tar.
    pub(crate) fn with_json(self, name: &'static str, change: impl FnOnce(&mut Value)) -> Self {
        self.with(name, |bytes| {
            let mut value: Value = serde_json::from_slice(bytes).unwrap();
            change(&mut value);
            *bytes = serde_json::to_vec(&value).unwrap();
        })
    }

    pub(crate) fn write(&self, folder: &Path) {
        for (name, bytes) in &self.0 {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }

    pub(crate) fn verify(&self, policy: &Policy) -> Result<Report, VerifyError> {
        let folder = tempfile::tempdir().unwrap();
        self.write(folder.path());
        verify(folder.path(), policy)
    }
}

/// A Sigstore bundle with a signed payload.
pub(crate) fn envelope(payload: &[u8], signer: &FileSigner) -> Vec<u8> {
    let signature = sign(signer, &pre_authentication(IN_TOTO, payload));
    let bundle = Bundle::of_envelope(signer.public_key(), Envelope::new(IN_TOTO, payload, &signature));
    serde_json::to_vec(&bundle).unwrap()
}

fn both(export_json: &[u8], tar: &[u8]) -> Value {
    let subject = |name: &str, bytes: &[u8]| json!({"name": name, "digest": {"sha256": digest(bytes).hex()}});
    json!([subject("bundle.tar", tar), subject("export.json", export_json)])
}

/// When the refresh of [`Made::refreshed`] looked, and until when the bundle is fresh by it.
pub(crate) const CHECKED_AT: &str = "2026-02-01T12:00:00Z";
pub(crate) const REFRESHED_UNTIL: &str = "2026-02-03T12:00:00Z";

pub(crate) fn refresh(export_json: &[u8], tar: &[u8]) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": both(export_json, tar),
        "predicateType": "urn:export-center:refresh:v1",
        "predicate": {
            "checkedAt": CHECKED_AT,
            "freshUntil": REFRESHED_UNTIL,
            "asOf": "2026-01-31T12:00:00.5Z",
            "watermark": 42,
            "refreshes": "01k9zv8m2x3y4z5a6b7c8d9e0d",
            "invocationId": "01k9zv8m2x3y4z5a6b7c8d9e0f",
        },
    })
}

pub(crate) fn statement(export_json: &[u8], tar: &[u8]) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": both(export_json, tar),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:export-center:build:export-run:v1",
                "externalParameters": {},
                "internalParameters": {},
                "resolvedDependencies": [],
            },
            "runDetails": {
                "builder": {"id": "urn:export-center:exportd", "version": {}},
                "metadata": {"invocationId": "run-1", "startedOn": "2026-02-01T00:00:00Z", "finishedOn": "2026-02-01T00:01:00Z"},
            },
        },
    })
}
