//! Makes mirrors and deltas as an exporter would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use export_canon::digesting::sha256;
use export_canon::jcs;
use export_canon::tar::TarWriter;
use export_canon::zst::{FrameEncoder, seek_table};
use export_contract::manifest::{
    DIFF_PATH, ExportManifest, ManifestContent, ManifestDelta, PATH, TARGET_PATH, TOMBSTONES_PATH,
};
use export_contract::message::{Difference, FileChange};
use export_contract::{Digest, RecordKey, RecordKind, Sequence};
use export_mirror::difference::{Change, compare, unshared};
use export_mirror::{DeltaManifest, FileIndex, FrameEntry, FrameLines, LineForm, Tombstone, layout};
use export_signing::bundle::{Bundle, to_base64};
use export_signing::{FileSigner, Password, Signer as _, generate_key_pair};
use export_site::Terms;
use export_verify::Policy;

const SAMPLE: &str = include_str!("../../../contract/tests/wire/export_manifest.1.0.json");

static KEY: LazyLock<FileSigner> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let password = Password::new(b"password".to_vec());
    generate_key_pair(folder.path(), &password).unwrap();
    FileSigner::open(&folder.path().join("cosign.key"), &password).unwrap()
});

/// Terms that trust the key of these mirrors.
pub(crate) fn terms() -> Terms {
    Terms { policy: Policy { keys: vec![KEY.public_key().clone()], ..Policy::default() }, ..Terms::default() }
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*sha256(bytes).as_bytes())
}

/// A mirror: its files, and the index of the one that has lines.
#[derive(Clone)]
pub(crate) struct Mirror {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    index: FileIndex,
    manifest: ExportManifest,
}

/// What the manifest says of a file beside its bytes: records, plain bytes, frames.
type Counts = BTreeMap<String, (u64, u64, u64)>;

fn lines_path() -> String {
    layout::lines_path(RecordKind::Advisory)
}

impl Mirror {
    /// A mirror of records at a ledger position.
    pub(crate) fn of(records: &BTreeMap<u16, u16>, position: u64) -> Self {
        let (bytes, index, plain) = lines(records);
        let mut files = BTreeMap::from([
            (layout::README.to_owned(), format!("{} records\n", records.len()).into_bytes()),
            (lines_path(), bytes),
            (layout::index_path(RecordKind::Advisory), jcs::to_vec(&index).unwrap()),
        ]);
        for subject in records.keys().filter(|subject| subject.is_multiple_of(5)) {
            files.insert(format!("data/raw/sboms/{subject}/sbom.json"), vec![b'{'; usize::from(*subject) + 1]);
        }
        let counts = BTreeMap::from([(lines_path(), (index.records, plain, index.frames.len() as u64))]);
        let manifest = manifest("full", &files, &counts, position, None);
        files.insert(PATH.to_owned(), jcs::to_vec(&manifest).unwrap());
        Self { files, index, manifest }
    }

    pub(crate) fn digest(&self) -> Digest {
        digest(&self.files[PATH])
    }

    /// The bundle that ships it whole.
    pub(crate) fn bundle(&self, folder: &Path) -> PathBuf {
        write(folder, &self.files, None)
    }

    /// The bundle of the delta that leads from `base` to this mirror.
    pub(crate) fn delta_from(&self, base: &Self, folder: &Path) -> PathBuf {
        let mut files = BTreeMap::new();
        let mut counts = Counts::new();
        let mut difference = Difference::default();
        let (mut tombstones, mut buried) = (String::new(), 0);
        let mut bury = |file: &str, key: RecordKey| {
            let tombstone = jcs::to_vec(&Tombstone { file: file.to_owned(), key }).unwrap();
            tombstones.push_str(&String::from_utf8(tombstone).unwrap());
            tombstones.push('\n');
            buried += 1;
        };
        let nobody = || RecordKey { subject: String::new(), document_id: String::new(), source: String::new() };
        let (old, new) = (&base.files, &self.files);
        for path in old.keys().chain(new.keys()).filter(|path| *path != PATH).collect::<std::collections::BTreeSet<_>>()
        {
            let (before, after) = (old.get(path), new.get(path));
            if before == after {
                continue;
            }
            let Some(after) = after else {
                difference.removed.push(path.clone());
                bury(path, nobody());
                continue;
            };
            let changed = before.is_some();
            if changed { &mut difference.changed } else { &mut difference.added }.push(path.clone());
            if changed && *path == lines_path() {
                let (old_frames, new_frames) = unshared(&base.index, &self.index);
                let mut put = String::new();
                let fetch = |bytes: &Vec<u8>, frame: &FrameEntry| {
                    Ok(bytes[frame.offset as usize..(frame.offset + frame.bytes) as usize].to_vec())
                };
                let one = FrameLines::new(path, LineForm::Evidence, old_frames, |frame: &FrameEntry| {
                    fetch(&old[path], frame)
                });
                let other =
                    FrameLines::new(path, LineForm::Evidence, new_frames, |frame: &FrameEntry| fetch(after, frame));
                compare(one.unwrap(), other.unwrap(), |change| {
                    match change {
                        Change::Gone { key, .. } => bury(path, key.clone()),
                        Change::Added { new, .. } | Change::Changed { new, .. } => {
                            put.push_str(std::str::from_utf8(new).unwrap());
                        }
                    }
                    Ok(())
                })
                .unwrap();
                let from = layout::changes_path(path);
                counts.insert(from.clone(), (put.lines().count() as u64, put.len() as u64, 1));
                files.insert(from.clone(), compressed(&put));
                difference.files.push(FileChange { path: path.clone(), from, merge: true });
            } else {
                let from = if path == layout::README { layout::TARGET_README } else { path };
                files.insert(from.to_owned(), after.clone());
                difference.files.push(FileChange { path: path.clone(), from: from.to_owned(), merge: false });
            }
        }
        difference.tombstones = buried;
        counts.insert(TOMBSTONES_PATH.to_owned(), (buried, tombstones.len() as u64, 1));
        files.insert(TOMBSTONES_PATH.to_owned(), compressed(&tombstones));
        let base_digest = base.digest();
        files.insert(DIFF_PATH.to_owned(), jcs::to_vec(&DeltaManifest::new(Some(&base_digest), &difference)).unwrap());
        files.insert(TARGET_PATH.to_owned(), new[PATH].clone());
        let chain = ManifestDelta {
            base_export_id: base_digest.hex().to_owned(),
            base_manifest_digest: Some(base_digest),
            target_manifest_digest: self.digest(),
            reset_baseline: false,
            added: difference.added,
            changed: difference.changed,
            removed: difference.removed,
            tombstones: buried,
        };
        let position = self.manifest.sources[0].watermark.0;
        let export = manifest("delta", &files, &counts, position, Some(chain));
        files.insert(PATH.to_owned(), jcs::to_vec(&export).unwrap());
        write(folder, &files, Some(&new[PATH]))
    }
}

/// A lines file in frames of a few records.
fn lines(records: &BTreeMap<u16, u16>) -> (Vec<u8>, FileIndex, u64) {
    let mut encoder = FrameEncoder::new(3).unwrap();
    let (mut bytes, mut infos, mut entries, mut sum) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut groups: Vec<Vec<(u16, u16)>> = Vec::new();
    for (&subject, &content) in records {
        if groups.is_empty() || subject.is_multiple_of(8) {
            groups.push(Vec::new());
        }
        groups.last_mut().unwrap().push((subject, content));
    }
    let key =
        |subject: u16| RecordKey { subject: format!("S-{subject:05}"), document_id: "d".into(), source: "s".into() };
    for group in groups {
        let line = |(subject, content): &(u16, u16)| {
            let name = key(*subject).subject;
            format!("{{\"content\":{content},\"document_id\":\"d\",\"source\":\"s\",\"subject\":\"{name}\"}}\n")
        };
        let plain: String = group.iter().map(line).collect();
        let mut frame = Vec::new();
        infos.push(encoder.encode(plain.as_bytes(), &mut frame).unwrap());
        entries.push(FrameEntry {
            offset: 0,
            bytes: frame.len() as u64,
            plain: plain.len() as u64,
            records: group.len() as u64,
            first: key(group[0].0),
            digest: digest(&frame),
        });
        bytes.extend(frame);
        sum += plain.len() as u64;
    }
    bytes.extend(seek_table(&infos).unwrap());
    (bytes, FileIndex::new(lines_path(), LineForm::Evidence, entries), sum)
}

fn compressed(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let info = FrameEncoder::new(3).unwrap().encode(text.as_bytes(), &mut bytes).unwrap();
    if !text.is_empty() {
        bytes.extend(seek_table(&[info]).unwrap());
    }
    bytes
}

fn manifest(
    variant: &str,
    files: &BTreeMap<String, Vec<u8>>,
    counts: &Counts,
    position: u64,
    delta: Option<ManifestDelta>,
) -> ExportManifest {
    let mut manifest: ExportManifest = serde_json::from_str(SAMPLE).unwrap();
    manifest.fresh_until = None;
    "mirror".clone_into(&mut manifest.profile.kind);
    variant.clone_into(&mut manifest.profile.variant);
    "mirror".clone_into(&mut manifest.profile.name);
    manifest.sources.truncate(1);
    manifest.sources[0].watermark = Sequence(position);
    manifest.compression.level = 3;
    manifest.delta = delta;
    let content = |(path, bytes): (&String, &Vec<u8>)| {
        let (records, plain_bytes, frames) = counts
            .get(path)
            .map_or((None, None, None), |(records, plain, frames)| (Some(*records), Some(*plain), Some(*frames)));
        ManifestContent {
            path: path.clone(),
            digest: digest(bytes),
            bytes: bytes.len() as u64,
            content_type: "application/octet-stream".to_owned(),
            records,
            plain_bytes,
            frames,
        }
    };
    manifest.contents = files.iter().map(content).collect();
    let mut digests: Vec<String> = manifest.contents.iter().map(|content| content.digest.to_string()).collect();
    digests.sort();
    manifest.rerun_hash = digest(digests.join("\n").as_bytes());
    manifest
}

/// Writes the folder of a download.
fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>, target: Option<&Vec<u8>>) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let mut tar = TarWriter::new(Vec::new());
    for (path, bytes) in files {
        tar.append(path, bytes.len() as u64, bytes.as_slice()).unwrap();
    }
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    put("bundle.tar", &tar.finish().unwrap());
    put("export.json", &files[PATH]);
    put("cosign.pub", KEY.public_key().pem().as_bytes());
    for (name, text) in [("export.json", Some(&files[PATH])), ("target.json", target)] {
        let Some(text) = text else { continue };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let signature = runtime.block_on(KEY.sign(text)).unwrap();
        put(&format!("{name}.sig"), to_base64(&signature).as_bytes());
        let bundle = Bundle::of_message(KEY.public_key(), text, &signature);
        put(&format!("{name}.sigstore.json"), &serde_json::to_vec(&bundle).unwrap());
    }
    folder.to_owned()
}
