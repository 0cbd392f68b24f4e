//! Refreshes: what they extend, and which are refused.

use export_contract::Timestamp;
use export_contract::manifest::ExportManifest;
use export_signing::Signer as _;
use export_verify::{Policy, Report, VerifyError, inspect, verify, verify_stream};
use serde_json::{Value, json};

use crate::made::{CHECKED_AT, FOREIGN, File, Made, OURS, REFRESHED_UNTIL, digest, files, manifest, trusting};
use crate::packed::{Layout, delivery};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn on(now: &str) -> Policy {
    Policy { now: Some(at(now)), ..trusting() }
}

fn told(lines: &[String], words: &str) -> bool {
    lines.iter().any(|line| line.contains(words))
}

/// A bundle whose own freshness ends when it was made.
fn perishable() -> Made {
    let mut manifest: ExportManifest = manifest(&files());
    manifest.fresh_until = manifest.as_of;
    Made::saying(&files(), &manifest)
}

#[test]
fn a_refresh_extends_the_freshness_and_leaves_the_evidence_as_old_as_it_is() {
    assert_eq!(perishable().verify(&on("2026-02-02T12:00:00Z")).unwrap_err().exit_code(), 15);
    let report = perishable().refreshed().verify(&on("2026-02-02T12:00:00Z")).unwrap();
    assert_eq!(report.as_of, Some(at("2026-01-31T12:00:00.5Z")));
    assert_eq!((report.confirmed_at, report.fresh_until), (Some(at(CHECKED_AT)), Some(at(REFRESHED_UNTIL))));
    assert_eq!(report.age_seconds, Some(86_400));
    assert!(told(&report.proven, &format!("found nothing newer in the ledger at {CHECKED_AT}")), "{:?}", report.proven);
    let recent = format!("as of 2026-01-31T12:00:00.5Z and was confirmed unchanged at {CHECKED_AT}, 1 d ago");
    assert!(told(&report.not_proven, &recent), "{:?}", report.not_proven);
    assert!(told(&report.not_proven, "every source was asked"), "{:?}", report.not_proven);

    let error = perishable().refreshed().verify(&on("2026-02-03T12:00:01Z")).unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().contains(REFRESHED_UNTIL)), (15, true), "{error}");
    // One that says less than the manifest takes nothing from it.
    let mut long = manifest(&files());
    long.fresh_until = Some(at("2027-01-01T00:00:00Z"));
    let report = Made::saying(&files(), &long).refreshed().verify(&on("2026-06-01T00:00:00Z")).unwrap();
    assert_eq!(report.fresh_until, long.fresh_until);
}

#[test]
fn a_maximum_age_counts_from_the_confirmation() {
    let aged = |days: i64| Policy { max_age_seconds: Some(days * 86_400), ..on("2026-02-03T12:00:00Z") };
    assert_eq!(Made::good().verify(&aged(2)).unwrap_err().exit_code(), 15);
    let report = Made::good().refreshed().verify(&aged(2)).unwrap();
    assert!(told(&report.proven, "2 d ago; up to 2 d is accepted"), "{:?}", report.proven);
    let error = Made::good().refreshed().verify(&aged(1)).unwrap_err();
    assert!(matches!(error, VerifyError::ConfirmedTooLongAgo { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 15);
}

#[test]
fn a_confirmation_that_is_still_to_come_is_refused_and_clocks_may_differ_a_little() {
    perishable().refreshed().verify(&on("2026-02-01T11:55:00Z")).unwrap();
    let error = perishable().refreshed().verify(&on("2026-02-01T11:54:59Z")).unwrap_err();
    assert!(matches!(error, VerifyError::AgeUnknown(_)), "{error:?}");
    assert_eq!(error.exit_code(), 15);
}

#[test]
fn an_empty_ledger_can_be_confirmed_too() {
    let mut manifest = manifest(&[]);
    (manifest.as_of, manifest.fresh_until) = (None, None);
    manifest.sources.clear();
    let without_as_of = |statement: &mut Value| {
        statement["predicate"].as_object_mut().unwrap().remove("asOf");
    };
    let made = Made::saying(&[], &manifest).refreshed_as(&OURS, without_as_of);
    let report = made.verify(&Policy { max_age_seconds: Some(86_400), ..on("2026-02-02T12:00:00Z") }).unwrap();
    assert_eq!((report.as_of, report.confirmed_at), (None, Some(at(CHECKED_AT))));
    assert!(told(&report.proven, "of an empty ledger and was confirmed unchanged"), "{:?}", report.proven);
}

#[test]
fn either_of_two_keys_may_have_signed_the_refresh() {
    // As after a change of the key, where the bundle was signed before and confirmed later.
    let made = Made::good().refreshed_as(&FOREIGN, |_| ());
    let both = Policy { keys: vec![OURS.public_key().clone(), FOREIGN.public_key().clone()], ..trusting() };
    let report = made.verify(&both).unwrap();
    assert_eq!(report.key_id, OURS.public_key().key_id());
    let signer = format!("a refresh, signed by key {}", FOREIGN.public_key().key_id());
    assert!(told(&report.proven, &signer), "{:?}", report.proven);
    assert_eq!(made.verify(&trusting()).unwrap_err().exit_code(), 12);
}

#[test]
fn a_refresh_of_another_bundle_is_refused() {
    let mut others = files();
    others[0] = File::plain("README.md", b"# Another\n");
    let other = Made::of(&others).refreshed();
    let mut made = Made::good();
    made.0.insert("refresh.sigstore.json", other.0["refresh.sigstore.json"].clone());
    let error = made.verify(&trusting()).unwrap_err();
    assert_eq!(error.exit_code(), 13);
    assert!(error.to_string().contains("bundle.tar") && error.to_string().contains("by the refresh"), "{error}");
    let foreign_manifest =
        |statement: &mut Value| statement["subject"][1]["digest"]["sha256"] = digest(b"x").hex().into();
    assert_eq!(Made::good().refreshed_as(&OURS, foreign_manifest).verify(&trusting()).unwrap_err().exit_code(), 13);
}

#[test]
fn what_is_no_refresh_of_this_bundle_and_nothing_else_is_malformed() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 13] = [
        ("no manifest", |statement| _ = statement["subject"].as_array_mut().unwrap().pop()),
        ("the tar twice", |statement| statement["subject"][1] = statement["subject"][0].clone()),
        ("something else, too", |statement| {
            let more = json!({"name": "x", "digest": {"sha256": "00"}});
            statement["subject"].as_array_mut().unwrap().push(more);
        }),
        ("another type", |statement| statement["_type"] = "https://in-toto.io/Statement/v0.1".into()),
        ("another predicate type", |statement| statement["predicateType"] = "urn:export-center:rebuild:v1".into()),
        ("a member more", |statement| statement["predicate"]["note"] = "x".into()),
        ("a member more outside", |statement| statement["note"] = "x".into()),
        ("a member less", |statement| _ = statement["predicate"].as_object_mut().unwrap().remove("freshUntil")),
        ("no time", |statement| statement["predicate"]["checkedAt"] = "yesterday".into()),
        ("an end before its beginning", |statement| statement["predicate"]["freshUntil"] = CHECKED_AT.into()),
        ("another asOf", |statement| statement["predicate"]["asOf"] = CHECKED_AT.into()),
        ("another watermark", |statement| statement["predicate"]["watermark"] = 43.into()),
        ("no run", |statement| statement["predicate"]["invocationId"] = "../x".into()),
    ];
    for (name, change) in cases {
        let error = Made::good().refreshed_as(&OURS, change).verify(&trusting()).unwrap_err();
        assert_eq!(error.exit_code(), 14, "{name}: {error:?}");
    }
    let swapped = |name: &'static str| {
        Made::good().refreshed().with("refresh.sigstore.json", |text| *text = Made::good().0[name].clone())
    };
    assert_eq!(swapped("export.json.sigstore.json").verify(&trusting()).unwrap_err().exit_code(), 14, "no envelope");
    assert_eq!(swapped("provenance.sigstore.json").verify(&trusting()).unwrap_err().exit_code(), 14, "provenance");
    let long = Made::good().refreshed().with("refresh.sigstore.json", |text| text.resize((64 << 10) + 1, b' '));
    assert_eq!(long.verify(&trusting()).unwrap_err().exit_code(), 14, "too long");
}

#[test]
fn every_container_carries_a_refresh() {
    let made = Made::good().refreshed();
    let policy = on("2026-02-02T12:00:00Z");
    let expected = made.verify(&policy).unwrap();
    assert!(expected.confirmed_at.is_some());
    let first =
        ["export.json", "export.json.sig", "export.json.sigstore.json", "provenance.sigstore.json", "cosign.pub"];
    let before = [&first[..], &["provenance.json", "refresh.sigstore.json", "bundle.tar"]].concat();
    let behind = [&first[..], &["provenance.json", "bundle.tar", "refresh.sigstore.json"]].concat();
    let folder = tempfile::tempdir().unwrap();
    let file = |order: &[&str]| -> Result<Report, VerifyError> {
        let path = folder.path().join("delivery.tar");
        std::fs::write(&path, delivery(&made, order)).unwrap();
        verify(&path, &policy)
    };
    for order in [&before, &behind] {
        assert_eq!(verify_stream(delivery(&made, order).as_slice(), &policy, &|_| ()).unwrap(), expected);
        assert_eq!(file(order).unwrap(), expected);
    }
    for apart in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        Layout::of(&made, apart).write(folder.path());
        assert_eq!(verify(folder.path(), &policy).unwrap(), expected, "{apart}");
        assert!(inspect(folder.path()).unwrap().files.contains(&"refresh.sigstore.json"));
    }
}
