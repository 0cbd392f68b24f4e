use std::collections::BTreeMap;

use export_canon::json::{Limits, canonicalize};
use export_contract::RecordKind;

use super::documents;

#[test]
fn the_same_seed_gives_the_same_documents_and_a_longer_run_begins_with_a_shorter_one() {
    let long: Vec<_> = documents(7, 200).collect();
    let short: Vec<_> = documents(7, 60).collect();
    assert_eq!(long[..60], short[..]);
    assert_ne!(long, documents(8, 200).collect::<Vec<_>>());
}

#[test]
fn the_documents_of_a_seed_never_change() {
    let first = serde_json::to_vec(&documents(1, 40).map(|generated| generated.document).collect::<Vec<_>>()).unwrap();
    let canonical = canonicalize(&first, &Limits::default()).unwrap();
    let digest = export_canon::digesting::sha256(&canonical).hex();
    assert_eq!(
        digest, "57d2acb49a201763bb85e2d609d04babdb1fd2675b5930fed2f26c9dd6b0ab58",
        "a load figure would mean something else than before"
    );
}

#[test]
fn kinds_and_sizes_are_those_of_real_evidence() {
    let mut counts: BTreeMap<RecordKind, (u64, u64)> = BTreeMap::new();
    for generated in documents(3, 4_000) {
        let bytes = serde_json::to_vec(&generated.document).unwrap().len() as u64;
        let (count, total) = counts.entry(generated.kind).or_default();
        (*count, *total) = (*count + 1, *total + bytes);
    }
    let count = |kind| counts[&kind].0;
    assert_eq!((count(RecordKind::Advisory), count(RecordKind::Vex), count(RecordKind::Sbom)), (3_400, 400, 200));
    let mean = counts.values().map(|(_, total)| total).sum::<u64>() / 4_000;
    assert!((2_000..4_500).contains(&mean), "mean size {mean}: {counts:?}");
}
