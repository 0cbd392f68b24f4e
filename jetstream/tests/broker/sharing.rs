//! The record that all parts of a run are read from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use export_contract::PartIndex;
use export_contract::run::Phase;
use export_jetstream::{Settings, Step, Worker};
use export_pipeline::{Stage, StageContext, StageInput, UnreadableInput};
use tokio_util::sync::CancellationToken;

use crate::rig::{Broken, Note, Plan, Resolve, Rig, Toy, Working, quick};

const PARTS: u32 = 40;

/// How often a record was parsed by the one test below.
static PARSED: AtomicU32 = AtomicU32::new(0);

struct Piece(String);

impl StageInput for Piece {
    type Record = Note;

    fn parse(record: &[u8]) -> Result<Note, UnreadableInput> {
        PARSED.fetch_add(1, Ordering::SeqCst);
        serde_json::from_slice(record).map_err(UnreadableInput::Parse)
    }

    fn take(record: Arc<Note>, part: Option<PartIndex>) -> Result<Self, UnreadableInput> {
        let part = part.ok_or(UnreadableInput::NoSuchPart { part, parts: 0 })?;
        Ok(Self(format!("{}>{part}", record.text)))
    }
}

struct Pieces;

impl Stage for Pieces {
    const PHASE: Phase = Phase::Adapt;
    type Input = Piece;
    type Output = Note;
    type Error = Broken;

    async fn handle(&self, input: Piece, _cx: &StageContext) -> Result<Note, Broken> {
        Ok(Note::of(input.0))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_parses_the_record_of_resolve_once_for_all_parts() {
    let rig = Rig::new().await;
    let runs = [rig.admit_new("one").await, rig.admit_new("two").await];
    let stop = CancellationToken::new();
    let worker = Worker::new(Pieces, Step::AdaptPart, rig.deps(), Settings { slots: 8, ..quick() });
    let adapt = Working { task: tokio::spawn(worker.run(stop.clone())), stop };
    let plan = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note) }));
    let resolve =
        rig.work(Step::Resolve, Toy::<Resolve>::new(|note, _| async move { Ok(Note { parts: Some(PARTS), ..note }) }));
    for (run, text) in runs.iter().zip(["one", "two"]) {
        for part in 0..PARTS {
            assert_eq!(rig.result(run, &format!("adapt.part.{part}.done")).await.text, format!("{text}>{part}"));
        }
    }
    assert_eq!(PARSED.load(Ordering::SeqCst), 2, "once for each run");
    for worker in [adapt, plan, resolve] {
        worker.stop().await;
    }
    rig.stop().await;
}
