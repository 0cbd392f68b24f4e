//! What is not as it was promised is found, and named.

use bytes::Bytes;
use export_blobs::{BlobStore as _, Workspace};
use export_canon::zst::{FrameEncoder, decompress_frame};
use export_contract::ErrorCode;
use export_contract::message::{PartAdapted, PartsResolved};
use export_contract::profile::Frames;
use export_contract::run::Phase;
use export_evidence::StoredLine;
use export_pipeline::{Judged as _, Verdict};

use crate::world::{World, record};

/// Something done to every line.
type Twist = fn(&mut StoredLine);

/// Changes a line's text and keeps the rest true.
fn rewrite(line: &mut StoredLine, change: impl Fn(&str) -> String) {
    let text = decompress_frame(&line.line, line.plain_bytes as usize).unwrap();
    let text = change(std::str::from_utf8(&text).unwrap());
    let mut frame = Vec::new();
    FrameEncoder::new(3).unwrap().encode(text.as_bytes(), &mut frame).unwrap();
    line.plain_bytes = u32::try_from(text.len()).unwrap();
    line.line = Bytes::from(frame);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_a_promise_stops_the_part() {
    let unreadable = ErrorCode::SourceUnreadable;
    let twists: [(&str, ErrorCode, Twist); 8] = [
        ("a forbidden member", ErrorCode::AocViolation, |line| {
            rewrite(line, |text| text.replacen('{', r#"{"effective_status":"fixed","#, 1));
        }),
        ("a forbidden member of the guard's list", ErrorCode::AocViolation, |line| {
            rewrite(line, |text| text.replacen('{', r#"{"severity":"high","#, 1));
        }),
        ("two lines", unreadable, |line| rewrite(line, |text| format!("{text}{text}"))),
        ("no line feed", unreadable, |line| rewrite(line, |text| text.trim_end().to_owned())),
        ("no object", unreadable, |line| rewrite(line, |text| format!("[{}]\n", text.trim_end()))),
        ("a longer text than promised", unreadable, |line| line.plain_bytes -= 1),
        ("a shorter text than promised", unreadable, |line| line.plain_bytes += 1),
        ("a damaged text", unreadable, |line| line.line = line.line.slice(..line.line.len() - 1)),
    ];
    let world = World::new().await;
    let resolved = world.resolved(1, Frames::Multi).await;
    for (what, code, twist) in twists {
        *world.ledger.twist.lock().unwrap() = Some(twist);
        let error = world.adapt(&resolved, &resolved.parts[0], 2).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::FailRun(code), "{what}: {error}");
        assert!(error.to_string().contains("pack/"), "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_not_counted_stops_the_part() {
    let world = World::new().await;
    let mut resolved = world.resolved(1, Frames::Multi).await;
    resolved.parts[0].records += 1;
    let error = world.adapt(&resolved, &resolved.parts[0], 1).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::SourceUnreadable));
    assert_eq!(error.to_string(), "part 0 has 250 records, resolve counted 251");
}

/// All parts of a run, each changed before its result is written.
async fn adapted(world: &World, run: u64, frames: Frames, change: fn(&mut PartAdapted)) -> PartsResolved {
    let resolved = world.resolved(run, frames).await;
    let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
    for part in &resolved.parts {
        let mut adapted = world.adapt(&resolved, part, 1).await.unwrap();
        change(&mut adapted);
        workspace.put_result(Phase::Adapt, Some(part.index), &adapted).await.unwrap();
    }
    resolved
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_segment_is_found_when_parts_are_joined() {
    let world = World::new().await;
    for (run, frames, gone) in
        [(1, Frames::Multi, false), (2, Frames::Single, false), (3, Frames::Multi, true), (4, Frames::Single, true)]
    {
        let resolved = adapted(&world, run, frames, |_| ()).await;
        let place = resolved.plan.run.clone();
        let workspace = Workspace::new(world.blobs.clone(), place.clone());
        let part: PartAdapted = workspace.part_result(Phase::Adapt, resolved.parts[1].index).await.unwrap();
        let key = Workspace::artefact_key(&place.tenant, &place.run, &part.segments[0].artefact.digest);
        if gone {
            world.blobs.delete(&key).await.unwrap();
        } else {
            let mut bytes = world.blobs.get(&key, u64::MAX).await.unwrap().to_vec();
            bytes[100] ^= 1;
            world.blobs.put(&key, Bytes::from(bytes)).await.unwrap();
        }
        let before = world.staged(&place).await;
        let resolved_kinds = resolved.plan.selectors.kinds.len();
        let error = world.assemble(resolved).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::ArtefactCorrupt), "{error}");
        let after = world.staged(&place).await;
        let others = resolved_kinds - 1;
        assert!(
            (before.0..=before.0 + others).contains(&after.0),
            "the file that is not whole is not there: {after:?}"
        );
        assert_eq!(after.1, before.1, "nothing half written is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_does_not_add_up_is_not_joined() {
    let changes: [fn(&mut PartAdapted); 5] = [
        |part| part.records -= 1,
        |part| part.plain_bytes += 1,
        |part| part.part.0 += 1,
        |part| part.segments[0].frames[0].bytes += 1,
        |part| drop(part.segments.pop()),
    ];
    let world = World::new().await;
    for (run, change) in (1..).zip(changes) {
        let error = world.assemble(adapted(&world, run, Frames::Multi, change).await).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::ArtefactCorrupt), "change {run}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_another_adapter_version_waits_for_a_worker_that_has_it() {
    let world = World::new().await;
    let mut resolved = world.resolved(1, Frames::Multi).await;
    resolved.plan.adapter.version = "999".to_owned();
    let error = world.adapt(&resolved, &resolved.parts[0], 1).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: None });
    let error = world.assemble(resolved).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: None });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_document_is_exported_as_it_is_now() {
    let world = World::new().await;
    let mut changed = record(1);
    changed.raw = Bytes::from_static(br#"{"id":"CHANGED"}"#);
    world.import(vec![changed]).await;
    let adapted = world.whole_run(1, 1, Frames::Multi).await;
    let plain = crate::world::decompress(&world.bytes(&adapted, "data/raw/advisories.jsonl.zst").await);
    assert_eq!(
        plain.matches(r#""document_id":"pack/1""#).count() + plain.matches(r#""documentId":"pack/1""#).count(),
        1
    );
    assert!(plain.contains(r#"{"id":"CHANGED"}"#));
}
