//! What provenance says of files inside the bundle.

use export_canon::digesting::sha256;
use export_verify::VerifyError;
use serde_json::json;

use crate::made::{Made, OURS, files, statement, trusting};

#[test]
fn a_statement_that_says_otherwise_of_a_file_of_the_bundle_is_refused() {
    let path = files()[0].path.clone();
    let naming = |name: &str, digest: &str| {
        let mut made = Made::good();
        let mut statement = statement(&made.0["export.json"], &made.0["bundle.tar"]);
        let subject = json!({"name": name, "digest": {"sha256": digest}});
        statement["subject"].as_array_mut().unwrap().push(subject);
        made.attest(&statement, &OURS);
        made.verify(&trusting())
    };
    let (right, wrong) = (sha256(&files()[0].bytes).hex(), "00".repeat(32));
    assert!(naming(&path, &right).is_ok());
    let lie = naming(&path, &wrong).unwrap_err();
    assert!(matches!(&lie, VerifyError::DigestMismatch { what, .. } if *what == path), "{lie}");
    assert_eq!(lie.exit_code(), 13);
    // What is not in the bundle can only be told of.
    assert!(naming("registry.example/trivy-db", &wrong).is_ok());
}
