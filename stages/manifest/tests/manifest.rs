//! The manifest stage on a staging folder, judged by `tar` and `sha256sum`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore, Workspace};
use export_contract::event::ProgressTick;
use export_contract::manifest::{ExportManifest, PATH, SourceState};
use export_contract::message::{Artefact, LedgerSource, ManifestWritten, RunAdapted, SourceRead};
use export_contract::run::Phase;
use export_contract::{Digest, ErrorCode, Generation, RecordKind, RunId};
use export_manifest::{Manifest, ManifestError};
use export_pipeline::contract_check::{NoProgress, context, contract_check};
use export_pipeline::{Judged as _, ProgressSink, Stage as _, StageContext, Verdict};
use tokio_util::sync::CancellationToken;

const SAMPLE: &str = include_str!("../../../crates/contract/tests/wire/run_adapted.v1.json");

struct World {
    _folder: tempfile::TempDir,
    store: Arc<FolderBlobs>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FolderBlobs::open(folder.path()).await.unwrap());
        Self { _folder: folder, store }
    }

    /// A run that adapt has finished: three files, one of them large enough for several pieces.
    async fn adapted(&self, run: u64) -> RunAdapted {
        let mut adapted: RunAdapted = serde_json::from_str(SAMPLE).unwrap();
        adapted.plan.run.run = RunId::from_parts(run, 7);
        let workspace = Workspace::new(self.store.clone(), adapted.plan.run.clone());
        let mut file = adapted.files.remove(0);
        for (path, bytes) in [
            ("README.md", b"# Evidence\n".to_vec()),
            ("data/raw/a.zst", vec![7; 1_000_000]),
            ("data/raw/b.zst", Vec::new()),
        ] {
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

    async fn bytes(&self, written: &ManifestWritten, artefact: &Artefact) -> Bytes {
        let run = &written.plan.run;
        let key = Workspace::artefact_key(&run.tenant, &run.run, &artefact.digest);
        self.store.get(&key, u64::MAX).await.unwrap()
    }

    async fn manifest(&self, written: &ManifestWritten) -> ExportManifest {
        serde_json::from_slice(&self.bytes(written, &written.export_json).await).unwrap()
    }

    async fn artefacts(&self, adapted: &RunAdapted) -> usize {
        let run = &adapted.plan.run;
        self.store.list(&format!("{}/{}/artefacts", run.tenant, run.run).parse().unwrap()).await.unwrap().len()
    }
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

#[tokio::test]
async fn the_stage_keeps_its_contract() {
    let world = World::new().await;
    let adapted = world.adapted(1).await;
    let store: Arc<dyn BlobStore> = world.store.clone();
    let written = contract_check(&Manifest::default(), store, adapted.plan.run.clone(), None, || adapted.clone()).await;
    assert_eq!(written.records, 10, "what went in, whatever the files count");
}

#[tokio::test]
async fn the_bytes_depend_on_the_inputs_alone() {
    let world = World::new().await;
    let first = world.handle(world.adapted(1).await).await.unwrap();

    let mut other = world.adapted(2).await;
    other.files.reverse();
    other.sources.reverse();
    other.plan.sources.reverse();
    other.plan.run.generation = Generation(9);
    other.plan.request.by = "somebody else".to_owned();
    other.plan.request.admitted_at = other.plan.request.admitted_at.plus_seconds(86_400);
    other.plan.request.correlation_id = "other".to_owned();
    let second = world.handle(other).await.unwrap();
    assert_eq!((&first.bundle, &first.export_json), (&second.bundle, &second.export_json));
    let text = String::from_utf8(world.bytes(&first, &first.export_json).await.to_vec()).unwrap();
    assert!(!text.contains(first.plan.run.run.as_str()), "{text}");

    let mut changed = world.adapted(3).await;
    changed.plan.watermark.0 += 1;
    let third = world.handle(changed).await.unwrap();
    assert_ne!(first.bundle, third.bundle);
    assert_eq!(first.rerun_hash, third.rerun_hash, "the contents are the same");
}

#[tokio::test]
async fn tar_and_sha256sum_find_what_the_manifest_says() {
    let world = World::new().await;
    let written = world.handle(world.adapted(1).await).await.unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let tar = scratch.path().join("bundle.tar");
    std::fs::write(&tar, world.bytes(&written, &written.bundle).await).unwrap();

    let listing =
        String::from_utf8(output(Command::new("tar").env("TZ", "UTC").args(["--numeric-owner", "-tvf"]).arg(&tar)))
            .unwrap();
    let rows: Vec<Vec<&str>> = listing.lines().map(|line| line.split_whitespace().collect()).collect();
    let paths: Vec<&str> = rows.iter().map(|row| *row.last().unwrap()).collect();
    assert_eq!(paths, ["README.md", "data/raw/a.zst", "data/raw/b.zst", PATH]);
    for row in rows {
        assert_eq!((row[0], row[1], row[3]), ("-rw-r--r--", "0/0", "1970-01-01"), "{row:?}");
    }

    output(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(scratch.path()));
    let sum = |path: &Path| {
        let line = String::from_utf8(output(Command::new("sha256sum").arg("--binary").arg(path))).unwrap();
        format!("sha256:{}", line.split(' ').next().unwrap())
    };
    let manifest = world.manifest(&written).await;
    for content in &manifest.contents {
        assert_eq!(sum(&scratch.path().join(&content.path)), content.digest.as_str(), "{}", content.path);
    }
    assert_eq!(sum(&tar), written.bundle.digest.as_str());
    assert_eq!(sum(&scratch.path().join(PATH)), written.export_json.digest.as_str());

    let mut digests: Vec<String> = manifest.contents.iter().map(|content| content.digest.to_string()).collect();
    digests.sort();
    let joined = scratch.path().join("digests");
    std::fs::write(&joined, digests.join("\n")).unwrap();
    assert_eq!(sum(&joined), manifest.rerun_hash.as_str());
}

#[tokio::test]
async fn every_source_is_named_with_what_became_of_it() {
    let world = World::new().await;
    let mut adapted = world.adapted(1).await;
    adapted.plan.selectors.sources = ["osv/pypa", "quiet", "unplanned"].map(str::to_owned).into();
    let source = |kind, name: &str| LedgerSource { kind, name: name.to_owned(), records: 5 };
    adapted.plan.sources = vec![
        source(RecordKind::Sbom, "osv/pypa"),
        source(RecordKind::Advisory, "quiet"),
        source(RecordKind::Advisory, "not wanted"),
        source(RecordKind::Advisory, "osv/pypa"),
    ];
    let hash = Digest::from_bytes([1; 32]);
    adapted.sources.push(SourceRead {
        tenant: None,
        kind: RecordKind::Vex,
        name: "unplanned".to_owned(),
        records: 2,
        hash,
    });
    let written = world.handle(adapted).await.unwrap();
    let manifest = world.manifest(&written).await;
    let found: BTreeMap<(RecordKind, &str), (SourceState, u64)> = manifest
        .sources
        .iter()
        .map(|source| ((source.kind, source.name.as_str()), (source.state, source.records)))
        .collect();
    let expected = BTreeMap::from([
        ((RecordKind::Advisory, "not wanted"), (SourceState::Excluded, 0)),
        ((RecordKind::Advisory, "osv/pypa"), (SourceState::Complete, 10)),
        ((RecordKind::Advisory, "quiet"), (SourceState::Empty, 0)),
        ((RecordKind::Sbom, "osv/pypa"), (SourceState::Excluded, 0)),
        ((RecordKind::Vex, "unplanned"), (SourceState::Complete, 2)),
    ]);
    assert_eq!(found, expected);
    let keys: Vec<_> = manifest.sources.iter().map(|source| (source.kind, &source.name)).collect();
    assert!(keys.is_sorted());
}

#[tokio::test]
async fn a_damaged_file_fails_the_run_and_leaves_no_bundle() {
    for (damage, path) in
        [(vec![8_u8; 1_000_000], "data/raw/a.zst"), (vec![7; 999_999], "data/raw/a.zst"), (vec![1], "data/raw/b.zst")]
    {
        let world = World::new().await;
        let adapted = world.adapted(1).await;
        let file = adapted.files.iter().find(|file| file.path == path).unwrap();
        let run = &adapted.plan.run;
        let key = Workspace::artefact_key(&run.tenant, &run.run, &file.artefact.digest);
        world.store.put(&key, Bytes::from(damage)).await.unwrap();
        let before = world.artefacts(&adapted).await;
        let error = world.handle(adapted.clone()).await.unwrap_err();
        assert!(matches!(&error, ManifestError::Corrupt { path: found } if found == path), "{error}");
        assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::ArtefactCorrupt));
        assert_eq!(world.artefacts(&adapted).await, before + 1, "export.json alone may be added");
    }
}

#[tokio::test]
async fn a_missing_file_fails_the_run() {
    let world = World::new().await;
    let mut adapted = world.adapted(1).await;
    adapted.files[0].artefact.digest = Digest::from_bytes([0; 32]);
    let error = world.handle(adapted).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::ArtefactCorrupt));
}

/// Cancels at the first sign of progress.
struct CancelAtOnce(CancellationToken);

impl ProgressSink for CancelAtOnce {
    fn tick(&self, _tick: ProgressTick) {
        self.0.cancel();
    }
}

#[tokio::test]
async fn a_run_that_is_cancelled_in_the_middle_leaves_no_bundle() {
    let world = World::new().await;
    let adapted = world.adapted(1).await;
    let before = world.artefacts(&adapted).await;
    let cancel = CancellationToken::new();
    let workspace = Workspace::new(world.store.clone(), adapted.plan.run.clone());
    let sink = Arc::new(CancelAtOnce(cancel.clone()));
    let cx = StageContext::new(workspace, Phase::Manifest, None, 1, cancel, sink);
    let error = Manifest::default().handle(adapted.clone(), &cx).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Cancelled);
    assert_eq!(world.artefacts(&adapted).await, before + 1, "export.json alone may be added");

    let cx = StageContext::new(
        Workspace::new(world.store.clone(), adapted.plan.run.clone()),
        Phase::Manifest,
        None,
        2,
        CancellationToken::new(),
        Arc::new(NoProgress),
    );
    let again = Manifest::default().handle(adapted, &cx).await.unwrap();
    assert_eq!(again.bundle, world.handle(world.adapted(2).await).await.unwrap().bundle);
}

#[tokio::test]
async fn freshness_counts_from_the_newest_observation_and_not_from_today() {
    let world = World::new().await;
    for (as_of, hours, until) in [
        (Some("2026-01-31T12:00:00.5Z"), Some(36), Some("2026-02-02T00:00:00.5Z")),
        (Some("2026-01-31T12:00:00.5Z"), None, None),
        // An empty ledger is as of no time, so it cannot be fresh until one.
        (None, Some(36), None),
        (Some("9999-12-30T21:00:00Z"), Some(2), None),
    ] {
        let mut adapted = world.adapted(1).await;
        adapted.plan.as_of = as_of.map(|text| text.parse().unwrap());
        adapted.plan.profile.config.fresh_for_hours = hours;
        let written = world.handle(adapted).await.unwrap();
        let found = world.manifest(&written).await.fresh_until.map(|until| until.to_string());
        assert_eq!(found.as_deref(), until, "{as_of:?} and {hours:?} h");
    }
}

#[tokio::test]
async fn a_run_that_confirms_an_earlier_bundle_hands_its_manifest_and_tar_on() {
    let world = World::new().await;
    let planned = include_str!("../../../crates/contract/tests/wire/run_planned.refresh.v1.json");
    let mut adapted: RunAdapted = serde_json::from_str(SAMPLE).unwrap();
    adapted.plan = serde_json::from_str(planned).unwrap();
    adapted.files.clear();
    let run = adapted.plan.run.clone();
    let written = contract_check(&Manifest::default(), world.store.clone(), run, None, || adapted.clone()).await;
    let refresh = adapted.plan.refresh.clone().unwrap();
    assert_eq!((&written.export_json, &written.bundle), (&refresh.export_json, &refresh.bundle));
    assert_eq!((&written.rerun_hash, written.records), (&refresh.rerun_hash, refresh.records));
    assert_eq!(world.artefacts(&adapted).await, 0, "no tar is made");
}
