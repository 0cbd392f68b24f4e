//! What passes, and what is told about it.

use std::cell::RefCell;

use export_contract::manifest::SourceState;
use export_signing::Signer as _;
use export_verify::{Policy, inspect, verify, verify_watched};

use crate::made::{FOREIGN, File, Made, OURS, digest, files, manifest, trusting};

fn told(lines: &[String], words: &str) -> bool {
    lines.iter().any(|line| line.contains(words))
}

#[test]
fn a_good_bundle_is_proven_from_its_folder_and_from_its_tar() {
    let made = Made::good();
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    let report = verify(folder.path(), &trusting()).unwrap();
    assert_eq!((report.files, report.records), (3, 60));
    assert_eq!(report.key_id, OURS.public_key().key_id());
    assert_eq!(report.bundle_digest, digest(&made.0["bundle.tar"]));
    assert_eq!(report.manifest_digest, digest(&made.0["export.json"]));
    assert!(told(&report.proven, "run run-1"), "{:?}", report.proven);
    assert!(
        told(&report.not_proven, "no maximum age") || told(&report.not_proven, "recent"),
        "{:?}",
        report.not_proven
    );
    assert_eq!(verify(&folder.path().join("bundle.tar"), &trusting()).unwrap(), report);
    serde_json::to_string(&report).unwrap();
}

#[test]
fn any_of_several_keys_may_have_signed() {
    let policy = Policy { keys: vec![FOREIGN.public_key().clone(), OURS.public_key().clone()], ..Policy::default() };
    assert_eq!(Made::good().verify(&policy).unwrap().key_id, OURS.public_key().key_id());
}

#[test]
fn without_the_copy_beside_it_export_json_is_taken_from_the_tar() {
    let report = Made::good().without(&["export.json"]).verify(&trusting()).unwrap();
    assert_eq!(report.records, 60);
}

#[test]
fn absent_or_unsigned_provenance_is_told_and_may_be_demanded() {
    let none = Made::good().without(&["provenance.json", "provenance.sigstore.json"]);
    assert!(told(&none.verify(&trusting()).unwrap().not_proven, "there is no provenance"));
    let unsigned = Made::good().without(&["provenance.sigstore.json"]);
    assert!(told(&unsigned.verify(&trusting()).unwrap().not_proven, "not signed"));
    for made in [none, unsigned] {
        let demanding = Policy { require_provenance: true, ..trusting() };
        assert_eq!(made.verify(&demanding).unwrap_err().exit_code(), 11);
    }
    Made::good().without(&["provenance.json"]).verify(&Policy { require_provenance: true, ..trusting() }).unwrap();
}

#[test]
fn the_key_that_came_along_is_not_trusted_and_not_needed() {
    Made::good().without(&["cosign.pub"]).verify(&trusting()).unwrap();
    Made::good().with("cosign.pub", |pem| *pem = FOREIGN.public_key().pem().into()).verify(&trusting()).unwrap();
    assert_eq!(Made::good().verify(&Policy::default()).unwrap_err().exit_code(), 2);
}

#[test]
fn a_source_that_failed_passes_by_explicit_wish_only_and_is_named() {
    let mut manifest = manifest(&files());
    manifest.sources[0].state = SourceState::Failed;
    let name = manifest.sources[0].name.clone();
    let made = Made::saying(&files(), &manifest);
    assert_eq!(made.verify(&trusting()).unwrap_err().exit_code(), 17);
    let report = made.verify(&Policy { allow_failed_sources: true, ..trusting() }).unwrap();
    assert!(report.absent_sources.iter().any(|source| source.name == name && source.state == SourceState::Failed));
    assert!(told(&report.not_proven, &name), "{:?}", report.not_proven);
}

#[test]
fn a_cap_of_ones_own_holds_against_the_signer() {
    let plain = manifest(&files()).contents[1].plain_bytes.unwrap();
    Made::good().verify(&Policy { max_plain_bytes: Some(plain), ..trusting() }).unwrap();
    let tight = Policy { max_plain_bytes: Some(plain - 1), ..trusting() };
    assert_eq!(Made::good().verify(&tight).unwrap_err().exit_code(), 14);
}

#[test]
fn progress_rises_to_the_length_of_the_tar() {
    let made = Made::of(&[File::plain("data/noise", &vec![7; 3 << 20])]);
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    let told = RefCell::new(Vec::new());
    verify_watched(folder.path(), &trusting(), &|bytes| told.borrow_mut().push(bytes)).unwrap();
    let told = told.into_inner();
    assert!(told.is_sorted() && told.len() > 8, "{told:?}");
    assert_eq!(told.last(), Some(&(made.0["bundle.tar"].len() as u64)));
}

#[test]
fn a_bundle_without_files_and_one_of_single_frames_pass() {
    assert_eq!(Made::of(&[]).verify(&trusting()).unwrap().files, 0);
    let single = Made::of(&[File::lines("data/raw/vex.jsonl.zst", &["{\"a\":1}\n{\"b\":2}\n"])]);
    assert_eq!(single.verify(&trusting()).unwrap().records, 2);
}

#[test]
fn files_that_are_not_lines_are_told_apart() {
    let mut files = files();
    files.push(File { records: Some(7), ..File::plain("trivy/db.tar.gz", b"\x1f\x8b...") });
    let report = Made::of(&files).verify(&trusting()).unwrap();
    assert_eq!(report.records, 60);
    assert!(told(&report.not_proven, "trivy/db.tar.gz"), "{:?}", report.not_proven);
}

#[test]
fn inspection_shows_and_proves_nothing() {
    let made = Made::good().with("export.json.sig", Vec::clear);
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    let inspection = inspect(folder.path()).unwrap();
    assert!(!inspection.verified);
    assert_eq!(inspection.manifest.contents.len(), 3);
    assert_eq!(inspection.files.len(), 6);
    assert_eq!(inspection.bundle_bytes, made.0["bundle.tar"].len() as u64);
    for absent in ["nothing", "export.json/within"] {
        assert_eq!(inspect(&folder.path().join(absent)).unwrap_err().exit_code(), 4, "{absent}");
    }
}
