use std::convert::Infallible;
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Barrier, mpsc};

use super::*;

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("bad record {0}")]
struct Bad(u64);

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// Plain bytes of frame `n`: text of uneven length, so that workers finish out of order.
fn plain(n: u64) -> Vec<u8> {
    (0..(n * 7919) % 40_000).flat_map(|i| (i * n).to_string().into_bytes()).collect()
}

fn run(count: usize, frames: u64) -> (Vec<u8>, Vec<(u64, u64, FrameInfo)>) {
    let mut file = Vec::new();
    let mut infos = Vec::new();
    let mut row = ParallelFrames::new(threads(count), 3, |frame: Frame<'_, u64>| {
        file.extend_from_slice(frame.bytes);
        infos.push((frame.index, frame.made, frame.info));
        Ok::<(), Infallible>(())
    })
    .unwrap();
    for n in 0..frames {
        row.submit(move |out: &mut Vec<u8>| {
            assert!(out.is_empty(), "every job starts with an empty buffer");
            out.extend(plain(n));
            Ok(n * 10)
        })
        .unwrap();
    }
    assert_eq!(row.finish().unwrap(), frames);
    (file, infos)
}

#[test]
fn bytes_are_the_same_for_any_number_of_threads() {
    let mut file = Vec::new();
    let mut encoder = FrameEncoder::new(3).unwrap();
    let infos: Vec<_> = (0..40).map(|n| (n, n * 10, encoder.encode(&plain(n), &mut file).unwrap())).collect();
    for count in 1..=8 {
        assert!(run(count, 40) == (file.clone(), infos.clone()), "{count} threads");
    }
}

#[test]
fn first_failed_frame_is_named_after_all_before_it_were_delivered() {
    for count in 1..=4 {
        let mut delivered = Vec::new();
        let mut row = ParallelFrames::new(threads(count), 3, |frame: Frame<'_, ()>| {
            delivered.push(frame.index);
            Ok(())
        })
        .unwrap();
        let submitted = (0..30)
            .try_for_each(|n| row.submit(move |_: &mut Vec<u8>| if n == 5 || n == 7 { Err(Bad(n)) } else { Ok(()) }));
        let error = submitted.and_then(|()| row.drain()).unwrap_err();
        assert!(matches!(error, FramesError::Job { frame: 5, cause: Bad(5) }), "{error:?}");
        assert_eq!(error.source().unwrap().to_string(), "bad record 5");
        assert!(matches!(row.submit(|_: &mut Vec<u8>| Ok(())), Err(FramesError::Stopped)));
        assert!(matches!(row.finish(), Err(FramesError::Stopped)));
        assert_eq!(delivered, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn panic_in_a_job_is_an_error() {
    let mut row = ParallelFrames::new(threads(2), 3, |_: Frame<'_, ()>| Ok::<(), Infallible>(())).unwrap();
    row.submit(|_: &mut Vec<u8>| Ok(())).unwrap();
    row.submit(|_: &mut Vec<u8>| panic!("index {} is odd", 1)).unwrap();
    let error = row.finish().unwrap_err();
    assert_eq!(error.to_string(), "the job of frame 1 panicked: index 1 is odd");
}

#[test]
fn error_of_the_sink_stops_the_row() {
    let mut row =
        ParallelFrames::new(
            threads(2),
            3,
            |frame: Frame<'_, ()>| {
                if frame.index == 3 { Err(io::Error::other("disk full")) } else { Ok(()) }
            },
        )
        .unwrap();
    let submitted = (0..20).try_for_each(|_| row.submit(|_: &mut Vec<u8>| Ok(())));
    let error = submitted.and_then(|()| row.drain()).unwrap_err();
    assert!(matches!(error, FramesError::Sink { frame: 3, .. }));
    assert_eq!(row.delivered(), 3);
}

/// Counts how many of its kind are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(now: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) -> Self {
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(Arc::clone(now))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn no_more_than_the_window_is_in_flight() {
    let (now, most) = (Arc::default(), Arc::default());
    let mut row = ParallelFrames::new(threads(2), 3, |_: Frame<'_, Alive>| Ok::<(), Infallible>(())).unwrap();
    for n in 0..100_u8 {
        let token = Alive::new(&now, &most);
        row.submit(move |out: &mut Vec<u8>| {
            out.extend([n; 5000]);
            Ok(token)
        })
        .unwrap();
    }
    row.finish().unwrap();
    // 2N+1 in flight, and the one that waits in `submit`.
    assert!(most.load(Ordering::SeqCst) <= 6, "{most:?}");
    assert_eq!(now.load(Ordering::SeqCst), 0);
}

#[test]
fn submit_waits_while_a_slow_frame_holds_the_window() {
    let full = Arc::new(AtomicBool::new(false));
    let (open, gate) = mpsc::channel();
    let mut row = ParallelFrames::new(threads(2), 3, |_: Frame<'_, ()>| Ok::<(), Infallible>(())).unwrap();
    row.submit(move |_: &mut Vec<u8>| {
        // An error here means that the jobs that would open were dropped.
        let _opened = gate.recv().is_ok();
        Ok(())
    })
    .unwrap();
    for n in 1..=4 {
        let (open, full) = (open.clone(), Arc::clone(&full));
        row.submit(move |_: &mut Vec<u8>| {
            // The last job of the window lets the first one go, but not before a further one is to be submitted. The
            // further turns are time for a faulty `submit` to come back; a right one waits, however many there are.
            while n == 4 && !full.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            for _ in 0..10_000 * (n / 4) {
                thread::yield_now();
            }
            if n == 4 {
                open.send(()).unwrap();
            }
            Ok(())
        })
        .unwrap();
    }
    // The jobs alone hold the gate now, so a failure below ends the first job instead of hanging it.
    drop(open);
    assert_eq!((row.submitted, row.delivered()), (5, 0));
    full.store(true, Ordering::SeqCst);
    row.submit(|_: &mut Vec<u8>| Ok(())).unwrap();
    assert!(row.delivered() >= 1, "a sixth job is taken only after the first frame was delivered");
    assert_eq!(row.finish().unwrap(), 6);
}

#[test]
fn dropping_drops_jobs_not_begun_and_ends_the_workers() {
    let (now, most) = (Arc::default(), Arc::default());
    let (begun, has_begun) = mpsc::channel();
    let gate = Arc::new(Barrier::new(2));
    let mut row = ParallelFrames::new(threads(1), 3, |_: Frame<'_, ()>| Ok::<(), Infallible>(())).unwrap();
    let (token, inner_gate) = (Alive::new(&now, &most), Arc::clone(&gate));
    row.submit(move |_: &mut Vec<u8>| {
        begun.send(()).unwrap();
        inner_gate.wait();
        drop(token);
        Ok(())
    })
    .unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    for _ in 0..2 {
        let (token, ran) = (Alive::new(&now, &most), Arc::clone(&ran));
        row.submit(move |_: &mut Vec<u8>| {
            ran.fetch_add(1, Ordering::SeqCst);
            drop(token);
            Ok(())
        })
        .unwrap();
    }
    has_begun.recv().unwrap();
    let cancel = Arc::clone(&row.pool.cancel);
    let opener = thread::spawn(move || {
        // The running job ends only once the row is being dropped.
        while !cancel.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        gate.wait();
    });
    drop(row);
    opener.join().unwrap();
    assert_eq!((now.load(Ordering::SeqCst), ran.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn a_row_with_used_workbenches_gives_the_same_bytes() {
    let benches = Workbenches::default();
    let run = |level: i32, count: u64| {
        let mut file = Vec::new();
        let mut row = ParallelFrames::with_benches(threads(2), level, &benches, |frame: Frame<'_, ()>| {
            file.extend_from_slice(frame.bytes);
            Ok::<(), Infallible>(())
        })
        .unwrap();
        for n in 0..count {
            row.submit(move |out: &mut Vec<u8>| {
                out.extend(plain(n));
                Ok(())
            })
            .unwrap();
        }
        row.finish().unwrap();
        file
    };
    let fresh = [run(3, 9), run(19, 9)];
    // Benches of this level, of another one, and again of this one.
    assert!([run(19, 9), run(19, 9)] == [fresh[1].clone(), fresh[1].clone()]);
    assert!(run(3, 9) == fresh[0]);
}
