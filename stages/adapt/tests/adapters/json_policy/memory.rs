//! The memory of an export of findings does not grow with them.

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use export_contract::profile::{Compression, Frames};
use export_evidence::policy::PolicyStore as _;
use export_evidence::policy::suite::{finding, snapshot};

use super::{ID, pinned, put};
use crate::json_raw::memory::Sampler;
use crate::world::World;

/// Tells the measured process where the store is.
const FOLDER: &str = "EXPORT_TESTS_POLICY_FOLDER";

/// 200 MB in findings of 4 KB.
const FINDINGS: usize = 50_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_200_mb_of_findings_holds_no_more_than_128_mib() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path()).await;
    for thousand in 0..FINDINGS / 1_000 {
        let findings = (0..1_000).map(|n| {
            let number = thousand * 1_000 + n;
            let mut made = finding(ID, &format!("pkg:npm/{number:06}"), "CVE-2026-1", "blocked");
            let noise: String = (0..1_000).map(|n| format!("{:04x}", (number * 7919 + n * 104_729) % 65_521)).collect();
            made.raw = Bytes::from(format!(r#"{{"noise":"{noise}"}}"#));
            made
        });
        put(&world, findings.collect()).await;
    }
    world.policy.put_snapshot(&world.tenant, snapshot(ID, 1, "x")).await.unwrap();
    drop(world);
    let measured = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "json_policy::memory::the_measured_process", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        // glibc keeps large buffers that were freed, per thread; the promise is about those that are in use.
        .env("MALLOC_MMAP_THRESHOLD_", "1048576")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&measured.stdout);
    assert!(measured.status.success(), "{said}{}", String::from_utf8_lossy(&measured.stderr));
    let peak: u64 = said.lines().find_map(|line| line.strip_prefix("peak ")).unwrap().parse().unwrap();
    assert!(peak <= 128 << 20, "plan and adapt held {peak} bytes, at most 128 MiB are promised");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other half of the test above"]
#[expect(clippy::disallowed_methods, reason = "told by the test above, which is another process")]
async fn the_measured_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut world = World::open(&PathBuf::from(folder)).await;
    world.kind = export_contract::profile::ProfileKind::JsonPolicy;
    let mut plan = world.plan(1, Frames::Multi);
    plan.profile.config.compression = Compression::default();
    let sampler = Sampler::start();
    plan.policy_snapshot = Some(pinned(&world).await);
    let adapted = world.run(world.cut(plan, 250).await, 2).await;
    println!("\npeak {}", sampler.peak());
    let file = adapted.files.iter().find(|file| file.path == super::EVALUATIONS).unwrap();
    assert_eq!(file.records, Some(FINDINGS as u64));
}
