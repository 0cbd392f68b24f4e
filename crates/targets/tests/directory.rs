//! The folder keeps the promises of a target.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::ErrorCode;
use export_contract::message::Distribution;
use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;
use export_pipeline::{Judged as _, Verdict};
use export_targets::suite::{Bench, Peer, conformance};
use export_targets::{DirectoryTarget, TargetError};

struct Folder(PathBuf);

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[async_trait]
impl Peer for Folder {
    async fn files(&self, run: &RunRef, _distribution: &Distribution) -> Vec<(String, Bytes)> {
        let folder = self.0.join(run.tenant.as_str()).join(run.run.as_str());
        names(&folder)
            .into_iter()
            .map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap().into()))
            .collect()
    }

    async fn shown(&self) -> BTreeSet<String> {
        let tenants = names(&self.0);
        let runs = tenants.iter().flat_map(|tenant| names(&self.0.join(tenant)));
        runs.filter(|name| !name.starts_with('.')).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_keeps_the_promises_of_a_target_and_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let target = DirectoryTarget::new(folder.path().to_owned());
    conformance(&target, &Folder(folder.path().to_owned())).await;
    let left: Vec<String> = names(folder.path()).iter().flat_map(|tenant| names(&folder.path().join(tenant))).collect();
    // One delivery of the suite is killed for good, or cancelled: only its own next delivery would clear up after it.
    assert!(left.iter().filter(|name| name.starts_with('.')).count() <= 1, "{left:?}");
}

#[tokio::test]
async fn a_share_that_is_not_mounted_is_waited_for_and_not_filled_in_its_stead() {
    let folder = tempfile::tempdir().unwrap();
    let share = folder.path().join("share");
    let bench = Bench::new(DistributionKind::Directory).await;
    let handed = bench.run().await;
    let target = DirectoryTarget::new(share.clone());
    let error = handed.over(&target).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: None }, "{error:?}");
    assert!(!share.exists());
    std::fs::create_dir(&share).unwrap();
    handed.over(&target).await.unwrap();
}

#[tokio::test]
async fn a_bundle_that_somebody_changed_there_is_named_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(DistributionKind::Directory).await;
    let handed = bench.run().await;
    let target = DirectoryTarget::new(folder.path().to_owned());
    let location = PathBuf::from(handed.over(&target).await.unwrap().location);
    std::fs::write(location.with_file_name("export.json"), "{}").unwrap();
    let error = handed.over(&target).await.unwrap_err();
    assert!(matches!(&error, TargetError::Differs { what, .. } if what.ends_with("export.json")), "{error:?}");
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::DistributionFailed));
    assert_eq!(std::fs::read(location.with_file_name("export.json")).unwrap(), b"{}");
}
