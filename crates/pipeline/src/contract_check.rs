//! The stage contract as a test: every stage's own tests call [`contract_check`] with a fixture.
//!
//! | rule | what it says |
//! |---|---|
//! | S-1 | the same input gives the same output, whatever an earlier call left behind |
//! | S-2 | a call on what an earlier call left behind is no error |
//! | S-3 | a run that is cancelled before the call ends in [`Verdict::Cancelled`] or in the same output, and the call after it is as good as the first |

use std::sync::Arc;

use export_blobs::{BlobStore, Workspace};
use export_contract::PartIndex;
use export_contract::event::ProgressTick;
use export_contract::run::RunRef;
use tokio_util::sync::CancellationToken;

use crate::{Judged, ProgressSink, Stage, StageContext, Verdict};

/// Forgets every tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn tick(&self, _tick: ProgressTick) {}
}

/// The context that a host would give to a stage; `attempt` counts from 1.
pub fn context<S: Stage>(
    store: Arc<dyn BlobStore>,
    run: RunRef,
    part: Option<PartIndex>,
    attempt: u32,
) -> StageContext {
    let workspace = Workspace::new(store, run);
    StageContext::new(workspace, S::PHASE, part, attempt, CancellationToken::new(), Arc::new(NoProgress))
}

/// Holds `stage` to its contract: calls it cancelled, then twice, on one staging. Gives its output, for the caller to
/// look at. `input` is called for each call.
///
/// # Panics
/// When the stage breaks a rule; the message names it.
pub async fn contract_check<S: Stage>(
    stage: &S,
    store: Arc<dyn BlobStore>,
    run: RunRef,
    part: Option<PartIndex>,
    input: impl Fn() -> S::Input,
) -> S::Output {
    let at = |attempt| context::<S>(Arc::clone(&store), run.clone(), part, attempt);
    let cancelled = at(1);
    cancelled.cancellation().cancel();
    let early = match stage.handle(input(), &cancelled).await {
        Ok(output) => Some(bytes_of(&output)),
        Err(error) => {
            assert_eq!(error.verdict(), Verdict::Cancelled, "S-3: a cancelled call failed otherwise: {error}");
            None
        }
    };
    let first = match stage.handle(input(), &at(2)).await {
        Ok(output) => output,
        Err(error) => panic!("S-3: a call after a cancelled one failed: {error}"),
    };
    let second = match stage.handle(input(), &at(3)).await {
        Ok(output) => output,
        Err(error) => panic!("S-2: a second call failed: {error}"),
    };
    assert_eq!(bytes_of(&first), bytes_of(&second), "S-1: two calls gave different outputs");
    if let Some(early) = early {
        assert_eq!(early, bytes_of(&first), "S-3: a cancelled call gave another output");
    }
    first
}

fn bytes_of<T: serde::Serialize>(output: &T) -> String {
    match serde_json::to_string(output) {
        Ok(text) => text,
        Err(error) => panic!("an output cannot be written as a result record: {error}"),
    }
}
