//! The sign stage on a staging folder, judged by openssl.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "sign/refreshes.rs"]
mod refreshes;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore as _, Workspace};
use export_canon::digesting::sha256;
use export_contract::message::{ManifestWritten, RunSigned};
use export_contract::profile::ProvenanceDetail;
use export_contract::{Digest, ErrorCode, Timestamp};
use export_pipeline::contract_check::context;
use export_pipeline::{Judged as _, Stage as _, Verdict};
use export_sign::{BuilderIdentity, Sign, SignStageError};
use export_signing::bundle::{Bundle, from_base64};
use export_signing::dsse::{IN_TOTO, pre_authentication};
use export_signing::statement::{PROVENANCE_TYPE, STATEMENT_TYPE, Statement};
use export_signing::{FileSigner, Password, PublicKey, Rule, SignError, Signer, Signers, generate_key_pair};

const SAMPLE: &str = include_str!("../../../crates/contract/tests/wire/manifest_written.v1.json");
const EXPORT_JSON: &[u8] = include_bytes!("../../../crates/contract/tests/wire/export_manifest.1.0.json");
const FINISHED: &str = "2026-02-03T04:05:06Z";

struct World {
    folder: tempfile::TempDir,
    store: Arc<FolderBlobs>,
    signer: Arc<FileSigner>,
    manifest: ManifestWritten,
    /// Kinds of the failures that were told.
    told: Arc<Mutex<Vec<&'static str>>>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FolderBlobs::open(&folder.path().join("staging")).await.unwrap());
        let password = Password::new(b"password".to_vec());
        generate_key_pair(folder.path(), &password).unwrap();
        let signer = Arc::new(FileSigner::open(&folder.path().join("cosign.key"), &password).unwrap());
        let mut manifest: ManifestWritten = serde_json::from_str(SAMPLE).unwrap();
        let workspace = Workspace::new(store.clone(), manifest.plan.run.clone());
        manifest.export_json = workspace.put_artefact(Bytes::from_static(EXPORT_JSON)).await.unwrap();
        Self { folder, store, signer, manifest, told: Arc::default() }
    }

    async fn handle(&self, signer: Arc<dyn Signer>, cancelled: bool) -> Result<RunSigned, SignStageError> {
        self.handle_with(Signers::new(signer, Vec::new()), cancelled).await
    }

    async fn handle_with(&self, signers: Signers, cancelled: bool) -> Result<RunSigned, SignStageError> {
        self.handle_by(signers, cancelled, None).await
    }

    async fn handle_by(
        &self,
        signers: Signers,
        cancelled: bool,
        builder: Option<BuilderIdentity>,
    ) -> Result<RunSigned, SignStageError> {
        let told = self.told.clone();
        let on_failure = Arc::new(move |error: &SignError| told.lock().unwrap().push(error.kind()));
        let mut stage = Sign::new(signers, Arc::new(|| FINISHED.parse::<Timestamp>().unwrap()), on_failure);
        if let Some(builder) = builder {
            stage = stage.built_by(builder);
        }
        let cx = context::<Sign>(self.store.clone(), self.manifest.plan.run.clone(), None, 1);
        if cancelled {
            cx.cancellation().cancel();
        }
        stage.handle(self.manifest.clone(), &cx).await
    }

    async fn sidecar(&self, signed: &RunSigned, name: &str) -> Bytes {
        let run = &signed.manifest.plan.run;
        let key = Workspace::artefact_key(&run.tenant, &run.run, &signed.sidecars[name].digest);
        self.store.get(&key, 1 << 20).await.unwrap()
    }

    async fn artefacts(&self) -> usize {
        let run = &self.manifest.plan.run;
        self.store.list(&format!("{}/{}/artefacts", run.tenant, run.run).parse().unwrap()).await.unwrap().len()
    }

    fn openssl_accepts(&self, key: &Path, signature: &[u8], message: &[u8]) -> bool {
        let write = |name: &str, bytes: &[u8]| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (signature, message) = (write("signature", signature), write("message", message));
        let mut judge = Command::new("openssl");
        judge.args(["dgst", "-sha256", "-verify"]).arg(key).arg("-signature").arg(signature).arg(message);
        judge.output().unwrap().status.success()
    }
}

#[tokio::test]
async fn openssl_accepts_every_signature_with_the_key_beside_it() {
    let world = World::new().await;
    let signed = world.handle(world.signer.clone(), false).await.unwrap();
    let names: Vec<&str> = signed.sidecars.keys().map(String::as_str).collect();
    let expected = [
        "cosign.pub",
        "export.json",
        "export.json.sig",
        "export.json.sigstore.json",
        "provenance.json",
        "provenance.sigstore.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(signed.key_id, world.signer.public_key().key_id());

    let key = world.folder.path().join("beside.pub");
    std::fs::write(&key, world.sidecar(&signed, "cosign.pub").await).unwrap();
    let detached = String::from_utf8(world.sidecar(&signed, "export.json.sig").await.to_vec()).unwrap();
    let signature = from_base64(&detached).expect("base64 without a line feed");
    assert!(world.openssl_accepts(&key, &signature, EXPORT_JSON));
    assert!(!world.openssl_accepts(&key, &signature, b"another"));

    let bundle = Bundle::parse(&world.sidecar(&signed, "export.json.sigstore.json").await).unwrap();
    let message = bundle.message_signature.unwrap();
    assert!(world.openssl_accepts(&key, &from_base64(&message.signature).unwrap(), EXPORT_JSON));
    assert_eq!(bundle.verification_material.public_key.hint, world.signer.public_key().hint());

    let bundle = Bundle::parse(&world.sidecar(&signed, "provenance.sigstore.json").await).unwrap();
    let (payload, signature) = bundle.dsse_envelope.unwrap().open().unwrap();
    assert_eq!(payload, world.sidecar(&signed, "provenance.json").await);
    assert!(world.openssl_accepts(&key, &signature, &pre_authentication(IN_TOTO, &payload)));
}

#[tokio::test]
async fn provenance_names_the_run_its_outputs_and_its_inputs() {
    let world = World::new().await;
    let signed = world.handle(world.signer.clone(), false).await.unwrap();
    let statement: Statement = serde_json::from_slice(&world.sidecar(&signed, "provenance.json").await).unwrap();
    assert_eq!((statement.kind.as_str(), statement.predicate_type.as_str()), (STATEMENT_TYPE, PROVENANCE_TYPE));
    let subjects: Vec<(&str, &str)> =
        statement.subject.iter().map(|subject| (subject.name.as_str(), subject.digest["sha256"].as_str())).collect();
    let manifest = &world.manifest;
    assert_eq!(
        subjects,
        [("bundle.tar", manifest.bundle.digest.hex()), ("export.json", manifest.export_json.digest.hex())]
    );

    let definition = statement.predicate.build_definition;
    let plan = &manifest.plan;
    assert_eq!(definition.external_parameters["profile"]["revision"], plan.profile.revision);
    assert_eq!(definition.external_parameters["watermark"], plan.watermark.0);
    assert_eq!(definition.internal_parameters["requestedBy"], plan.request.by.as_str());
    let inputs: Vec<(&str, &str)> = definition
        .resolved_dependencies
        .iter()
        .map(|input| (input.uri.as_str(), input.digest["sha256"].as_str()))
        .collect();
    let (source, snapshot) = (&manifest.sources[0], plan.policy_snapshot.as_ref().unwrap());
    let expected = [
        ("urn:export-center:ledger:advisory:osv/pypa", source.hash.hex()),
        ("urn:export-center:policy-snapshot:snap-1", snapshot.digest.hex()),
    ];
    assert_eq!(inputs, expected);
    assert_eq!(definition.resolved_dependencies[0].annotations["watermark"], plan.watermark.0);

    let details = statement.predicate.run_details;
    assert_eq!(details.metadata.invocation_id, plan.run.run.as_str());
    assert_eq!(details.metadata.started_on, plan.request.admitted_at.to_string());
    assert_eq!(details.metadata.finished_on, FINISHED);
    assert_eq!(details.builder.version["adapter json:raw"], plan.adapter.version);
}

#[tokio::test]
async fn a_second_delivery_signs_as_well_as_the_first() {
    let world = World::new().await;
    for _ in 0..2 {
        let signed = world.handle(world.signer.clone(), false).await.unwrap();
        let text = world.sidecar(&signed, "export.json.sig").await;
        let signature = from_base64(std::str::from_utf8(&text).unwrap()).unwrap();
        world.signer.public_key().verify(EXPORT_JSON, &signature).unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_run_is_not_signed() {
    let world = World::new().await;
    let error = world.handle(world.signer.clone(), true).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::Cancelled);
    assert_eq!(world.artefacts().await, 1);
}

#[tokio::test]
async fn a_damaged_manifest_is_not_signed() {
    let world = World::new().await;
    let run = &world.manifest.plan.run;
    let key = Workspace::artefact_key(&run.tenant, &run.run, &world.manifest.export_json.digest);
    world.store.put(&key, Bytes::from_static(br#"{"schema":"urn:export-center:forgery!!"}"#)).await.unwrap();
    let error = world.handle(world.signer.clone(), false).await.unwrap_err();
    assert!(matches!(error, SignStageError::Corrupt { .. }), "{error}");
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::ArtefactCorrupt));
    assert_eq!(world.artefacts().await, 1);
}

#[tokio::test]
async fn a_manifest_that_is_gone_fails_the_run() {
    let mut world = World::new().await;
    world.manifest.export_json.digest = Digest::from_bytes([9; 32]);
    let error = world.handle(world.signer.clone(), false).await.unwrap_err();
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::ArtefactCorrupt));
}

/// How a signer misbehaves.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Away,
    Refuses,
    /// Gives a signature over other bytes, as a KMS does that hashes once too often.
    Lies,
}

#[derive(Debug)]
struct Faulty(Arc<FileSigner>, Fault);

#[async_trait]
impl Signer for Faulty {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    async fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignError> {
        let cause = Box::new(io::Error::other("no answer"));
        match self.1 {
            Fault::Away => Err(SignError::Unavailable(cause)),
            Fault::Refuses => Err(SignError::Refused(cause)),
            Fault::Lies => self.0.sign(b"something else").await,
        }
    }
}

#[tokio::test]
async fn a_signer_that_is_away_is_waited_for_and_one_that_fails_fails_the_run() {
    for (fault, told, verdict) in [
        (Fault::Away, "unavailable", Verdict::Redeliver { after: None }),
        (Fault::Refuses, "refused", Verdict::FailRun(ErrorCode::SigningFailed)),
        (Fault::Lies, "invalid", Verdict::FailRun(ErrorCode::SigningFailed)),
    ] {
        let world = World::new().await;
        let faulty = Arc::new(Faulty(world.signer.clone(), fault));
        assert!(faulty.check().await.is_err(), "{fault:?} is ready");
        let error = world.handle(faulty, false).await.unwrap_err();
        assert_eq!(error.verdict(), verdict, "{fault:?}");
        assert_eq!(*world.told.lock().unwrap(), [told], "{fault:?}");
        assert_eq!(world.artefacts().await, 1, "{fault:?} left something behind");
    }
}

fn another_key(folder: &Path) -> Arc<FileSigner> {
    let password = Password::new(b"another".to_vec());
    generate_key_pair(folder, &password).unwrap();
    Arc::new(FileSigner::open(&folder.join("cosign.key"), &password).unwrap())
}

#[tokio::test]
async fn each_tenant_has_its_own_key_and_the_first_rule_that_fits_wins() {
    let mut world = World::new().await;
    let of_one = another_key(&world.folder.path().join("one"));
    let of_two = another_key(&world.folder.path().join("two"));
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let rule = |tenants, profiles, signer: &Arc<FileSigner>| Rule {
        tenants: set(tenants),
        profiles: set(profiles),
        signer: signer.clone(),
    };
    let signers = Signers::new(
        world.signer.clone(),
        vec![
            rule(&["one"], &["json-raw"], &of_one),
            rule(&["two"], &[], &of_two),
            rule(&["one", "two"], &["json-raw"], &of_two),
            rule(&[], &["trivy-db"], &of_one),
        ],
    );
    for (tenant, profile, expected) in [
        ("one", "json-raw", &of_one),
        ("two", "json-raw", &of_two),
        ("two", "trivy-db", &of_two),
        ("one", "trivy-db", &of_one),
        ("three", "trivy-db", &of_one),
        ("one", "mirror-full", &world.signer.clone()),
        ("three", "json-raw", &world.signer.clone()),
    ] {
        world.manifest.plan.run.tenant = tenant.parse().unwrap();
        world.manifest.plan.profile.id = profile.parse().unwrap();
        let workspace = Workspace::new(world.store.clone(), world.manifest.plan.run.clone());
        workspace.put_artefact(Bytes::from_static(EXPORT_JSON)).await.unwrap();
        let signed = world.handle_with(signers.clone(), false).await.unwrap();
        let key = expected.public_key();
        assert_eq!(signed.key_id, key.key_id(), "{tenant} {profile}");
        assert_eq!(world.sidecar(&signed, "cosign.pub").await, key.pem().as_bytes(), "{tenant} {profile}");
        let text = world.sidecar(&signed, "export.json.sig").await;
        key.verify(EXPORT_JSON, &from_base64(std::str::from_utf8(&text).unwrap()).unwrap()).unwrap();
        let bundle = Bundle::parse(&world.sidecar(&signed, "provenance.sigstore.json").await).unwrap();
        let (payload, signature) = bundle.dsse_envelope.unwrap().open().unwrap();
        key.verify(&pre_authentication(IN_TOTO, &payload), &signature).unwrap();
    }
    let ids: Vec<String> = signers.all().iter().map(|signer| signer.public_key().key_id()).collect();
    let expected = [&world.signer, &of_one, &of_two].map(|signer| signer.public_key().key_id());
    assert_eq!(ids, expected, "each key once, the default one first");
}

#[tokio::test]
async fn readiness_asks_every_key() {
    let world = World::new().await;
    let away = Arc::new(Faulty(another_key(&world.folder.path().join("other")), Fault::Away));
    let only_default = Signers::new(world.signer.clone(), Vec::new());
    only_default.check().await.unwrap();
    let rule = Rule { tenants: BTreeSet::new(), profiles: BTreeSet::new(), signer: away };
    let error = Signers::new(world.signer.clone(), vec![rule]).check().await.unwrap_err();
    assert_eq!(error.kind(), "unavailable");
}

#[tokio::test]
async fn a_profile_without_attestation_has_provenance_and_no_envelope() {
    let mut world = World::new().await;
    world.manifest.plan.profile.config.attestation = false;
    let signed = world.handle(world.signer.clone(), false).await.unwrap();
    let names: Vec<&str> = signed.sidecars.keys().map(String::as_str).collect();
    let expected = ["cosign.pub", "export.json", "export.json.sig", "export.json.sigstore.json", "provenance.json"];
    assert_eq!(names, expected);
    let statement: Statement = serde_json::from_slice(&world.sidecar(&signed, "provenance.json").await).unwrap();
    assert_eq!(statement.kind, STATEMENT_TYPE);
}

#[tokio::test]
async fn layers_that_trivy_pulls_by_themselves_are_subjects_too() {
    let mut world = World::new().await;
    let mut export: serde_json::Value = serde_json::from_slice(EXPORT_JSON).unwrap();
    let layer = sha256(b"layer");
    export["contents"][0]["path"] = "trivy/db.tar.gz".into();
    export["contents"][0]["digest"] = format!("sha256:{}", layer.hex()).into();
    let workspace = Workspace::new(world.store.clone(), world.manifest.plan.run.clone());
    world.manifest.export_json = workspace.put_artefact(Bytes::from(export.to_string())).await.unwrap();
    let signed = world.handle(world.signer.clone(), false).await.unwrap();
    let statement: Statement = serde_json::from_slice(&world.sidecar(&signed, "provenance.json").await).unwrap();
    let names: Vec<&str> = statement.subject.iter().map(|subject| subject.name.as_str()).collect();
    assert_eq!(names, ["bundle.tar", "export.json", "trivy/db.tar.gz"]);
    assert_eq!(statement.subject[2].digest["sha256"], layer.hex());
}

#[tokio::test]
async fn full_provenance_names_the_builder_and_its_program_and_is_not_made_up() {
    let mut world = World::new().await;
    let standard = world.handle(world.signer.clone(), false).await.unwrap();
    world.manifest.plan.profile.config.provenance = ProvenanceDetail::Full;
    let error = world.handle(world.signer.clone(), false).await.unwrap_err();
    assert!(matches!(error, SignStageError::NoBuilder), "{error}");
    assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::ProfileUnsupported));

    let program = Digest::from_bytes([7; 32]);
    let builder = BuilderIdentity { id: "https://export.example/builders/main".to_owned(), program: program.clone() };
    let signers = Signers::new(world.signer.clone(), Vec::new());
    let full = world.handle_by(signers.clone(), false, Some(builder.clone())).await.unwrap();
    let text = world.sidecar(&full, "provenance.json").await;
    let details = serde_json::from_slice::<Statement>(&text).unwrap().predicate.run_details;
    assert_eq!(details.builder.id, builder.id);
    assert_eq!(details.builder.builder_dependencies[0].digest["sha256"], program.hex());
    assert_eq!(details.byproducts[0].digest["sha256"], world.manifest.rerun_hash.hex());

    // Who did not ask for it gets what was there before.
    world.manifest.plan.profile.config.provenance = ProvenanceDetail::Standard;
    let named = world.handle_by(signers, false, Some(builder)).await.unwrap();
    assert_eq!(named.sidecars["provenance.json"], standard.sidecars["provenance.json"]);
}

#[tokio::test]
async fn what_was_encrypted_for_whom_stands_in_the_signed_provenance() {
    let mut world = World::new().await;
    let said = serde_json::json!({
        "mode": "aes-gcm", "scope": "data", "aadFormat": "{runId}:{relativePath}", "nonceFormat": "x",
        "recipients": [{ "recipient": "awskms:k", "keyId": "arn", "wrappedKey": "AAAA" }],
        "leftOut": ["vault:away"],
        "files": [{ "path": "data/a.enc", "digest": format!("sha256:{}", "0".repeat(64)), "bytes": 7 }],
    });
    world.manifest.encryption = Some(serde_json::from_value(said.clone()).unwrap());
    let signed = world.handle(world.signer.clone(), false).await.unwrap();
    let provenance = world.sidecar(&signed, "provenance.json").await;
    let statement: Statement = serde_json::from_slice(&provenance).unwrap();
    let internal = &statement.predicate.build_definition.internal_parameters;
    assert_eq!(internal["environment"]["encryption"], said);
    world.manifest.encryption = None;
    let signed = world.handle(world.signer.clone(), false).await.unwrap();
    let provenance = world.sidecar(&signed, "provenance.json").await;
    assert!(!String::from_utf8_lossy(&provenance).contains("environment"));
}
