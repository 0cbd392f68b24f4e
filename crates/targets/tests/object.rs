//! The bucket keeps the promises of a target, against a real server with Object Lock and a proxy that lies.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use bytes::Bytes;
use export_blobs::BlobStore as _;
use export_blobs::s3::{S3Blobs, S3Settings};
use export_blobs::seaweed::SeaweedFs;
use export_contract::message::Distribution;
use export_contract::profile::{DistributionKind, ObjectLock};
use export_contract::run::RunRef;
use export_contract::{ErrorCode, Timestamp};
use export_pipeline::{Judged as _, Verdict};
use export_targets::liar::{Liar, Lie};
use export_targets::suite::{Bench, Handed, Peer, conformance};
use export_targets::{
    ObjectCredentials, ObjectSettings, ObjectTarget, Removal, ServerSideEncryption, Target as _, TargetError,
};

/// The bucket as others see it, and the proxy before it.
struct Bucket {
    blobs: S3Blobs,
    liar: Liar,
}

#[async_trait]
impl Peer for Bucket {
    async fn files(&self, run: &RunRef, _distribution: &Distribution) -> Vec<(String, Bytes)> {
        let folder = format!("{}/{}", run.tenant, run.run);
        let mut files = Vec::new();
        for key in self.blobs.list(&folder.parse().unwrap()).await.unwrap() {
            let name = key.as_str().rsplit('/').next().unwrap().to_owned();
            files.push((name, self.blobs.get(&key, 1 << 30).await.unwrap()));
        }
        files
    }

    async fn shown(&self) -> BTreeSet<String> {
        let keys = self.blobs.list(&"acme".parse().unwrap()).await.unwrap();
        keys.iter().map(|key| key.as_str().to_owned()).filter(|key| key.ends_with("/export.json")).collect()
    }

    fn taken(&self) -> Option<u64> {
        Some(self.liar.taken())
    }
}

fn host(settings: &S3Settings) -> String {
    settings.endpoint.trim_start_matches("http://").to_owned()
}

fn target_at(address: &str, settings: &S3Settings) -> ObjectTarget {
    ObjectTarget::new(&ObjectSettings {
        endpoint: format!("http://{address}"),
        bucket: settings.bucket.clone(),
        region: String::new(),
        prefix: settings.prefix.clone(),
        credentials: ObjectCredentials::Key {
            id: settings.access_key_id.clone(),
            secret: settings.secret_access_key.clone(),
        },
        ca_pem: None,
        encryption: ServerSideEncryption::Bucket,
    })
    .unwrap()
}

async fn behind_a_liar(settings: &S3Settings) -> (ObjectTarget, Bucket) {
    let liar = Liar::before(host(settings)).await;
    let target = target_at(liar.address(), settings);
    (target, Bucket { blobs: S3Blobs::open(settings).unwrap(), liar })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bucket_keeps_the_promises_of_a_target() {
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let plain = server.bucket("exports").await.unwrap();
    let (target, bucket) = behind_a_liar(&plain).await;
    conformance(&target, &bucket).await;
    let prefixed = S3Settings { prefix: "/some/prefix/".to_owned(), ..plain };
    let (target, bucket) = behind_a_liar(&prefixed).await;
    conformance(&target, &bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lies_or_is_busy_ends_in_a_whole_bundle_or_in_an_error_that_says_so() {
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let settings = server.bucket("exports").await.unwrap();
    let (target, bucket) = behind_a_liar(&settings).await;
    let bench = Bench::new(DistributionKind::Object).await;
    let honest = async |handed: &Handed| {
        bucket.liar.be_honest();
        let distribution = handed.over(&target).await.unwrap();
        let there = bucket.files(handed.run(), &distribution).await;
        assert_eq!(there.len(), handed.files().len());
        assert!(there.iter().all(|(name, bytes)| handed.files()[name] == bytes));
    };

    // More often than the client tries by itself.
    let busy = bench.run().await;
    bucket.liar.lie("PUT", "partNumber=2", 10, Lie::busy(7));
    let error = busy.over(&target).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Redeliver { after: Some(Duration::from_secs(7)) }, "{error:?}");
    honest(&busy).await;

    for (lie, path) in [
        (Lie::status(503), "partNumber=1"),
        (Lie::HangUp(1 << 20), "partNumber=1"),
        (Lie::LostAnswer, "partNumber=2"),
        (Lie::LostAnswer, "export.json"),
    ] {
        // Once: the client makes it good by itself.
        let handed = bench.run().await;
        bucket.liar.be_honest();
        bucket.liar.lie("PUT", path, 1, lie);
        handed.over(&target).await.unwrap();
        honest(&handed).await;
    }

    let forbidden = bench.run().await;
    bucket.liar.lie("PUT", "export.json", 10, Lie::status(403));
    let error = forbidden.over(&target).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::DistributionFailed), "{error:?}");
    honest(&forbidden).await;

    // Credentials are for this host alone.
    let elsewhere = Liar::alone().await;
    let moved = bench.run().await;
    let to = format!("http://{}/exports/x", elsewhere.address());
    bucket.liar.lie("PUT", "export.json.sig", 10, Lie::redirect(307, to));
    moved.over(&target).await.unwrap_err();
    assert!(elsewhere.heard().iter().all(|heard| !heard.credentials), "{:?}", elsewhere.heard());
    honest(&moved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_somebody_put_there_is_named_and_left() {
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let settings = server.bucket("exports").await.unwrap();
    let target = target_at(&host(&settings), &settings);
    let blobs = S3Blobs::open(&settings).unwrap();
    let bench = Bench::new(DistributionKind::Object).await;
    for other in [Bytes::from_static(b"{}"), Bytes::from(vec![b'x'; 4_000])] {
        let handed = bench.run().await;
        let key = format!("{}/{}/export.json", handed.run().tenant, handed.run().run);
        blobs.put(&key.parse().unwrap(), other.clone()).await.unwrap();
        let error = handed.over(&target).await.unwrap_err();
        assert!(matches!(&error, TargetError::Differs { what, .. } if *what == key), "{error:?}");
        assert_eq!(blobs.get(&key.parse().unwrap(), 1 << 20).await.unwrap(), other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_and_a_bucket_that_is_not_there_fail_the_run() {
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let settings = server.bucket("exports").await.unwrap();
    let wrong = S3Settings { secret_access_key: "wrong".to_owned(), ..settings.clone() };
    let bench = Bench::new(DistributionKind::Object).await;
    let handed = bench.run().await;
    let error = handed.over(&target_at(&host(&settings), &wrong)).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::DistributionFailed), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("wrong"), "the secret is printed: {error:?}");
}

/// A run whose objects are to be locked for so many seconds.
async fn locked(bench: &Bench, lock: ObjectLock, seconds: u64) -> Handed {
    let mut handed = bench.run().await;
    handed.signed_mut().manifest.plan.profile.config.object_lock = Some(lock);
    handed.until(Timestamp::from(SystemTime::now() + Duration::from_secs(seconds)))
}

fn s3(settings: &S3Settings) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(&settings.endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(
            &settings.access_key_id,
            &settings.secret_access_key,
            None,
            None,
            "test",
        ))
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_bundle_stays_until_its_lock_ends_whoever_deletes_it() {
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let settings = S3Settings { bucket: "locked".to_owned(), ..server.bucket("exports").await.unwrap() };
    let client = s3(&settings);
    client.create_bucket().bucket("locked").object_lock_enabled_for_bucket(true).send().await.unwrap();
    let target = target_at(&host(&settings), &settings);
    let bench = Bench::new(DistributionKind::Object).await;
    for lock in [ObjectLock::Governance, ObjectLock::Compliance] {
        let handed = locked(&bench, lock, 20).await;
        let distribution = handed.over(&target).await.unwrap();
        assert_eq!(distribution.locked_until, handed.expires_at());
        assert_eq!(handed.over(&target).await.unwrap(), distribution, "a second delivery finds it locked, and content");

        let versions = client.list_object_versions().bucket("locked").send().await.unwrap();
        let of_the_run = |key: &str| key.contains(handed.run().run.as_str());
        let versions: Vec<_> =
            versions.versions().iter().filter(|version| of_the_run(version.key().unwrap())).collect();
        assert_eq!(versions.len(), handed.files().len(), "one version of each file");
        for version in &versions {
            let gone = client
                .delete_object()
                .bucket("locked")
                .key(version.key().unwrap())
                .version_id(version.version_id().unwrap())
                .send()
                .await;
            assert_eq!(gone.unwrap_err().code(), Some("AccessDenied"), "{:?}", version.key());
        }
        let Removal::Locked { until: Some(until) } = target.remove(handed.run(), &distribution).await.unwrap() else {
            panic!("it was removed under its lock")
        };
        assert!(until >= handed.expires_at().unwrap());

        let mut removal = Removal::Locked { until: None };
        while removal != Removal::Removed {
            assert!(Timestamp::from(SystemTime::now()) < until.plus_seconds(60), "locked behind its lock: {removal:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            removal = target.remove(handed.run(), &distribution).await.unwrap();
        }
        let left = client.list_object_versions().bucket("locked").send().await.unwrap();
        assert!(!left.versions().iter().any(|version| of_the_run(version.key().unwrap())), "no version is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_the_bucket_does_not_keep_fails_the_run() {
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let settings = server.bucket("exports").await.unwrap();
    let target = Arc::new(target_at(&host(&settings), &settings));
    let bench = Bench::new(DistributionKind::Object).await;
    let handed = locked(&bench, ObjectLock::Compliance, 600).await;
    let error = handed.over(&*target).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::DistributionFailed), "{error:?}");
}
