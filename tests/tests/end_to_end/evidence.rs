//! Documents written for the tests: literals, names and texts that a careless reader would change.

use std::path::{Path, PathBuf};

use export_client::Client;
use serde_json::json;

/// Writes a few documents of each kind to `own` in `folder` and gives that folder.
pub(crate) fn own_documents(folder: &Path) -> PathBuf {
    let own = folder.join("own");
    let write = |name: &str, text: &str| {
        let path = own.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    // Written by hand: a JSON writer would make 1 of 1.0 and 1000 of 1e3.
    write(
        "advisories/TEST-2026-1.json",
        r#"{"schema_version":"1.6.0","id":"TEST-2026-1","modified":"2026-01-01T00:00:00Z","summary":"Zażółć gęślą jaźń 🦀 \u2028 \u00e9 é \"quoted\" \/",
            "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.1"}]}]}],
            "database_specific":{"z":1.0,"a":1e3,"big":12345678901234567890,"bigger":123456789012345678901234567890.123456789,
            "tiny":1E-400,"minus":-0,"minus0":-0.0,"ten":0.10,"plus":1e+2,"deep":[[[[{"x":[null,true,false,{}, []]}]]]],"":"empty name","\u0000":"nul"}}"#,
    );
    write(
        "advisories/TEST-2026-2.json",
        r#"{"id":"TEST-2026-2","modified":"2026-01-01T00:00:00Z","aliases":["CVE-2026-0002"],"affected":[{"package":{"ecosystem":"PyPI","name":"pakiet-ź","purl":"pkg:pypi/pakiet"}}]}"#,
    );
    let vex = json!({
        "@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.com/vex/test-1", "author": "Tests",
        "timestamp": "2026-01-01T00:00:00Z", "version": 1,
        "statements": [{ "vulnerability": { "name": "CVE-2026-0002" }, "status": "not_affected",
            "justification": "component_not_present", "products": [{ "@id": "pkg:pypi/pakiet@1.0" }] }]
    });
    write("vex/test-1.json", &vex.to_string());
    let sbom = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "metadata": { "component": { "type": "application", "name": "test-app", "version": "1.0",
            "purl": "pkg:generic/test-app@1.0" } },
        "components": [{ "type": "library", "name": "left-pad", "version": "1.0.0", "purl": "pkg:npm/left-pad@1.0.0" }]
    });
    write("sboms/test-app.cdx.json", &sbom.to_string());
    own
}

/// Makes the profile `small-parts`: `json:raw` in many parts, of 500 records, and many frames.
pub(crate) async fn small_parts(client: &Client) {
    parts_of(client, 500).await;
}

/// Makes the profile `small-parts` with parts of so many records.
pub(crate) async fn parts_of(client: &Client, records: u32) {
    let profile = json!({
        "id": "small-parts", "name": "Small parts", "kind": "json:raw",
        "config": { "partitionRecords": records, "compression": { "chunkBytes": 65_536 } }
    });
    client.create_profile(&profile).await.unwrap();
}
