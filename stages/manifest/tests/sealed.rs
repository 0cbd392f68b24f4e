//! The manifest stage where a profile asks for encryption.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore, Workspace};
use export_canon::digesting::sha256;
use export_canon::tar::{TarLimits, TarReader};
use export_contract::encryption::{Encryption, EncryptionMode, EncryptionScope};
use export_contract::event::ProgressTick;
use export_contract::manifest::PATH;
use export_contract::message::{ManifestWritten, RunAdapted};
use export_contract::run::Phase;
use export_contract::{Digest, ErrorCode, RunId};
use export_manifest::{Manifest, ManifestError};
use export_pipeline::contract_check::context;
use export_pipeline::{Judged as _, ProgressSink, Stage as _, StageContext, Verdict};
use export_sealing::fuzzing::IDENTITY;
use export_sealing::{Identities, Opener};
use tokio_util::sync::CancellationToken;

const SAMPLE: &str = include_str!("../../../crates/contract/tests/wire/run_adapted.v1.json");
const LARGE: usize = 3_000_001;

struct World {
    _folder: tempfile::TempDir,
    store: Arc<FolderBlobs>,
}

fn identities() -> Identities {
    Identities::parse(IDENTITY).unwrap()
}

fn encryption(mode: EncryptionMode, recipients: &[&str]) -> Encryption {
    let recipients = recipients.iter().map(|text| (*text).to_owned()).collect();
    Encryption { mode, recipients, scope: Some(EncryptionScope::Data), strict: false }
}

fn recipient() -> String {
    let identities = format!("{:?}", identities());
    identities.split('"').nth(1).unwrap().to_owned()
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FolderBlobs::open(folder.path()).await.unwrap());
        Self { _folder: folder, store }
    }

    async fn adapted(&self, run: u64, encryption: Encryption) -> RunAdapted {
        let mut adapted: RunAdapted = serde_json::from_str(SAMPLE).unwrap();
        adapted.plan.run.run = RunId::from_parts(run, 7);
        adapted.plan.profile.config.encryption = Some(encryption);
        let workspace = Workspace::new(self.store.clone(), adapted.plan.run.clone());
        let mut file = adapted.files.remove(0);
        for (path, bytes) in
            [("README.md", b"# Evidence\n".to_vec()), ("data/raw/a", vec![7; LARGE]), ("data/raw/a-b", Vec::new())]
        {
            path.clone_into(&mut file.path);
            file.artefact = workspace.put_artefact(Bytes::from(bytes)).await.unwrap();
            adapted.files.push(file.clone());
        }
        adapted
    }

    async fn handle(&self, adapted: RunAdapted) -> Result<ManifestWritten, ManifestError> {
        let run = adapted.plan.run.clone();
        Manifest::default().handle(adapted, &context::<Manifest>(self.store.clone(), run, None, 1)).await
    }

    /// The tar by name.
    async fn tar(&self, written: &ManifestWritten) -> BTreeMap<String, Vec<u8>> {
        let run = &written.plan.run;
        let key = Workspace::artefact_key(&run.tenant, &run.run, &written.bundle.digest);
        let bytes = self.store.get(&key, u64::MAX).await.unwrap();
        let mut archive = TarReader::new(bytes.as_ref(), TarLimits::default());
        let mut found = BTreeMap::new();
        while let Some(mut entry) = archive.next_entry().unwrap() {
            let path = entry.path().to_owned();
            let mut body = Vec::new();
            entry.read_to_end(&mut body).unwrap();
            found.insert(path, body);
        }
        found
    }
}

#[tokio::test]
async fn files_in_scope_are_encrypted_under_names_of_their_own_and_the_record_says_how() {
    for mode in [EncryptionMode::Age, EncryptionMode::AesGcm] {
        let world = World::new().await;
        let written = world.handle(world.adapted(1, encryption(mode, &[&recipient()])).await).await.unwrap();
        let tar = world.tar(&written).await;
        let suffix = mode.suffix();
        let (large, empty) = (format!("data/raw/a{suffix}"), format!("data/raw/a-b{suffix}"));
        assert_eq!(tar.keys().collect::<Vec<_>>(), ["README.md", &empty, &large, PATH]);
        let record = written.encryption.unwrap();
        let listed: Vec<&str> = record.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(listed, [&empty, &large]);
        for file in &record.files {
            let bytes = &tar[&file.path];
            assert_eq!(file.digest, Digest::from_bytes(*sha256(bytes).as_bytes()), "{}", file.path);
            assert_eq!(file.bytes, bytes.len() as u64);
        }
        let opener = Opener::with_identities(&record, written.plan.run.run.as_str(), &identities()).unwrap();
        let mut plain = Vec::new();
        opener.open("data/raw/a", tar[&large].as_slice()).unwrap().read_to_end(&mut plain).unwrap();
        assert!(plain == vec![7; LARGE]);
        assert!(opener.open("data/raw/a-b", tar[&empty].as_slice()).unwrap().read_to_end(&mut plain).unwrap() == 0);
    }
}

#[tokio::test]
async fn two_encrypted_runs_agree_in_export_json_and_in_nothing_that_is_encrypted() {
    let world = World::new().await;
    for mode in [EncryptionMode::Age, EncryptionMode::AesGcm] {
        let wanted = encryption(mode, &[&recipient()]);
        let one = world.handle(world.adapted(1, wanted.clone()).await).await.unwrap();
        // A redelivery, and another run.
        for run in [1, 2] {
            let other = world.handle(world.adapted(run, wanted.clone()).await).await.unwrap();
            assert_eq!((&one.export_json, &one.rerun_hash), (&other.export_json, &other.rerun_hash));
            assert_ne!(one.bundle, other.bundle);
            let (a, b) = (one.encryption.as_ref().unwrap(), other.encryption.as_ref().unwrap());
            assert!(a.files.iter().zip(&b.files).all(|(a, b)| a.path == b.path && a.digest != b.digest));
        }
    }
}

#[tokio::test]
async fn a_rebuild_says_what_the_run_said_and_encrypts_nothing() {
    let world = World::new().await;
    let wanted = encryption(EncryptionMode::Age, &[&recipient()]);
    let made = world.handle(world.adapted(1, wanted.clone()).await).await.unwrap();
    let adapted = world.adapted(2, wanted).await;
    let cx = context::<Manifest>(world.store.clone(), adapted.plan.run.clone(), None, 1);
    let again = Manifest::rebuilding().handle(adapted, &cx).await.unwrap();
    assert_eq!(made.export_json, again.export_json);
    assert_eq!(again.encryption, None);
    assert!(world.tar(&again).await.contains_key("data/raw/a"));
}

#[tokio::test]
async fn a_run_that_nobody_could_read_fails_with_its_own_code() {
    let world = World::new().await;
    for recipients in [&[][..], &["awskms:alias/x"], &["vault:x"]] {
        let error =
            world.handle(world.adapted(1, encryption(EncryptionMode::AesGcm, recipients)).await).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::EncryptionFailed), "{recipients:?}");
    }
}

/// Cancels at the first sign of progress.
struct CancelAtOnce(CancellationToken);

impl ProgressSink for CancelAtOnce {
    fn tick(&self, _tick: ProgressTick) {
        self.0.cancel();
    }
}

#[tokio::test]
async fn a_damaged_file_and_a_cancellation_leave_no_bundle() {
    let world = World::new().await;
    let adapted = world.adapted(1, encryption(EncryptionMode::AesGcm, &[&recipient()])).await;
    let run = adapted.plan.run.clone();
    let prefix = format!("{}/{}/artefacts", run.tenant, run.run).parse().unwrap();
    let before = world.store.list(&prefix).await.unwrap().len();
    let cancel = CancellationToken::new();
    let workspace = Workspace::new(world.store.clone(), run.clone());
    let cx = StageContext::new(workspace, Phase::Manifest, None, 1, cancel.clone(), Arc::new(CancelAtOnce(cancel)));
    let error = Manifest::default().handle(adapted.clone(), &cx).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Cancelled);

    let large = adapted.files.iter().find(|file| file.path == "data/raw/a").unwrap();
    let key = Workspace::artefact_key(&run.tenant, &run.run, &large.artefact.digest);
    world.store.put(&key, Bytes::from(vec![8; LARGE])).await.unwrap();
    let error = world.handle(adapted).await.unwrap_err();
    assert!(matches!(&error, ManifestError::Corrupt { path } if path == "data/raw/a"), "{error}");
    assert_eq!(world.store.list(&prefix).await.unwrap().len(), before + 1, "export.json alone may be added");
}
