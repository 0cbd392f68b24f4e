//! Memory of the stage that touches every byte.

use export_tests::{Deployment, Store, evidence_folder, heavy};

/// Most memory that a process of adapt may ever have had (KiB).
const LIMIT_KIB: u64 = 256 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn adapt_stays_under_256_mib_on_the_whole_evidence() {
    let Some(evidence) = evidence_folder() else { return };
    let _turn = heavy().await;
    let deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    deployment.import(&[evidence.as_path()]).unwrap();
    let at_rest = peak_kib(deployment.pid("adapt-1").unwrap());
    let finished = deployment.run("json:raw").await.unwrap();
    finished.bundle();
    let peak = peak_kib(deployment.pid("adapt-1").unwrap());
    println!("adapt: {} MiB at rest, {} MiB at its peak", at_rest >> 10, peak >> 10);
    assert!(peak > at_rest, "the run left no trace: was it another process?");
    assert!(peak < LIMIT_KIB, "{peak} KiB of {LIMIT_KIB}");
}

/// `VmHWM`: the largest resident set that the process ever had.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
