//! The port and its drivers: age keys, moto's KMS, and a small server that speaks the transit engine's API.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../../signing/tests/awskms/moto.rs"]
mod moto;
#[path = "wrapping/transit.rs"]
mod transit;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use export_contract::encryption::{Encrypted, Encryption, EncryptionMode, EncryptionScope};
use export_sealing::{
    AgeKey, Context, Identities, Keepers, KmsAccess, Opener, Prepared, Recipient, Sealing, SealingError, VaultAccess,
    WrapError, suite,
};
use serde_json::json;

use crate::moto::Moto;
use crate::transit::Transit;

const IDENTITY: &str = export_sealing::fuzzing::IDENTITY;

fn kms(moto: &Moto) -> KmsAccess {
    KmsAccess {
        key: String::new(),
        region: "eu-central-1".to_owned(),
        endpoint: moto.address.clone(),
        access_key_id: "testing".to_owned(),
        secret_access_key: "a very secret key".to_owned(),
        timeout: Duration::from_secs(20),
    }
}

fn vault(transit: &Transit) -> VaultAccess {
    VaultAccess {
        address: transit.address.clone(),
        mount: "site/transit".to_owned(),
        key: String::new(),
        version: None,
        namespace: String::new(),
        token_file: transit.token_file(),
        ca_file: None,
        timeout: Duration::from_secs(20),
    }
}

fn recipient(text: &str) -> Recipient {
    text.parse().unwrap()
}

fn identity() -> (Identities, String) {
    let public = IDENTITY.parse::<age::x25519::Identity>().unwrap().to_public();
    (Identities::parse(IDENTITY).unwrap(), public.to_string())
}

#[tokio::test]
async fn the_age_driver_conforms() {
    let (identities, public) = identity();
    let Recipient::Age(key) = recipient(&public) else { panic!("no age recipient") };
    suite::conformance(&AgeKey::public(key.clone()).with(identities)).await;
    let context = Context { tenant: "acme".to_owned(), run: "run".to_owned() };
    let error = export_sealing::Wrapping::unwrap(&AgeKey::public(key), b"x", &context).await.unwrap_err();
    assert!(matches!(error, WrapError::NoPrivateHalf));
}

#[tokio::test]
async fn the_kms_driver_conforms() {
    let moto = Moto::start().await;
    let key = moto.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT").await;
    moto.ask("CreateAlias", &json!({ "AliasName": "alias/envelope", "TargetKeyId": key })).await;
    let keepers = Keepers { kms: Some(kms(&moto)), ..Keepers::default() };
    for name in [key.as_str(), "alias/envelope"] {
        suite::conformance(&*keepers.of(&recipient(&format!("awskms:{name}"))).await.unwrap()).await;
    }
}

#[tokio::test]
async fn the_vault_driver_conforms() {
    let transit = Transit::start().await;
    let keepers = Keepers { vault: Some(vault(&transit)), ..Keepers::default() };
    suite::conformance(&*keepers.of(&recipient("vault:envelope")).await.unwrap()).await;
    transit.rotate();
    suite::conformance(&*keepers.of(&recipient("vault:envelope")).await.unwrap()).await;
}

fn context() -> Context {
    Context { tenant: "acme".to_owned(), run: "01J0000000000000000000000A".to_owned() }
}

fn wanted(mode: EncryptionMode, recipients: &[&str], strict: bool) -> Encryption {
    Encryption { mode, recipients: recipients.iter().map(|text| (*text).to_owned()).collect(), scope: None, strict }
}

fn sealed(prepared: &Prepared) -> Vec<u8> {
    let mut file = prepared.sealer.file("data/x").unwrap();
    file.push(b"evidence").unwrap();
    [file.take(), file.finish().unwrap()].concat()
}

fn reads(opener: &Opener, sealed: &[u8]) -> bool {
    let mut plain = Vec::new();
    let read = opener.open("data/x", sealed).map(|mut reader| reader.read_to_end(&mut plain));
    matches!(read, Ok(Ok(8))) && plain == b"evidence"
}

type LeftOut = Arc<Mutex<Vec<String>>>;

fn sealing(keepers: Keepers, tenants: &[(&str, &str)]) -> (Sealing, LeftOut) {
    let told = LeftOut::default();
    let kept = told.clone();
    let tenants: BTreeMap<String, BTreeSet<String>> =
        tenants.iter().map(|(tenant, text)| ((*tenant).to_owned(), BTreeSet::from([(*text).to_owned()]))).collect();
    let sealing = Sealing::new(
        keepers,
        tenants,
        Arc::new(move |_, recipient, cause| kept.lock().unwrap().push(format!("{recipient}: {cause}"))),
    );
    (sealing, told)
}

/// The text of a wrapped key, in the order of the provenance.
fn wrapped(encrypted: &Encrypted) -> Vec<(&str, bool, Option<&str>)> {
    let text = |wrapped: &export_contract::encryption::WrappedKey| wrapped.wrapped_key.is_some();
    encrypted.recipients.iter().map(|one| (one.recipient.as_str(), text(one), one.key_id.as_deref())).collect()
}

#[tokio::test]
async fn every_recipient_alone_reads_a_run_in_both_modes_and_no_other_tenants_keeper_does() {
    let (moto, transit) = (Moto::start().await, Transit::start().await);
    let key = moto.key("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT").await;
    let (identities, public) = identity();
    let all = Keepers { kms: Some(kms(&moto)), vault: Some(vault(&transit)) };
    let (kms_name, vault_name) = (format!("awskms:{key}"), "vault:envelope");
    for mode in [EncryptionMode::Age, EncryptionMode::AesGcm] {
        let (sealing, told) = sealing(all.clone(), &[("acme", vault_name), ("other", "vault:of-another")]);
        let asked = wanted(mode, &[&kms_name, &public], true);
        let prepared = sealing.begin(&asked, EncryptionScope::Data, &context()).await.unwrap();
        let file = sealed(&prepared);
        let encrypted = &prepared.encrypted;
        let found = wrapped(encrypted);
        let arn = found[1].2.unwrap();
        assert!(arn.starts_with("arn:aws:kms:") && arn.ends_with(&key), "{arn}");
        let in_gcm = mode == EncryptionMode::AesGcm;
        let expected = [
            (public.as_str(), in_gcm, None),
            (kms_name.as_str(), true, Some(arn)),
            (vault_name, true, Some("envelope:v1")),
        ];
        assert_eq!(found, expected);
        assert!(encrypted.left_out.is_empty() && told.lock().unwrap().is_empty());
        assert_eq!(encrypted.aad_format.is_some(), in_gcm);

        assert!(
            reads(&Opener::with_identities(encrypted, &context().run, &identities).unwrap(), &file),
            "{mode:?} age"
        );
        for only in [
            Keepers { kms: Some(kms(&moto)), ..Keepers::default() },
            Keepers { vault: Some(vault(&transit)), ..Keepers::default() },
        ] {
            let opener = self::sealing(only, &[]).0.opener(encrypted, &context()).await.unwrap();
            assert!(reads(&opener, &file), "{mode:?}");
        }
        let other = Context { tenant: "other".to_owned(), ..context() };
        assert!(self::sealing(all.clone(), &[]).0.opener(encrypted, &other).await.is_err(), "{mode:?}");
        assert!(Sealing::default().opener(encrypted, &context()).await.is_err(), "{mode:?} without keepers");
    }
}

#[tokio::test]
async fn strict_wants_everybody_and_else_somebody_is_enough_and_the_others_are_named() {
    let transit = Transit::start().await;
    let (_, public) = identity();
    let keepers = || Keepers { vault: Some(vault(&transit)), ..Keepers::default() };
    let mode = EncryptionMode::AesGcm;
    for bad in ["awskms:alias/none", "vault:missing"] {
        let (strict, _) = sealing(keepers(), &[]);
        let error =
            strict.begin(&wanted(mode, &[&public, bad], true), EncryptionScope::Data, &context()).await.unwrap_err();
        assert!(matches!(&error, SealingError::Recipient { recipient, .. } if recipient == bad), "{error}");

        let (lenient, told) = sealing(keepers(), &[]);
        let asked = wanted(mode, &[&public, bad, "vault:envelope"], false);
        let prepared = lenient.begin(&asked, EncryptionScope::Data, &context()).await.unwrap();
        assert_eq!(prepared.encrypted.left_out, [bad]);
        assert_eq!(prepared.encrypted.recipients.len(), 2);
        assert!(told.lock().unwrap()[0].starts_with(bad));

        let (nobody, _) = sealing(keepers(), &[]);
        let error = nobody.begin(&wanted(mode, &[bad], false), EncryptionScope::Data, &context()).await.unwrap_err();
        assert!(matches!(error, SealingError::Recipient { .. }), "{error}");
    }
    let none =
        Sealing::default().begin(&wanted(mode, &[], false), EncryptionScope::Data, &context()).await.unwrap_err();
    assert!(matches!(none, SealingError::Nobody));
    let many: Vec<String> = (0..33).map(|at| format!("vault:k{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error =
        Sealing::default().begin(&wanted(mode, &many, false), EncryptionScope::Data, &context()).await.unwrap_err();
    assert!(matches!(error, SealingError::TooMany(33)));
}

#[tokio::test]
async fn a_keeper_that_is_away_is_told_from_one_that_refuses() {
    let transit = Transit::start().await;
    let keepers = Keepers { vault: Some(vault(&transit)), ..Keepers::default() };
    let key = keepers.of(&recipient("vault:envelope")).await.unwrap();
    let run_key = || export_sealing::RunKey::random().unwrap();
    for (status, passes) in [(503, true), (500, true), (429, true), (400, false), (403, false), (404, false)] {
        transit.next(status);
        let error = key.wrap(&run_key(), &context()).await.unwrap_err();
        assert_eq!(matches!(error, WrapError::Unavailable(_)), passes, "{status}: {error}");
    }
    let wrapped = key.wrap(&run_key(), &context()).await.unwrap();
    transit.stop().await;
    assert!(matches!(key.unwrap(&wrapped.bytes, &context()).await.unwrap_err(), WrapError::Unavailable(_)));

    let mut gone = kms(&Moto::start().await);
    gone.timeout = Duration::from_secs(5);
    let keepers = Keepers { kms: Some(gone), ..Keepers::default() };
    let key = keepers.of(&recipient("awskms:key")).await.unwrap();
    assert!(matches!(key.wrap(&run_key(), &context()).await.unwrap_err(), WrapError::Unavailable(_)));
}

#[tokio::test]
async fn the_server_sees_the_context_and_a_missing_key_is_refused() {
    let transit = Transit::start().await;
    let keepers = Keepers { vault: Some(vault(&transit)), ..Keepers::default() };
    keepers
        .of(&recipient("vault:envelope"))
        .await
        .unwrap()
        .wrap(&export_sealing::RunKey::random().unwrap(), &context())
        .await
        .unwrap();
    assert_eq!(transit.bound(), [r#"{"runId":"01J0000000000000000000000A","tenant":"acme"}"#]);
}
