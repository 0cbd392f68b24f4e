//! What is signed of a bundle that an earlier run made.

use std::sync::Arc;

use bytes::Bytes;
use export_blobs::{BlobStore as _, Workspace};
use export_contract::message::{ManifestWritten, RunPlanned, RunSigned};
use export_contract::refresh::{self, PREDICATE_TYPE, RefreshPredicate};
use export_contract::{ErrorCode, RunId};
use export_pipeline::{Judged as _, Verdict};
use export_sign::SignStageError;
use export_signing::bundle::{Bundle, from_base64};
use export_signing::dsse::{IN_TOTO, pre_authentication};
use export_signing::statement::{STATEMENT_TYPE, Statement};
use export_signing::{FileSigner, PublicKey, Signer as _};

use super::{EXPORT_JSON, World, another_key};

/// A run that confirms the bundle of the sample's run, which `signer` signed.
async fn confirming(world: &World, signer: &Arc<FileSigner>) -> (RunSigned, ManifestWritten) {
    let run = world.manifest.plan.run.clone();
    let workspace = Workspace::new(world.store.clone(), run.clone());
    let mut earlier = World {
        folder: tempfile::tempdir().unwrap(),
        store: world.store.clone(),
        signer: signer.clone(),
        manifest: world.manifest.clone(),
        told: Arc::default(),
    };
    earlier.manifest.bundle = workspace.put_artefact(Bytes::from_static(b"a tar")).await.unwrap();
    let signed = earlier.handle(signer.clone(), false).await.unwrap();
    let planned = include_str!("../../../../crates/contract/tests/wire/run_planned.refresh.v1.json");
    let mut plan: RunPlanned = serde_json::from_str(planned).unwrap();
    plan.run.run = RunId::from_parts(5, 5);
    let refresh = plan.refresh.as_mut().unwrap();
    refresh.run = run.run;
    refresh.bundle = signed.manifest.bundle.clone();
    refresh.export_json = signed.manifest.export_json.clone();
    refresh.key_id.clone_from(&signed.key_id);
    refresh.sidecars = signed.sidecars.clone();
    let manifest = ManifestWritten { plan, ..signed.manifest.clone() };
    (signed, manifest)
}

/// The statement, if `key` signed it.
async fn refresh_statement(world: &World, signed: &RunSigned, key: &PublicKey) -> Statement<RefreshPredicate> {
    let bundle = Bundle::parse(&world.sidecar(signed, refresh::FILE).await).unwrap();
    assert_eq!(bundle.verification_material.public_key.hint, key.hint());
    let (payload, signature) = bundle.dsse_envelope.unwrap().open().unwrap();
    key.verify(&pre_authentication(IN_TOTO, &payload), &signature).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[tokio::test]
async fn a_confirmed_bundle_gets_a_statement_and_keeps_its_signatures() {
    let mut world = World::new().await;
    let (earlier, manifest) = confirming(&world, &world.signer).await;
    world.manifest = manifest;
    for delivery in 1..=2 {
        let mut signed = world.handle(world.signer.clone(), false).await.unwrap();
        let statement = refresh_statement(&world, &signed, world.signer.public_key()).await;
        let plan = &world.manifest.plan;
        assert_eq!((statement.kind.as_str(), statement.predicate_type.as_str()), (STATEMENT_TYPE, PREDICATE_TYPE));
        let subjects: Vec<(&str, &str)> = statement
            .subject
            .iter()
            .map(|subject| (subject.name.as_str(), subject.digest["sha256"].as_str()))
            .collect();
        let (tar, export_json) = (world.manifest.bundle.digest.hex(), world.manifest.export_json.digest.hex());
        assert_eq!(subjects, [("bundle.tar", tar), ("export.json", export_json)]);
        let expected = RefreshPredicate {
            checked_at: "2026-01-31T12:00:00.5Z".parse().unwrap(),
            fresh_until: "2026-02-02T00:00:00.5Z".parse().unwrap(),
            as_of: plan.as_of,
            watermark: plan.watermark,
            refreshes: earlier.manifest.plan.run.run.clone(),
            invocation_id: plan.run.run.clone(),
        };
        assert_eq!(statement.predicate, expected);
        // Every small file is the run's own, and the same to the byte.
        for name in signed.sidecars.keys() {
            world.sidecar(&signed, name).await;
        }
        signed.sidecars.remove(refresh::FILE);
        assert_eq!(signed.sidecars, earlier.sidecars);
        assert_eq!(world.artefacts().await, earlier.sidecars.len() + delivery, "the tar stays where it was made");
    }
}

#[tokio::test]
async fn after_a_change_of_the_key_a_confirmed_bundle_is_signed_anew() {
    let mut world = World::new().await;
    let former = another_key(&world.folder.path().join("former"));
    let (earlier, manifest) = confirming(&world, &former).await;
    world.manifest = manifest;
    let signed = world.handle(world.signer.clone(), false).await.unwrap();
    let key = world.signer.public_key();
    assert_eq!(signed.key_id, key.key_id());
    assert_eq!(world.sidecar(&signed, "cosign.pub").await, key.pem().as_bytes());
    let text = world.sidecar(&signed, "export.json.sig").await;
    key.verify(EXPORT_JSON, &from_base64(std::str::from_utf8(&text).unwrap()).unwrap()).unwrap();
    let bundle = Bundle::parse(&world.sidecar(&signed, "provenance.sigstore.json").await).unwrap();
    let (payload, signature) = bundle.dsse_envelope.unwrap().open().unwrap();
    key.verify(&pre_authentication(IN_TOTO, &payload), &signature).unwrap();
    // What happened is what it was: only who vouches for it is another.
    assert_eq!(signed.sidecars["provenance.json"], earlier.sidecars["provenance.json"]);
    refresh_statement(&world, &signed, key).await;
}

#[tokio::test]
async fn nothing_is_signed_about_a_bundle_that_is_gone_or_damaged() {
    let mut world = World::new().await;
    let (earlier, manifest) = confirming(&world, &world.signer).await;
    world.manifest = manifest;
    let run = &earlier.manifest.plan.run;
    for digest in [&earlier.manifest.bundle.digest, &earlier.sidecars["export.json.sig"].digest] {
        let key = Workspace::artefact_key(&run.tenant, &run.run, digest);
        let whole = world.store.get(&key, 1 << 20).await.unwrap();
        world.store.delete(&key).await.unwrap();
        let error = world.handle(world.signer.clone(), false).await.unwrap_err();
        assert!(matches!(error, SignStageError::Gone { .. }), "{error}");
        assert_eq!(error.verdict(), Verdict::FailRun(ErrorCode::ArtefactCorrupt));
        world.store.put(&key, whole).await.unwrap();
    }
    let key = Workspace::artefact_key(&run.tenant, &run.run, &earlier.sidecars["export.json"].digest);
    world.store.put(&key, Bytes::from_static(b"{}")).await.unwrap();
    let error = world.handle(world.signer.clone(), false).await.unwrap_err();
    assert!(matches!(error, SignStageError::Corrupt { .. }), "{error}");
    assert_eq!(world.artefacts().await, 0);
}
