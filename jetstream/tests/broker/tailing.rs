//! The log, read in order.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use export_contract::message::StageEvent;
use export_jetstream::{HandlerError, LogHandler, ParsedSubject, Tail, What};
use export_pipeline::RunQueue as _;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, Working, eventually};

/// Remembers what it took; refuses what it is told to.
#[derive(Clone, Default)]
struct Memory {
    taken: Arc<Mutex<Vec<String>>>,
    /// Runs whose next event is refused, and whether for now only.
    refused: Arc<Mutex<Vec<(String, bool)>>>,
    /// Events at hand now, and the most there ever were.
    at_hand: Arc<(AtomicU32, AtomicU32)>,
}

#[async_trait]
impl LogHandler for Memory {
    async fn handle(&self, subject: ParsedSubject, event: StageEvent) -> Result<(), HandlerError> {
        assert_eq!(subject.run, event.run);
        let (now, most) = &*self.at_hand;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Long enough for another reader to take the next event, if it may.
        tokio::time::sleep(Duration::from_millis(2)).await;
        now.fetch_sub(1, Ordering::SeqCst);
        let mut refused = self.refused.lock().unwrap();
        if let Some(at) = refused.iter().position(|(run, _)| *run == subject.run.run.to_string()) {
            let (_, transient) = refused.remove(at);
            return Err(HandlerError { transient, cause: "not now".into() });
        }
        self.taken.lock().unwrap().push(subject.run.run.to_string());
        Ok(())
    }
}

fn tail(rig: &Rig, memory: &Memory) -> Working {
    let stop = CancellationToken::new();
    let tail = Tail::new(rig.nats.clone(), rig.topology.clone(), rig.metrics.clone());
    Working { task: tokio::spawn(tail.run(memory.clone(), stop.clone())), stop }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_taken_in_order_over_restarts_and_several_readers() {
    let rig = Rig::new().await;
    let memory = Memory::default();
    let mut runs = Vec::new();
    let readers = [tail(&rig, &memory), tail(&rig, &memory)];
    for _ in 0..30 {
        runs.push(rig.admit_new("x").await.run.to_string());
    }
    eventually("the first thirty", async || memory.taken.lock().unwrap().len() >= 30).await;
    assert_eq!(memory.at_hand.1.load(Ordering::SeqCst), 1, "two events were at hand at once");
    for reader in readers {
        reader.stop().await;
    }
    for _ in 0..10 {
        runs.push(rig.admit_new("x").await.run.to_string());
    }
    let reader = tail(&rig, &memory);
    rig.kill_server().await;
    for _ in 0..10 {
        runs.push(rig.admit_new("x").await.run.to_string());
    }
    let last = runs.last().cloned();
    eventually("the last", async || memory.taken.lock().unwrap().last() == last.as_ref()).await;
    // What the dead server had not written down comes again, from an earlier place, but nothing is left out.
    let taken = memory.taken.lock().unwrap().clone();
    let mut next = 0;
    for run in taken {
        let at = runs.iter().position(|known| *known == run).unwrap();
        assert!(at <= next, "an event was left out");
        next = at + 1;
    }
    assert_eq!(next, runs.len());
    reader.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_waits_for_an_event_that_cannot_be_taken_now() {
    let rig = Rig::new().await;
    let memory = Memory::default();
    let (first, second, third) = (rig.new_run(), rig.new_run(), rig.new_run());
    memory.refused.lock().unwrap().extend([(second.run.to_string(), true), (second.run.to_string(), true)]);
    for run in [&first, &second, &third] {
        rig.queue.requested(run).await.unwrap();
    }
    let reader = tail(&rig, &memory);
    eventually("all three", async || memory.taken.lock().unwrap().len() == 3).await;
    assert_eq!(*memory.taken.lock().unwrap(), [first.run.to_string(), second.run.to_string(), third.run.to_string()]);
    assert_eq!(rig.dead_letters().await, []);
    reader.stop().await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_can_never_be_taken_is_set_aside() {
    let rig = Rig::new().await;
    let memory = Memory::default();
    let (bad, good) = (rig.new_run(), rig.new_run());
    memory.refused.lock().unwrap().push((bad.run.to_string(), false));
    rig.queue.requested(&bad).await.unwrap();
    rig.nats.jetstream().publish("export.nonsense", "?".into()).await.unwrap().await.unwrap();
    rig.queue.requested(&good).await.unwrap();
    let reader = tail(&rig, &memory);
    eventually("the good one", async || *memory.taken.lock().unwrap() == [good.run.to_string()]).await;
    let letters: Vec<(String, String)> =
        rig.dead_letters().await.into_iter().map(|letter| (letter.consumer, letter.subject)).collect();
    let refused = ParsedSubject { run: bad, what: What::Requested }.to_string();
    let recorder = "recorder".to_owned();
    assert_eq!(letters, [(recorder.clone(), refused), (recorder, "export.nonsense".to_owned())]);
    reader.stop().await;
    rig.stop().await;
}
