//! A run of `json:policy`: a policy snapshot and its findings, pinned when the run is planned, beside the evidence.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_client::NewRun;
use export_contract::ErrorCode;
use export_contract::manifest::ExportManifest;
use export_contract::run::{RunOptions, RunStatus};
use export_contract::selectors::SelectorRequest;
use export_tests::{
    Bundle, Deployment, Finished, LOCAL_TENANT, Store, finish, light, output, programs, python, workspace,
};
use serde_json::{Value, json};

const EVALUATIONS: &str = "data/policy/evaluations.jsonl.zst";
const SNAPSHOT: &str = "data/policy/snapshot.json";

/// Reads evaluations with `zstd` and with Python's zstandard, across frames; prints what both agree on.
const READER: &str = r#"
import hashlib, io, json, subprocess, sys
import zstandard
data = open(sys.argv[1], "rb").read()
plain = subprocess.run(["zstd", "-qdc", sys.argv[1]], check=True, capture_output=True).stdout
assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read() == plain
rows = [json.loads(line) for line in plain.splitlines()]
keys = [(row["subject"], row.get("advisory", ""), row.get("finding_id", "")) for row in rows]
assert keys == sorted(keys) and len(set(keys)) == len(keys)
print(json.dumps({
    "count": len(rows),
    "sha256": "sha256:" + hashlib.sha256(plain).hexdigest(),
    "tenants": sorted({row["tenant"] for row in rows}),
    "severities": sorted({row["severity"] for row in rows}),
    "rules": sum(1 for row in rows if row["raw"].get("rule_chain") or row["raw"].get("ruleChain")),
}))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_snapshot_becomes_files_that_other_programs_read() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    check(&mut deployment).await;
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_snapshot_in_mongodb_becomes_the_same_files() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Ferret, 1).await.unwrap();
    check(&mut deployment).await;
    deployment.stop_all().await.unwrap();
}

async fn run(deployment: &Deployment, wanted: NewRun) -> Finished {
    let client = deployment.client().unwrap();
    let run = client.start_run(&wanted, None).await.unwrap();
    finish(&client, run.id.as_str()).await.unwrap()
}

fn wanted(selectors: SelectorRequest, snapshot: Option<&str>) -> NewRun {
    let options = RunOptions { policy_snapshot_id: snapshot.map(str::to_owned), ..RunOptions::default() };
    NewRun { profile_id: "json:policy".to_owned(), selectors, options, ..NewRun::default() }
}

/// The bundle, unpacked, with its manifest and its snapshot document.
async fn unpacked(deployment: &mut Deployment, finished: &Finished) -> (Bundle, PathBuf, ExportManifest, Value) {
    assert_eq!(finished.run.status, RunStatus::Succeeded, "{:?}", finished.run.error_message);
    let bundle = deployment.download(finished).await.unwrap();
    let folder = bundle.unpack().unwrap();
    let read = |path: &str| std::fs::read(folder.join(path)).unwrap();
    let manifest = serde_json::from_slice(&read("manifests/export.json")).unwrap();
    let document = serde_json::from_slice(&read(SNAPSHOT)).unwrap();
    (bundle, folder, manifest, document)
}

fn evaluations(folder: &Path) -> Value {
    serde_json::from_str(&output(python().args(["-c", READER]).arg(folder.join(EVALUATIONS))).unwrap()).unwrap()
}

/// Everything that a deployment of any shape must show.
async fn check(deployment: &mut Deployment) {
    let samples = workspace().join("samples").canonicalize().unwrap();
    // Evidence first: a required snapshot that is not there fails in plan, with a text that says what to do.
    deployment.import(&[samples.join("advisories").as_path(), samples.join("vex").as_path()]).unwrap();
    let missing = run(deployment, wanted(SelectorRequest::default(), None)).await;
    assert_eq!((missing.run.status, missing.run.error_code), (RunStatus::Failed, Some(ErrorCode::SnapshotMissing)));
    let said = missing.run.error_message.clone().unwrap_or_default();
    assert!(said.contains("exportd evidence import") && said.contains("policySnapshotMode"), "{said}");

    let summary = deployment.import(&[samples.as_path()]).unwrap();
    assert_eq!(summary["total"]["refused"], 0, "{summary:#}");
    let whole = run(deployment, wanted(SelectorRequest::default(), None)).await;
    let (bundle, folder, manifest, document) = unpacked(deployment, &whole).await;

    // The newest of the two snapshots was pinned, and says so in manifest, run and document.
    let own: Value = serde_json::from_slice(&std::fs::read(samples.join("policy/snapshot.json")).unwrap()).unwrap();
    let pinned = manifest.policy_snapshot.clone().unwrap();
    assert_eq!(json!(pinned.id), own["snapshot_id"]);
    assert_eq!((json!(pinned.policy_version), json!(pinned.inputs_hash)), (json!("3"), own["inputs_hash"].clone()));
    assert_eq!(json!(pinned.decision_trace), own["decision_trace"]);
    assert_eq!(whole.run.policy_snapshot_id, Some(pinned.clone()));
    assert_eq!((&document["raw"], &document["digest"]), (&own, &json!(pinned.digest)));
    assert_eq!(document["findings"]["byStatus"], own["status_counts"]);
    let findings = pinned.findings.clone().unwrap();
    let read = evaluations(&folder);
    assert_eq!((&read["count"], &read["sha256"]), (&json!(findings.count), &json!(findings.digest)));
    assert_eq!((&read["count"], &read["tenants"]), (&own["finding_count"], &json!([LOCAL_TENANT])));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains("22 evaluated findings") && readme.contains(EVALUATIONS), "{readme}");
    let key = deployment.data().join("keys/cosign.pub");
    let verified = Command::new(&programs().unwrap().exportctl)
        .args(["bundle", "verify", "--key"])
        .arg(&key)
        .arg(bundle.folder())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    let provenance: Value =
        serde_json::from_slice(&std::fs::read(bundle.folder().join("provenance.json")).unwrap()).unwrap();
    let inputs = provenance["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
    let snapshot = inputs.iter().find(|input| input["uri"].as_str().unwrap().contains("policy-snapshot")).unwrap();
    assert_eq!(snapshot["annotations"]["findingsDigest"], json!(findings.digest));

    // Again, and proven from the provenance.
    let again = run(deployment, wanted(SelectorRequest::default(), None)).await;
    assert_eq!(again.digest(), whole.digest());
    let out = deployment.folder().join("rebuild.sigstore.json");
    let told = deployment
        .exportd(&["prove", whole.run.id.as_str(), "--tenant", LOCAL_TENANT, "--out", out.to_str().unwrap()])
        .unwrap();
    assert!(told.contains("is made again"), "{told}");

    // Severities choose findings, and the document still tells how many there are.
    let severe = SelectorRequest { severities: vec!["critical".to_owned()], ..SelectorRequest::default() };
    let severe = run(deployment, wanted(severe, None)).await;
    let (_, folder, manifest, document) = unpacked(deployment, &severe).await;
    let read = evaluations(&folder);
    assert_eq!(read["severities"], json!(["critical"]));
    assert_eq!((&document["findings"]["count"], &document["exported"]["count"]), (&json!(22), &read["count"]));
    assert!(read["count"].as_u64().unwrap() < 22 && manifest.policy_snapshot == Some(pinned));

    // An older snapshot, by name: explain traces with their rule chains.
    let listed = std::fs::read(samples.join("policy/explained/snapshot.json")).unwrap();
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    let older = run(deployment, wanted(SelectorRequest::default(), listed["snapshot_id"].as_str())).await;
    let (_, folder, _, document) = unpacked(deployment, &older).await;
    let read = evaluations(&folder);
    assert_eq!((&read["count"], &read["rules"]), (&json!(2), &json!(2)));
    assert_eq!(document["findings"]["byStatus"], listed["status_counts"]);
    let unknown = run(deployment, wanted(SelectorRequest::default(), Some("sha256:gone"))).await;
    assert_eq!(unknown.run.error_code, Some(ErrorCode::SnapshotMissing));
}
