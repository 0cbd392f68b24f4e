//! What a watcher of a run hears.

use export_contract::event::ProgressStep;
use export_jetstream::{NatsFeed, Step};
use export_pipeline::{FeedSignal, RunFeed as _, RunQueue as _};
use futures::StreamExt as _;

use crate::rig::{Note, Plan, Rig, Toy, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_hears_of_its_run_and_of_no_other() {
    let rig = Rig::new().await;
    let feed = NatsFeed::new(rig.nats.clone());
    let (mine, other) = (rig.new_run(), rig.new_run());
    let mut signals = feed.follow(&mine.tenant, &mine.run).await.unwrap();
    rig.queue.recorded(&other.tenant, &other.run).await;
    rig.queue.recorded(&mine.tenant, &mine.run).await;
    assert_eq!(soon("a signal", signals.next()).await, Some(FeedSignal::Recorded));
    let worker = rig.work(
        Step::Plan,
        Toy::<Plan>::new(|note: Note, cx| async move {
            cx.progress(ProgressStep::StageProgress, 7, 70);
            Ok(note)
        }),
    );
    rig.admit(&other, &Note::of("x")).await;
    rig.event(&other, "plan.done").await;
    rig.admit(&mine, &Note::of("x")).await;
    let Some(FeedSignal::Progress(tick)) = soon("a tick", signals.next()).await else { panic!("no tick") };
    assert_eq!((tick.run, tick.step, tick.records, tick.bytes), (mine.clone(), ProgressStep::StageProgress, 7, 70));
    worker.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_to_look_when_the_connection_was_away() {
    let rig = Rig::new().await;
    let run = rig.new_run();
    let mut signals = NatsFeed::new(rig.nats.clone()).follow(&run.tenant, &run.run).await.unwrap();
    rig.kill_server().await;
    assert_eq!(soon("a signal", signals.next()).await, Some(FeedSignal::Recorded));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_reported() {
    let rig = Rig::new().await;
    rig.queue.check().await.unwrap();
    rig.server.stop().await;
    assert!(rig.queue.check().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_watchers_hear_of_their_runs() {
    let rig = Rig::new().await;
    let feed = NatsFeed::new(rig.nats.clone());
    let runs: Vec<_> = (0..10).map(|_| rig.new_run()).collect();
    let mut watchers = Vec::new();
    for number in 0..500 {
        let run = &runs[number % runs.len()];
        watchers.push(feed.follow(&run.tenant, &run.run).await.unwrap());
    }
    for run in &runs {
        rig.queue.recorded(&run.tenant, &run.run).await;
    }
    for signals in &mut watchers {
        assert_eq!(soon("a signal", signals.next()).await, Some(FeedSignal::Recorded));
    }
    rig.stop().await;
}
