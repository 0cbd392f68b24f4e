//! The distribute stage on a staging folder.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use export_blobs::BlobStore;
use export_blobs::folder::FolderBlobs;
use export_contract::ErrorCode;
use export_contract::message::{Distribution, RunSigned};
use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;
use export_distribute::{Distribute, DistributeError};
use export_pipeline::contract_check::{context, contract_check};
use export_pipeline::{Judged as _, Stage as _, Verdict};
use export_targets::{Delivery, Download, Removal, Target, TargetError};

const SAMPLE: &str = include_str!("../../../crates/contract/tests/wire/run_signed.v1.json");

fn signed() -> RunSigned {
    serde_json::from_str(SAMPLE).unwrap()
}

fn stage(targets: Vec<Arc<dyn Target>>) -> Distribute {
    Distribute::new(targets)
}

async fn store() -> (tempfile::TempDir, Arc<dyn BlobStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(FolderBlobs::open(folder.path()).await.unwrap());
    (folder, store)
}

async fn refusal(stage: Distribute, signed: RunSigned) -> DistributeError {
    let (_folder, store) = store().await;
    let cx = context::<Distribute>(store, signed.manifest.plan.run.clone(), None, 1);
    stage.handle(signed, &cx).await.unwrap_err()
}

#[tokio::test]
async fn the_stage_keeps_its_contract_and_names_the_download() {
    let (_folder, store) = store().await;
    let signed = signed();
    let run = signed.manifest.plan.run.clone();
    let stage = stage(vec![Arc::new(Download)]);
    let distributed = contract_check(&stage, store, run.clone(), None, || signed.clone()).await;
    let location = format!("/api/export/runs/{}/download", run.run);
    // The sample's profile keeps distributions for 30 days from its admission.
    let expires_at = Some("2026-03-02T12:00:00.5Z".parse().unwrap());
    let expected = Distribution::new(DistributionKind::Http, location, &signed.manifest.bundle, expires_at);
    assert_eq!(distributed.distributions, [expected]);
}

#[tokio::test]
async fn without_retention_nothing_expires() {
    let (_folder, store) = store().await;
    let mut signed = signed();
    signed.manifest.plan.profile.config.retention_days = None;
    let cx = context::<Distribute>(store, signed.manifest.plan.run.clone(), None, 1);
    let distributed = stage(vec![Arc::new(Download)]).handle(signed, &cx).await.unwrap();
    assert_eq!(distributed.distributions[0].expires_at, None);
}

#[tokio::test]
async fn a_default_is_for_profiles_that_say_nothing_of_retention() {
    let expires_at = async |days: Option<u32>, last: Option<u32>| {
        let (_folder, store) = store().await;
        let mut signed = signed();
        signed.manifest.plan.profile.config.retention_days = days;
        signed.manifest.plan.profile.config.keep_last = last;
        let cx = context::<Distribute>(store, signed.manifest.plan.run.clone(), None, 1);
        let stage = stage(vec![Arc::new(Download)]).keeping(Some(7));
        stage.handle(signed, &cx).await.unwrap().distributions[0].expires_at.map(|at| at.to_string())
    };
    assert_eq!(expires_at(None, None).await.as_deref(), Some("2026-02-07T12:00:00.5Z"));
    assert_eq!(expires_at(Some(2), None).await.as_deref(), Some("2026-02-02T12:00:00.5Z"));
    assert_eq!(expires_at(Some(2), Some(1)).await.as_deref(), Some("2026-02-02T12:00:00.5Z"));
    assert_eq!(expires_at(None, Some(1)).await, None);
}

#[tokio::test]
async fn a_way_that_is_not_allowed_is_refused_with_its_setting() {
    let error = refusal(stage(Vec::new()), signed()).await;
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::DistributionRefused));
    assert!(error.to_string().contains("`http` is not set up here; allow it in `allow.distribution`"), "{error}");
}

#[derive(Debug)]
struct Counting(AtomicU32);

#[async_trait]
impl Target for Counting {
    fn kind(&self) -> DistributionKind {
        DistributionKind::Http
    }

    async fn place(&self, _delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        Ok(None)
    }

    async fn distribute(&self, _delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(TargetError::Refused { act: "count".to_owned(), cause: Box::new(io::Error::other("only counts")) })
    }

    async fn remove(&self, _run: &RunRef, _distribution: &Distribution) -> Result<Removal, TargetError> {
        Ok(Removal::Removed)
    }
}

#[tokio::test]
async fn a_way_without_a_driver_is_refused_before_anything_is_handed_over() {
    let counting = Arc::new(Counting(AtomicU32::new(0)));
    let mut signed = signed();
    signed.manifest.plan.profile.config.distribution =
        BTreeSet::from([DistributionKind::Http, DistributionKind::Object]);
    let error = refusal(stage(vec![counting.clone()]), signed).await;
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::DistributionRefused));
    assert!(error.to_string().contains("distribution `object` is not set up here"), "{error}");
    assert_eq!(counting.0.load(Ordering::SeqCst), 0);
}

#[derive(Debug)]
struct Failing(fn(String, Box<io::Error>) -> TargetError);

#[async_trait]
impl Target for Failing {
    fn kind(&self) -> DistributionKind {
        DistributionKind::Http
    }

    async fn place(&self, _delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        Ok(None)
    }

    async fn distribute(&self, _delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        Err(self.0("hand over".to_owned(), Box::new(io::Error::other("no"))))
    }

    async fn remove(&self, _run: &RunRef, _distribution: &Distribution) -> Result<Removal, TargetError> {
        Ok(Removal::Removed)
    }
}

#[tokio::test]
async fn a_target_that_is_away_is_tried_again_and_one_that_refuses_fails_the_run() {
    let away = refusal(
        stage(vec![Arc::new(Failing(|act, cause| TargetError::Unavailable { act, after: None, cause }))]),
        signed(),
    )
    .await;
    assert_eq!(away.verdict(), Verdict::Redeliver { after: None });
    let refused =
        refusal(stage(vec![Arc::new(Failing(|act, cause| TargetError::Refused { act, cause }))]), signed()).await;
    assert_eq!(refused.verdict(), Verdict::FailRun(ErrorCode::DistributionFailed));
}

#[tokio::test]
async fn a_confirmed_bundle_is_kept_as_long_as_the_run_that_made_it() {
    let (_folder, store) = store().await;
    let planned = include_str!("../../../crates/contract/tests/wire/run_planned.refresh.v1.json");
    let mut signed = signed();
    signed.manifest.plan = serde_json::from_str(planned).unwrap();
    let run = signed.manifest.plan.run.clone();
    let stage = stage(vec![Arc::new(Download)]);
    let distributed = contract_check(&stage, store, run.clone(), None, || signed.clone()).await;
    let [distribution] = distributed.distributions.as_slice() else { panic!("{distributed:?}") };
    assert_eq!(distribution.location, format!("/api/export/runs/{}/download", run.run));
    assert_eq!(distribution.expires_at, Some("2026-02-15T12:00:00Z".parse().unwrap()));
}

/// Shows bundles at a place of its kind, and looks what is on record when it does.
#[derive(Debug)]
struct Shows {
    kind: DistributionKind,
    fails: bool,
    recorded: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Shows {
    fn at(&self, delivery: &Delivery<'_>) -> Distribution {
        let location = format!("{}://{}", self.kind.as_str(), delivery.run());
        Distribution::new(self.kind, location, delivery.tar(), delivery.expires_at)
    }
}

#[async_trait]
impl Target for Shows {
    fn kind(&self) -> DistributionKind {
        self.kind
    }

    async fn place(&self, delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError> {
        Ok(Some(self.at(delivery)))
    }

    async fn distribute(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError> {
        let recorded = delivery.cx.workspace().hand_overs().await.unwrap();
        self.recorded.lock().unwrap().push(recorded.into_iter().map(|place| place.location).collect());
        if self.fails {
            let cause = Box::new(io::Error::other("it does not take it"));
            return Err(TargetError::Refused { act: "hand over".to_owned(), cause });
        }
        Ok(self.at(delivery))
    }

    async fn remove(&self, _run: &RunRef, _distribution: &Distribution) -> Result<Removal, TargetError> {
        Ok(Removal::Removed)
    }
}

#[tokio::test]
async fn a_place_is_on_record_before_anything_is_shown_there_and_one_that_is_not_reached_is_not() {
    let (_folder, store) = store().await;
    let mut signed = signed();
    let kinds = [DistributionKind::Oci, DistributionKind::Object, DistributionKind::Directory];
    signed.manifest.plan.profile.config.distribution = BTreeSet::from(kinds);
    let recorded: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let shows = |kind| {
        let fails = kind == DistributionKind::Object;
        Arc::new(Shows { kind, fails, recorded: recorded.clone() }) as Arc<dyn Target>
    };
    let stage = stage(kinds.map(shows).into());
    let run = signed.manifest.plan.run.clone();
    let cx = context::<Distribute>(store, run.clone(), None, 1);
    // A second delivery finds the records of the first, and adds none.
    for _ in 0..2 {
        let error = stage.handle(signed.clone(), &cx).await.unwrap_err();
        assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::DistributionFailed));
    }
    let [oci, object] = ["oci", "object"].map(|kind| format!("{kind}://{run}"));
    let both = vec![object, oci.clone()];
    assert_eq!(*recorded.lock().unwrap(), [vec![oci], both.clone(), both.clone(), both]);
}
