//! The parts of large runs, and those who come after them.

use export_contract::PartIndex;
use export_contract::message::Summary;
use export_contract::run::{Phase, RunRef};
use export_jetstream::{Settings, Step};
use export_pipeline::RunQueue as _;

use crate::rig::{Adapt, Note, Plan, Resolve, Rig, Toy, Working, quick};

/// Parts of a run that are commanded before one of them is done.
const AHEAD: u32 = 32;

/// Plans, and cuts a run into as many parts as its text says.
fn cutters(rig: &Rig) -> Vec<Working> {
    let plan = rig.work(Step::Plan, Toy::<Plan>::new(|note, _| async move { Ok(note) }));
    let resolve = Toy::<Resolve>::new(|note, _| async move { Ok(Note { parts: note.text.parse().ok(), ..note }) });
    vec![plan, rig.work(Step::Resolve, resolve)]
}

fn adapter(rig: &Rig, slots: usize) -> Working {
    let adapt = Toy::<Adapt>::new(|note, cx| async move { Ok(note.then(cx.part().unwrap())) });
    rig.work_with(Step::AdaptPart, adapt, Settings { slots, ..quick() })
}

async fn stop(rig: Rig, working: Vec<Working>) {
    for worker in working {
        worker.stop().await;
    }
    rig.stop().await;
}

/// The numbers of the parts that the log has an event of.
async fn parts(rig: &Rig, run: &RunRef, phase: &str) -> Vec<u32> {
    let prefix = format!("{phase}.part.");
    let log = rig.log_of(run).await;
    let numbers = log.iter().filter_map(|(what, _)| what.strip_prefix(&prefix)?.strip_suffix(".done")?.parse().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_the_parts_ahead_of_each_run_before_it_and_not_for_all_their_parts() {
    let rig = Rig::new().await;
    let mut working = cutters(&rig);
    // As many runs as a tenant may have at work, and then one of another tenant.
    let mut large = Vec::new();
    for _ in 0..4 {
        let run = rig.admit_new("70").await;
        rig.event(&run, "resolve.done").await;
        large.push(run);
    }
    let small = RunRef { tenant: "globex".parse().unwrap(), ..rig.new_run() };
    rig.admit(&small, &Note::of("3")).await;
    rig.event(&small, "resolve.done").await;
    working.push(adapter(&rig, 1));
    rig.event(&small, "adapt.part.2.done").await;

    let log = rig.messages("EXPORT").await;
    let adapted = log.iter().map(|(subject, _)| subject).filter(|subject| subject.contains(".adapt.part."));
    let theirs: Vec<bool> = adapted.map(|subject| subject.starts_with("export.globex.")).collect();
    let last = theirs.iter().rposition(|is_theirs| *is_theirs).unwrap();
    let before = theirs.iter().take(last).filter(|is_theirs| !**is_theirs).count();
    assert!(before <= 4 * AHEAD as usize, "{before} parts of others were done before its three");

    // And nothing of the large runs is left behind.
    for run in &large {
        for part in 0..70 {
            rig.event(run, &format!("adapt.part.{part}.done")).await;
        }
        assert_eq!(parts(&rig, run, "resolve").await, (0..70).collect::<Vec<_>>(), "each is commanded once");
    }
    stop(rig, working).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_died_behind_its_record_leaves_no_part_without_a_command() {
    let rig = Rig::new().await;
    let mut working = cutters(&rig);
    let run = rig.admit_new("80").await;
    rig.event(&run, "resolve.done").await;
    assert_eq!(parts(&rig, &run, "resolve").await, (0..AHEAD).collect::<Vec<_>>());
    // All that were commanded are written, and of none is it said.
    for part in 0..AHEAD {
        let note = Note::of(format!("written {part}"));
        rig.workspace(&run).put_result(Phase::Adapt, Some(PartIndex(part)), &note).await.unwrap();
    }
    working.push(adapter(&rig, 4));
    for part in 0..80 {
        let expected = if part < AHEAD { format!("written {part}") } else { format!("80>{part}") };
        assert_eq!(rig.result(&run, &format!("adapt.part.{part}.done")).await.text, expected);
    }
    stop(rig, working).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_written_again_has_a_command_for_what_follows_each_part_that_is_done() {
    let rig = Rig::new().await;
    let run = rig.new_run();
    let put = |phase, part: Option<u32>| {
        let workspace = rig.workspace(&run);
        async move { workspace.put_result(phase, part.map(PartIndex), &Note::of("record")).await.unwrap() }
    };
    let resolved = put(Phase::Resolve, None).await;
    rig.queue.done(&run, Phase::Resolve, None, Some(40), &resolved, Summary::default()).await.unwrap();
    for part in [3, 7, 9] {
        let written = put(Phase::Adapt, Some(part)).await;
        let part = Some(PartIndex(part));
        rig.queue.done(&run, Phase::Adapt, part, Some(40), &written, Summary::default()).await.unwrap();
    }
    let expected: Vec<u32> = (0..AHEAD).chain([AHEAD + 3, AHEAD + 7]).collect();
    assert_eq!(parts(&rig, &run, "resolve").await, expected);
    rig.stop().await;
}
