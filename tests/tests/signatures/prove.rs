//! `exportd prove`: bundles are made again to the same bytes, and where they cannot be, the record that is to blame is named.

use std::path::Path;
use std::process::Command;

use export_tests::{Bundle, Cosign, Deployment, LOCAL_TENANT, light, output, programs, python};
use serde_json::{Value, json};

/// Records that were there when the run was made.
const FIRST: u64 = 300;

fn prove(deployment: &Deployment, run: &str, out: &Path) -> anyhow::Result<String> {
    deployment.exportd(&["prove", run, "--tenant", LOCAL_TENANT, "--out", out.to_str().unwrap()])
}

/// The predicate of a statement that `key` signed.
fn predicate(statement: &Path) -> Value {
    let bundle: Value = serde_json::from_slice(&std::fs::read(statement).unwrap()).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
    let statement = export_signing::bundle::from_base64(payload).unwrap();
    let mut statement: Value = serde_json::from_slice(&statement).unwrap();
    assert_eq!(statement["predicateType"], "urn:export-center:rebuild:v1");
    statement["predicate"].take()
}

/// Takes the `nth` advisory that was exported out of the ledger behind its back, and gives its document id.
fn lose_an_advisory(deployment: &Deployment, nth: u32) -> String {
    let script = format!(
        "import sqlite3, sys\n\
         ledger = sqlite3.connect(sys.argv[1])\n\
         row = ledger.execute(\"select id, document_id from evidence where kind = 'advisory' and tenant = '{LOCAL_TENANT}' and sequence <= {FIRST} \
         order by subject, document_id limit 1 offset {nth}\").fetchone()\n\
         ledger.execute('delete from evidence where id = ?', row[:1])\n\
         ledger.commit()\n\
         print(row[1], end='')"
    );
    output(python().arg("-c").arg(script).arg(deployment.data().join("evidence.db"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_made_again_to_the_same_bytes_and_a_lost_record_is_named() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 8, FIRST).unwrap();
    let client = deployment.client().unwrap();
    let unsigned = json!({ "id": "plain", "name": "plain", "kind": "json:raw", "config": { "attestation": false } });
    client.create_profile(&unsigned).await.unwrap();
    let raw = deployment.run("json-raw").await.unwrap();
    let database = deployment.run("trivy-db").await.unwrap();
    let unsigned = deployment.run("plain").await.unwrap();
    let bundle: Bundle = deployment.download(&raw).await.unwrap();
    // The ledger goes on; what was exported is still there as it was.
    deployment.generate(LOCAL_TENANT, 9, 300).unwrap();

    let out = deployment.folder().join("rebuild.sigstore.json");
    for run in [&raw, &database] {
        let told = prove(&deployment, run.run.id.as_str(), &out).unwrap();
        assert!(told.contains(&format!("bundle     {0} was made, {0} is made again", run.digest())), "{told}");
        let said = predicate(&out);
        assert_eq!((&said["reproduced"], &said["differences"]), (&json!(true), &json!([])));
    }
    if let Some(cosign) = Cosign::installed() {
        prove(&deployment, raw.run.id.as_str(), &out).unwrap();
        let key = deployment.data().join("keys/cosign.pub");
        let arguments = [
            "verify-blob-attestation",
            "--key",
            key.to_str().unwrap(),
            "--bundle",
            out.to_str().unwrap(),
            "--type",
            "urn:export-center:rebuild:v1",
            "--insecure-ignore-tlog",
            "bundle.tar",
        ];
        let (accepted, said) = cosign.accepts(bundle.folder(), &arguments).unwrap();
        assert!(accepted, "{said}");
    }

    let error = format!("{:#}", prove(&deployment, unsigned.run.id.as_str(), &out).unwrap_err());
    assert!(error.contains("the run's provenance was not signed"), "{error}");
    let mut missing = Command::new(&programs().unwrap().exportd);
    missing.args(["prove", "00000000010000000000000000", "--tenant", LOCAL_TENANT, "--data"]).arg(deployment.data());
    assert!(!missing.status().unwrap().success());

    deployment.stop_all().await.unwrap();
    let lost = lose_an_advisory(&deployment, 5);
    let error = format!("{:#}", prove(&deployment, raw.run.id.as_str(), &out).unwrap_err());
    assert!(error.contains("cannot be reproduced"), "{error}");
    assert!(
        error.contains("`data/raw/advisories.jsonl.zst` in both, first in line 6: ") && error.contains(&lost),
        "{error}"
    );
    let said = predicate(&out);
    assert_eq!(said["reproduced"], false);
    let files = said["differences"].as_array().unwrap();
    let advisories = files.iter().find(|file| file["path"] == "data/raw/advisories.jsonl.zst").unwrap();
    assert_eq!((&advisories["record"]["line"], &advisories["record"]["original"]), (&json!(6), &json!(lost)));
}
