//! What stands in the files of a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use export_adapt::adapter::Tools;
use export_adapt::{AdaptPart, Registry};
use export_blobs::Workspace;
use export_canon::digesting::sha256;
use export_canon::zst::{decompress_frame, read_seek_table};
use export_contract::event::ProgressStep;
use export_contract::message::{AdapterRef, PartsResolved, RunAdapted, RunPlanned};
use export_contract::profile::Frames;
use export_contract::run::Phase;
use export_contract::{Digest, PartIndex, RecordKind, Version};
use export_evidence::{EvidenceLedger as _, ReadRange, Selection};
use export_pipeline::stage::PartResolved;
use export_pipeline::{Stage as _, StageContext};
use futures::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::world::{RECORDS, Ticks, World, decompress, digests};

const ADVISORIES: &str = "data/raw/advisories.jsonl.zst";

#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_the_same_for_one_thread_and_for_four() {
    let world = World::new().await;
    let one = world.whole_run(1, 1, Frames::Multi).await;
    let four = world.whole_run(2, 4, Frames::Multi).await;
    assert_eq!(digests(&one), digests(&four));
    let paths: Vec<&str> = one.files.iter().map(|file| file.path.as_str()).collect();
    let expected = ["README.md", ADVISORIES, "data/raw/sboms.jsonl.zst", "data/raw/vex.jsonl.zst"];
    assert_eq!(paths, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_the_same_however_the_ledger_batches() {
    let world = World::new().await;
    let mut seen = BTreeSet::new();
    for (run, batch) in [(1, 1), (2, 7), (3, 10_000)] {
        world.ledger.batch.store(batch, Ordering::SeqCst);
        seen.insert(digests(&world.whole_run(run, 2, Frames::Multi).await));
    }
    assert_eq!(seen.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_another_size_hold_the_same_lines() {
    let world = World::new().await;
    let large = world.whole_run(1, 1, Frames::Multi).await;
    let resolved = world.resolved(2, Frames::Multi).await;
    let small = world.run(world.cut(resolved.plan, 64).await, 1).await;
    let lines = async |run| decompress(&world.bytes(run, ADVISORIES).await);
    assert_eq!(lines(&small).await, lines(&large).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_there_once_in_order_with_its_literals() {
    let world = World::new().await;
    let adapted = world.whole_run(1, 2, Frames::Multi).await;
    let plain = decompress(&world.bytes(&adapted, ADVISORIES).await);
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines.len(), RECORDS - RECORDS / 50);
    assert!(lines.iter().all(|line| line.contains(r#""severity":[1.0,1e3]"#)));
    let subjects: Vec<&str> =
        lines.iter().map(|line| line.split(r#""subject":""#).nth(1).unwrap().split('"').next().unwrap()).collect();
    assert!(subjects.is_sorted() && subjects.first() == Some(&"ADV-00001"));
    let entry = adapted.files.iter().find(|file| file.path == ADVISORIES).unwrap();
    assert_eq!((entry.records, entry.plain_bytes), (Some(lines.len() as u64), Some(plain.len() as u64)));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_frame_is_found_by_the_seek_table_and_holds_whole_lines() {
    let world = World::new().await;
    let adapted = world.whole_run(1, 2, Frames::Multi).await;
    let file = world.bytes(&adapted, ADVISORIES).await;
    let frames = read_seek_table(&mut std::io::Cursor::new(&file), 1000).unwrap();
    let entry = adapted.files.iter().find(|entry| entry.path == ADVISORIES).unwrap();
    assert_eq!(entry.frames, Some(frames.len() as u64));
    assert!(frames.len() > 10);
    let (mut at, mut joined) = (0, String::new());
    for frame in &frames {
        let plain = decompress_frame(&file[at..at + frame.compressed as usize], frame.plain as usize).unwrap();
        assert!(plain.starts_with(b"{") && plain.ends_with(b"}\n"));
        joined.push_str(std::str::from_utf8(&plain).unwrap());
        at += frame.compressed as usize;
    }
    assert_eq!(joined, decompress(&file));
    // Frames close at the first record end at or past 64 KiB; the last one of a part may be shorter. There are three parts.
    assert!(frames.iter().filter(|frame| frame.plain < 64 << 10).count() <= 3);
    assert!(frames.iter().all(|frame| frame.plain < 72 << 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_counted_and_hashed_by_source() {
    let world = World::new().await;
    let resolved = world.resolved(1, Frames::Multi).await;
    let mut expected: BTreeMap<(RecordKind, String), (u64, Vec<u8>)> = BTreeMap::new();
    for part in &resolved.parts {
        let range = ReadRange {
            selection: Selection {
                tenant: world.tenant.clone(),
                watermark: resolved.plan.watermark,
                selectors: resolved.plan.selectors.clone(),
            },
            kind: part.kind,
            first: Some(part.first.clone()),
            last: Some(part.last.clone()),
            after: None,
        };
        let mut hashes: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let lines: Vec<_> = world.ledger.read(range).await.unwrap().try_concat().await.unwrap();
        for line in lines {
            hashes.entry(line.key.source).or_default().extend(hex::decode(line.content_hash.hex()).unwrap());
        }
        let adapted = world.adapt(&resolved, part, 1).await.unwrap();
        assert_eq!(adapted.inputs.len(), hashes.len());
        for (source, hashes) in hashes {
            let input = adapted.inputs.iter().find(|input| input.source == source).unwrap();
            assert_eq!(input.count, hashes.len() as u64 / 32);
            assert_eq!(input.hash, Digest::from_bytes(*sha256(&hashes).as_bytes()));
            let total = expected.entry((part.kind, source)).or_default();
            total.0 += input.count;
            total.1.extend(sha256(&hashes).as_bytes());
        }
    }
    let adapted = world.run(resolved, 1).await;
    let found: BTreeMap<_, _> = adapted
        .sources
        .iter()
        .map(|read| ((read.kind, read.name.clone()), (read.records, read.hash.clone())))
        .collect();
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|(key, (records, hashes))| (key, (records, Digest::from_bytes(*sha256(&hashes).as_bytes()))))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found.values().map(|(records, _)| records).sum::<u64>(), RECORDS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_kind_is_a_valid_file_without_records() {
    let world = World::new().await;
    for (run, frames) in [(1, Frames::Multi), (2, Frames::Single)] {
        let adapted = world.whole_run(run, 1, frames).await;
        let entry = adapted.files.iter().find(|file| file.path.contains("vex")).unwrap();
        assert_eq!((entry.records, entry.frames, entry.plain_bytes), (Some(0), Some(1), Some(0)));
        assert_eq!(decompress(&world.bytes(&adapted, "data/raw/vex.jsonl.zst").await), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_was_not_asked_for_has_no_file() {
    let world = World::new().await;
    let mut plan = world.resolved(1, Frames::Multi).await.plan;
    plan.selectors.kinds = BTreeSet::from([RecordKind::Sbom]);
    let adapted = world.run(world.cut(plan, 250).await, 1).await;
    let paths: Vec<&str> = adapted.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["README.md", "data/raw/sboms.jsonl.zst"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_frame_holds_the_same_lines() {
    let world = World::new().await;
    let many = world.whole_run(1, 2, Frames::Multi).await;
    let single = world.whole_run(2, 2, Frames::Single).await;
    let frame = world.bytes(&single, ADVISORIES).await;
    let plain = decompress_frame(&frame, 64 << 20).expect("exactly one frame");
    assert_eq!(String::from_utf8(plain).unwrap(), decompress(&world.bytes(&many, ADVISORIES).await));
    let again = world.whole_run(3, 4, Frames::Single).await;
    assert_eq!(digests(&single), digests(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_counts_the_files_and_warns_of_frames() {
    let world = World::new().await;
    let text = async |frames, run| {
        let adapted = world.whole_run(run, 1, frames).await;
        let readme = world.bytes(&adapted, "README.md").await;
        let text = String::from_utf8(readme.to_vec()).unwrap();
        for file in adapted.files.iter().filter(|file| file.path != "README.md") {
            let (records, plain) = (file.records.unwrap(), file.plain_bytes.unwrap());
            let row = format!("| `{}` | {records} | {plain} | {} |", file.path, file.frames.unwrap());
            assert!(text.contains(&row), "{row}\n{text}");
        }
        assert!(!text.contains(&adapted.plan.run.run.to_string()), "a run's name would change the bytes");
        text
    };
    assert!(text(Frames::Multi, 1).await.contains("stop after the first frame"));
    assert!(!text(Frames::Single, 2).await.contains("stop after the first frame"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_tells_how_far_it_is() {
    let world = World::new().await;
    let resolved = world.resolved(1, Frames::Multi).await;
    let part = resolved.parts[0].clone();
    let ticks = Arc::new(Ticks::default());
    let workspace = Workspace::new(world.blobs.clone(), resolved.plan.run.clone());
    let cancel = CancellationToken::new();
    let cx = StageContext::new(workspace, Phase::Adapt, Some(part.index), 1, cancel, ticks.clone());
    let input = PartResolved { plan: resolved.plan, part };
    let adapted = AdaptPart::new(world.registry(2)).handle(input, &cx).await.unwrap();
    let ticks = ticks.0.lock().unwrap();
    assert_eq!(ticks[0].step, ProgressStep::AdapterStart);
    assert!(ticks[1..].iter().all(|tick| tick.step == ProgressStep::AdapterChunk));
    assert_eq!(ticks.len() - 1, adapted.segments.iter().map(|segment| segment.frames.len()).sum::<usize>());
    assert!(ticks.windows(2).all(|pair| pair[0].records < pair[1].records && pair[0].bytes < pair[1].bytes));
    let last = ticks.last().unwrap();
    assert_eq!((last.records, last.bytes, last.part), (adapted.records, adapted.plain_bytes, Some(PartIndex(0))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_holds_what_is_allowed_and_says_so_in_its_digest() {
    let world = World::new().await;
    let registry = world.registry(1);
    assert_eq!(registry.references(), [AdapterRef { name: "json:raw".to_owned(), version: "1".to_owned() }]);
    // printf 'json:raw@1\n' | sha256sum
    assert_eq!(registry.digest().hex(), "a61d02b94865cfef1eb0a638c2fad9758177156dc0a21f24bdd93f0dc856ae90");
    let tools = Tools {
        ledger: world.ledger.clone(),
        threads: NonZeroUsize::MIN,
        scratch: std::path::PathBuf::new(),
        fan_in: 2,
        policy: world.policy.clone(),
    };
    let none = Registry::new(&tools, &BTreeSet::new());
    assert!(none.kinds().is_empty() && none.digest() != registry.digest());
    assert_eq!(world.registry(4).digest(), registry.digest(), "threads change no bytes");
}

#[tokio::test]
async fn a_run_that_confirms_an_earlier_bundle_writes_no_file() {
    let world = World::new().await;
    let planned = include_str!("../../../../../crates/contract/tests/wire/run_planned.refresh.v1.json");
    let mut plan = world.plan(1, Frames::Multi);
    plan.refresh = serde_json::from_str::<RunPlanned>(planned).unwrap().refresh;
    let sources = plan.refresh.as_ref().unwrap().sources.clone();
    let assembled = world.assemble(PartsResolved { v: Version, plan: plan.clone(), parts: Vec::new() }).await.unwrap();
    assert_eq!(assembled, RunAdapted { v: Version, plan, files: Vec::new(), sources, target: None });
}
