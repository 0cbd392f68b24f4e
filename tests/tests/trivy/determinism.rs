//! The same evidence makes the same databases.

use std::path::Path;

use export_tests::{Deployment, Setup, Store, heavy};
use serde_json::json;

use crate::exported::{Exported, export, invented, samples};

/// Both databases in many small parts, of samples and invented advisories.
async fn filled(adapt: usize, adapt_threads: usize) -> Deployment {
    let deployment = Deployment::start(Setup { adapt_threads, ..Setup::apart(Store::Sqlite, adapt) }).await.unwrap();
    let invented = invented(deployment.folder());
    deployment.import(&[samples().as_path(), invented.as_path()]).unwrap();
    let client = deployment.client().unwrap();
    for (id, kind) in [("small-db", "trivy:db"), ("small-java-db", "trivy:java-db")] {
        let profile = json!({ "id": id, "name": id, "kind": kind, "config": { "partitionRecords": 100 } });
        client.create_profile(&profile).await.unwrap();
    }
    deployment
}

fn assert_same(one: &Exported, other: &Exported, what: &str) {
    let files = |exported: &Exported| -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        collect(&exported.unpacked, &exported.unpacked, &mut found);
        found.sort();
        found
    };
    for ((path, bytes), (other_path, other_bytes)) in files(one).iter().zip(&files(other)) {
        assert_eq!(path, other_path, "{what}");
        assert!(bytes == other_bytes, "{what}: {path} differs");
    }
    assert_eq!(one.digest, other.digest, "{what}");
}

fn collect(top: &Path, folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            collect(top, &entry.path(), found);
        } else {
            let path = entry.path();
            found.push((path.strip_prefix(top).unwrap().display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adapters_repetition_and_another_import_do_not_change_a_byte_of_the_databases() {
    let _turn = heavy().await;
    let mut one = filled(1, 1).await;
    let database = export(&mut one, "small-db").await;
    let index = export(&mut one, "small-java-db").await;
    assert_same(&database, &export(&mut one, "small-db").await, "second run of trivy:db");
    assert_same(&index, &export(&mut one, "small-java-db").await, "second run of trivy:java-db");
    let mut two = filled(2, 2).await;
    assert_same(&database, &export(&mut two, "small-db").await, "trivy:db by two adapters");
    assert_same(&index, &export(&mut two, "small-java-db").await, "trivy:java-db by two adapters");
    // More evidence makes another bundle: the comparison can fail.
    let more = two.folder().join("more.json");
    let advisory = json!({
        "schema_version": "1.6.0", "id": "TEST-2026-9", "modified": "2026-01-01T00:00:00Z",
        "affected": [{ "package": { "ecosystem": "npm", "name": "another" }, "versions": ["1.0.0"] }]
    });
    std::fs::write(&more, advisory.to_string()).unwrap();
    two.import(&[more.as_path()]).unwrap();
    assert_ne!(database.digest, export(&mut two, "small-db").await.digest);
}
