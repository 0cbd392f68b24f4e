//! The memory of a part does not grow with its length or with the documents in flight.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use export_contract::RecordKind;
use export_contract::evidence::Linkset;
use export_contract::message::PartsResolved;
use export_contract::profile::{Compression, Frames};
use export_evidence::NewRecord;

use crate::world::{World, record};

/// Tells the measured process where the ledger is.
const FOLDER: &str = "EXPORT_TESTS_ADAPT_FOLDER";
/// Largest document of the measured part: as in the corpus, a CSAF document on one line.
const LARGEST: usize = 18_000_000;

/// A document of `bytes` bytes that does not compress to nothing.
fn document(number: usize, bytes: usize) -> NewRecord {
    let mut state = number as u64 + 1;
    let mut noise = String::with_capacity(bytes);
    while noise.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(noise, "{:016x}", state ^ (state >> 29)).unwrap();
    }
    let mut record = record(number);
    record.kind = RecordKind::Sbom;
    record.key.document_id = format!("large/{number}");
    record.linkset = Linkset::default();
    record.raw = Bytes::from(format!(r#"{{"id":"{number}","noise":"{noise}"}}"#));
    record
}

/// The SBOMs as one part, cut at the default size.
async fn one_part(world: &World) -> PartsResolved {
    let mut plan = world.resolved(1, Frames::Multi).await.plan;
    plan.selectors.kinds = [RecordKind::Sbom].into();
    plan.profile.config.compression = Compression::default();
    world.cut(plan, 10_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_larger_than_the_room_in_flight_pass_one_after_the_other() {
    let world = World::new().await;
    world.import((0..6).map(|number| document(50 * number, 16 << 20)).collect()).await;
    let resolved = one_part(&world).await;
    let adapted = world.adapt(&resolved, &resolved.parts[0], 1).await.unwrap();
    assert!(adapted.plain_bytes > 6 * (16 << 20), "{}", adapted.plain_bytes);
    assert!(adapted.segments.len() > 1, "what does not compress closes its segment early");
}

/// A part of 170 MB is written by a process of its own, whose peak is then the part's.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_part_holds_no_more_than_64_mib_and_four_times_its_largest_document() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path()).await;
    let sizes = (0..120).map(|number| if number % 30 == 7 { LARGEST } else { 800_000 });
    for (number, bytes) in sizes.enumerate() {
        world.import(vec![document(number, bytes)]).await;
    }
    drop(world);
    let measured = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "json_raw::memory::the_measured_process", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        // glibc keeps large buffers that were freed, per thread; the promise is about those that are in use.
        .env("MALLOC_MMAP_THRESHOLD_", "1048576")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&measured.stdout);
    assert!(measured.status.success(), "{said}{}", String::from_utf8_lossy(&measured.stderr));
    let peak: u64 = said.lines().find_map(|line| line.strip_prefix("peak ")).unwrap().parse().unwrap();
    let limit = (64 << 20) + 4 * LARGEST as u64;
    assert!(peak <= limit, "adapt held {peak} bytes, at most {limit} are promised");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other half of the test above"]
#[expect(clippy::disallowed_methods, reason = "told by the test above, which is another process")]
async fn the_measured_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let world = World::open(&PathBuf::from(folder)).await;
    let resolved = one_part(&world).await;
    let sampler = Sampler::start();
    world.adapt(&resolved, &resolved.parts[0], 2).await.unwrap();
    println!("\npeak {}", sampler.peak());
}

/// Watches how much memory this process has. The kernel keeps the peak of all memory only; of that, pages of the mapped ledger are no
/// cost to anybody.
#[cfg(target_os = "linux")]
pub(crate) struct Sampler {
    done: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

#[cfg(target_os = "linux")]
impl Sampler {
    pub(crate) fn start() -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let is_done = done.clone();
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while !is_done.load(Ordering::SeqCst) {
                peak = peak.max(anonymous_bytes());
                std::thread::sleep(Duration::from_millis(1));
            }
            peak
        });
        Self { done, thread }
    }

    /// The most that it had since the start, in bytes.
    pub(crate) fn peak(self) -> u64 {
        self.done.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

#[cfg(target_os = "linux")]
fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
