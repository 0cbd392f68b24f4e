//! The driver for AWS KMS against moto, and against a peer that answers as it likes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod liar;
mod moto;

use std::time::Duration;

use export_signing::awskms::{KmsError, KmsSettings, KmsSigner};
use export_signing::{SignError, Signer as _, suite};
use serde_json::json;

use crate::liar::Liar;
use crate::moto::Moto;

fn settings(endpoint: &str, key: &str) -> KmsSettings {
    KmsSettings {
        key: key.to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: endpoint.to_owned(),
        access_key_id: "testing".to_owned(),
        secret_access_key: "a very secret key".to_owned(),
        timeout: Duration::from_secs(20),
    }
}

/// moto hashes what it is told is a digest, so messages that KMS does not take whole cannot be tried on it.
#[tokio::test]
async fn the_kms_driver_signs_what_verifies_and_an_alias_names_a_key() {
    let moto = Moto::start().await;
    let key = moto.key("ECC_NIST_P256", "SIGN_VERIFY").await;
    moto.ask("CreateAlias", &json!({ "AliasName": "alias/export", "TargetKeyId": key })).await;
    for name in [key.as_str(), "alias/export"] {
        let signer = KmsSigner::open(&settings(&moto.address, name)).await.unwrap();
        for message in [&b"m"[..], b"message", &[7; 4096]] {
            let signature = signer.sign(message).await.unwrap();
            signer.public_key().verify(message, &signature).unwrap();
            assert!(signer.public_key().verify(b"another message", &signature).is_err());
        }
        signer.check().await.unwrap();
    }

    // An alias that comes to name another key changes nothing until the next start.
    let signer = KmsSigner::open(&settings(&moto.address, "alias/export")).await.unwrap();
    let other = moto.key("ECC_NIST_P256", "SIGN_VERIFY").await;
    moto.ask("UpdateAlias", &json!({ "AliasName": "alias/export", "TargetKeyId": other })).await;
    signer.check().await.unwrap();
    let renewed = KmsSigner::open(&settings(&moto.address, "alias/export")).await.unwrap();
    assert_ne!(renewed.public_key().key_id(), signer.public_key().key_id());
}

#[tokio::test]
async fn keys_that_cannot_sign_here_are_refused_when_they_are_named() {
    let moto = Moto::start().await;
    let rsa = moto.key("RSA_2048", "SIGN_VERIFY").await;
    let error = KmsSigner::open(&settings(&moto.address, &rsa)).await.unwrap_err();
    assert!(!error.is_transient());
    assert!(error.to_string().contains("ECC_NIST_P256"), "{error}");
    let error = KmsSigner::open(&settings(&moto.address, "alias/none")).await.unwrap_err();
    assert!(matches!(&error, KmsError::Refused { said, .. } if said.contains("NotFoundException")), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_kms_driver_conforms_where_digests_are_signed_as_digests() {
    let liar = Liar::start().await;
    let signer = KmsSigner::open(&settings(&liar.address, "key")).await.unwrap();
    suite::conformance(&signer).await;
    let types = liar.message_types();
    assert!(types.contains(&"RAW".to_owned()) && types.contains(&"DIGEST".to_owned()), "{types:?}");
}

#[tokio::test]
async fn what_passes_by_itself_is_told_from_what_does_not() {
    let liar = Liar::start().await;
    let signer = KmsSigner::open(&settings(&liar.address, "key")).await.unwrap();
    for (status, code, passes) in [
        (500, "KMSInternalException", true),
        (503, "ServiceUnavailable", true),
        (429, "TooManyRequests", true),
        (400, "ThrottlingException", true),
        (400, "KeyUnavailableException", true),
        (400, "DisabledException", false),
        (400, "AccessDeniedException", false),
        (400, "KMSInvalidStateException", false),
    ] {
        liar.next(status, &json!({ "__type": code, "message": "a reason" }));
        let error = signer.sign(b"message").await.unwrap_err();
        let told = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert_eq!(matches!(error, SignError::Unavailable(_)), passes, "{told}");
        assert!(told.contains(code) && told.contains("a reason"), "{told}");
        assert!(!format!("{error:?}").contains("a very secret key"));
    }
    // Nothing of it is kept.
    signer.check().await.unwrap();
    let gone = liar.address.clone();
    liar.stop().await;
    assert!(matches!(signer.sign(b"message").await.unwrap_err(), SignError::Unavailable(_)));
    assert!(KmsSigner::open(&settings(&gone, "key")).await.unwrap_err().is_transient());
    assert!(!format!("{:?}", settings(&gone, "key")).contains("a very secret key"));
}

#[tokio::test]
async fn a_signature_that_does_not_verify_leaves_the_driver_under_no_circumstances() {
    let liar = Liar::start().await;
    let signer = KmsSigner::open(&settings(&liar.address, "key")).await.unwrap();
    liar.next(200, &json!({ "KeyId": "key", "Signature": "MAYCAQECAQE=", "SigningAlgorithm": "ECDSA_SHA_256" }));
    assert!(matches!(signer.sign(b"message").await.unwrap_err(), SignError::Invalid(_)));
    liar.next(200, &json!({ "KeyId": "key" }));
    assert!(matches!(signer.sign(b"message").await.unwrap_err(), SignError::Refused(_)));
}
