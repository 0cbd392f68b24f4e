//! Memory of the stage that touches every byte.

use export_tests::{Deployment, Store, evidence_folder, heavy, peak_kib};

/// Most memory that a process of adapt may ever have had (KiB).
const LIMIT_KIB: u64 = 256 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn adapt_stays_under_256_mib_on_the_whole_evidence() {
    let Some(evidence) = evidence_folder() else { return };
    let _turn = heavy().await;
    let deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    deployment.import(&[evidence.as_path()]).unwrap();
    let at_rest = peak_kib(deployment.pid("adapt-1").unwrap()).unwrap();
    let finished = deployment.run("json:raw").await.unwrap();
    finished.bundle();
    let peak = peak_kib(deployment.pid("adapt-1").unwrap()).unwrap();
    println!("adapt: {} MiB at rest, {} MiB at its peak", at_rest >> 10, peak >> 10);
    assert!(peak > at_rest, "the run left no trace: was it another process?");
    assert!(peak < LIMIT_KIB, "{peak} KiB of {LIMIT_KIB}");
}
