//! The contract check passes good stages and names the rule that a bad one breaks.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use export_blobs::folder::FolderBlobs;
use export_contract::run::{Phase, RunRef};
use export_contract::{ErrorCode, Generation, PartIndex, RunId};
use export_pipeline::contract_check::contract_check;
use export_pipeline::{Done, Judged, Stage, StageContext, StageInput, UnreadableInput, Verdict};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Number(u32);

impl StageInput for Number {
    type Record = Self;

    fn parse(record: &[u8]) -> Result<Self, UnreadableInput> {
        serde_json::from_slice(record).map_err(UnreadableInput::Parse)
    }

    fn take(record: Arc<Self>, _part: Option<PartIndex>) -> Result<Self, UnreadableInput> {
        Arc::into_inner(record).ok_or(UnreadableInput::NoSuchPart { part: None, parts: 0 })
    }
}

impl Done for Number {}

#[derive(Debug, thiserror::Error)]
#[error("broken")]
struct Broken(Verdict);

impl Judged for Broken {
    fn verdict(&self) -> Verdict {
        self.0.clone()
    }
}

/// Gives `outputs` in turn; `None` is an error for good.
struct Scripted {
    calls: AtomicU32,
    outputs: [Option<u32>; 3],
    looks_at_cancel: bool,
}

impl Stage for Scripted {
    const PHASE: Phase = Phase::Plan;
    type Input = Number;
    type Output = Number;
    type Error = Broken;

    async fn handle(&self, input: Number, cx: &StageContext) -> Result<Number, Broken> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) as usize;
        if self.looks_at_cancel {
            cx.check().map_err(|_| Broken(Verdict::Cancelled))?;
        }
        self.outputs[call].map(|output| Number(input.0 + output)).ok_or(Broken(Verdict::FailRun(ErrorCode::Internal)))
    }
}

async fn check(outputs: [Option<u32>; 3], looks_at_cancel: bool) -> u32 {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(FolderBlobs::open(dir.path()).await.unwrap());
    let run = RunRef { tenant: "acme".parse().unwrap(), run: RunId::from_parts(1, 1), generation: Generation::FIRST };
    let stage = Scripted { calls: AtomicU32::new(0), outputs, looks_at_cancel };
    contract_check(&stage, store, run, None, || Number(40)).await.0
}

#[tokio::test]
async fn a_good_stage_passes_whether_it_looks_at_the_cancel_or_is_faster() {
    assert_eq!(check([None, Some(2), Some(2)], true).await, 42);
    assert_eq!(check([Some(2); 3], false).await, 42);
}

#[tokio::test]
#[should_panic(expected = "S-1")]
async fn an_output_that_changes_is_found() {
    check([None, Some(1), Some(2)], true).await;
}

#[tokio::test]
#[should_panic(expected = "S-2")]
async fn a_second_call_that_fails_is_found() {
    check([None, Some(1), None], true).await;
}

#[tokio::test]
#[should_panic(expected = "S-3")]
async fn a_cancelled_call_that_fails_otherwise_is_found() {
    check([None, Some(1), Some(1)], false).await;
}
