//! Mirrors: trees with indexes, and what a delta ships of one.

use export_canon::digesting::sha256;
use export_contract::message::{BaseExport, PartsResolved, RunAdapted};
use export_contract::profile::{Frames, ProfileKind};
use export_contract::run::Phase;
use export_contract::{Digest, ErrorCode, RecordKind};
use export_evidence::EvidenceLedger as _;
use export_mirror::{DocumentIndex, FileIndex, layout};
use export_pipeline::{Judged as _, Verdict};

use crate::world::{World, digests, record};

const COUNT: usize = 600;

async fn world(kind: ProfileKind) -> World {
    World::holding(kind, (0..COUNT).map(record).collect()).await
}

/// The plan of a delta upon what `base` adapted, whose record is written as the host would.
async fn upon(world: &World, base: &RunAdapted, run: u64) -> PartsResolved {
    let workspace = export_blobs::Workspace::new(world.blobs.clone(), base.plan.run.clone());
    let adapted = workspace.put_result(Phase::Adapt, None, base).await.unwrap();
    let mut resolved = world.resolved(run, Frames::Multi).await;
    resolved.plan.base = Some(BaseExport {
        run: base.plan.run.clone(),
        manifest_digest: Digest::from_bytes([7; 32]),
        profile: base.plan.profile.clone(),
        config_digest: base.plan.config_digest.clone(),
        adapted,
    });
    resolved
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_the_same_for_one_thread_and_for_four_and_when_it_is_made_again() {
    let world = world(ProfileKind::MirrorFull).await;
    let one = world.whole_run(1, 1, Frames::Multi).await;
    let four = world.whole_run(2, 4, Frames::Multi).await;
    assert_eq!(digests(&one), digests(&four));
    // The same run once more, on what the first time left.
    assert_eq!(digests(&one), digests(&world.whole_run(1, 2, Frames::Multi).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_names_every_frame_and_every_document() {
    let world = world(ProfileKind::MirrorFull).await;
    let mirror = world.whole_run(1, 2, Frames::Multi).await;
    let path = layout::lines_path(RecordKind::Advisory);
    let name = layout::index_path(RecordKind::Advisory);
    let file = world.bytes(&mirror, &path).await;
    let index = FileIndex::read(&name, world.bytes(&mirror, &name).await.as_ref(), &path).unwrap();
    assert!(index.frames.len() > 3, "{}", index.frames.len());
    let mut records = 0;
    for frame in &index.frames {
        let (start, end) =
            (usize::try_from(frame.offset).unwrap(), usize::try_from(frame.offset + frame.bytes).unwrap());
        let bytes = &file[start..end];
        assert_eq!(Digest::from_bytes(*sha256(bytes).as_bytes()), frame.digest);
        let plain = export_canon::zst::decompress_frame(bytes, usize::try_from(frame.plain).unwrap()).unwrap();
        let text = String::from_utf8(plain).unwrap();
        assert!(text.lines().next().unwrap().contains(&frame.first.subject));
        records += text.lines().count();
    }
    let name = layout::index_path(RecordKind::Sbom);
    let documents = DocumentIndex::read(&name, world.bytes(&mirror, &name).await.as_ref()).unwrap().documents;
    assert_eq!(records + documents.len(), COUNT);
    for entry in documents {
        let bytes = world.bytes(&mirror, &entry.path).await;
        assert_eq!(Digest::from_bytes(*sha256(&bytes).as_bytes()), entry.digest);
        assert!(bytes.starts_with(br#"{"id":"ADV-"#), "the document itself, without an envelope");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_ships_what_differs_and_keeps_the_mirror_for_deltas_to_come() {
    let world = world(ProfileKind::MirrorDelta).await;
    // Without a base it holds everything: that is the mirror that the next one builds upon.
    let whole = world.whole_run(1, 2, Frames::Multi).await;
    let target = whole.target.as_ref().unwrap();
    assert_eq!(target.difference.added.len(), target.files.len());

    let nothing = world.run(upon(&world, &whole, 2).await, 2).await;
    let difference = nothing.target.as_ref().unwrap().difference.clone();
    assert_eq!((difference.records_put, difference.tombstones, difference.files), (0, 0, Vec::new()));

    let mut session = world.ledger.begin_import(&world.tenant).await.unwrap();
    session.put(vec![record(COUNT), record(COUNT + 1)]).await.unwrap();
    session.commit().await.unwrap();
    let delta = world.run(upon(&world, &whole, 3).await, 2).await;
    let target = delta.target.as_ref().unwrap();
    assert_eq!((target.difference.records_put, target.difference.tombstones), (2, 0));
    let changes = delta.files.iter().find(|file| file.path.ends_with("advisories.changes.jsonl.zst")).unwrap();
    assert_eq!(changes.records, Some(1), "the other one is an SBOM and a file of its own");
    let shipped: u64 = delta.files.iter().map(|file| file.artefact.bytes).sum();
    let all: u64 = target.files.iter().map(|file| file.artefact.bytes).sum();
    assert!(shipped * 4 < all, "{shipped} of {all}");
    assert_eq!(digests(&delta), digests(&world.run(upon(&world, &whole, 4).await, 1).await), "whatever the threads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_is_gone_fails_the_run_by_name() {
    let world = world(ProfileKind::MirrorDelta).await;
    let whole = world.whole_run(1, 2, Frames::Multi).await;
    let mut resolved = upon(&world, &whole, 2).await;
    resolved.plan.base.as_mut().unwrap().adapted.digest = Digest::from_bytes([9; 32]);
    for part in &resolved.parts {
        let adapted = world.adapt(&resolved, part, 2).await.unwrap();
        let workspace = export_blobs::Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
        workspace.put_result(Phase::Adapt, Some(part.index), &adapted).await.unwrap();
    }
    let error = world.assemble(resolved).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::BaseMissing), "{error}");
}
