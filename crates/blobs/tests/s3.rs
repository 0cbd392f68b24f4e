//! The S3 driver keeps the promises of the port, against a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use export_blobs::s3::{S3Blobs, S3Settings};
use export_blobs::seaweed::SeaweedFs;
use export_blobs::{BlobError, BlobStore as _, suite};

#[tokio::test(flavor = "multi_thread")]
async fn the_s3_driver_conforms() {
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let plain = server.bucket("plain").await.unwrap();
    suite::conformance(Arc::new(S3Blobs::open(&plain).unwrap())).await;

    let prefixed = S3Settings { prefix: "/some/prefix/".to_owned(), ..plain.clone() };
    suite::conformance(Arc::new(S3Blobs::open(&prefixed).unwrap())).await;

    let outside = S3Blobs::open(&plain).unwrap();
    let below = outside.list(&"some".parse().unwrap()).await.unwrap();
    assert!(below.iter().all(|key| key.as_str().starts_with("some/prefix/")) && !below.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_for_good() {
    let Some(server) = SeaweedFs::start().await.unwrap() else { return };
    let wrong = S3Settings { secret_access_key: "wrong".to_owned(), ..server.bucket("plain").await.unwrap() };
    let error =
        S3Blobs::open(&wrong).unwrap().put(&"t/x".parse().unwrap(), Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, BlobError::Refused { .. }) && !error.is_transient(), "{error:?}");
}
