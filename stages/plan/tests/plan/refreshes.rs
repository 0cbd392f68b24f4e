//! When an earlier bundle does, and when it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use export_blobs::folder::FolderBlobs;
use export_blobs::{BlobStore as _, Workspace};
use export_contract::message::{Artefact, Distribution, ManifestWritten, RunAdmitted, RunDistributed, RunSigned};
use export_contract::profile::DistributionKind;
use export_contract::refresh::{PreviousRun, Refresh};
use export_contract::run::Phase;
use export_contract::{Digest, RecordKind, RunId, Sequence, Timestamp, Version};
use export_pipeline::contract_check::contract_check;

use super::{World, admitted, record};

/// When the second run is admitted.
const LATER: &str = "2026-02-02T06:00:00Z";

impl World {
    async fn staging(&self) -> Arc<FolderBlobs> {
        Arc::new(FolderBlobs::open(&self.folder.path().join("staging")).await.unwrap())
    }

    /// A run that came to its end with a bundle, by the records that its stages leave.
    async fn finished(&self, admitted: RunAdmitted, expires_at: Option<Timestamp>) -> RunDistributed {
        let plan = self.plan(admitted).await.unwrap();
        let workspace = Workspace::new(self.staging().await, plan.run.clone());
        let stage =
            async |text: &'static str| workspace.put_artefact(Bytes::from_static(text.as_bytes())).await.unwrap();
        let (export_json, bundle) = (stage("export.json").await, stage("bundle.tar").await);
        let distribution = Distribution {
            kind: DistributionKind::Http,
            location: "/download".to_owned(),
            sha256: bundle.digest.clone(),
            size_bytes: bundle.bytes,
            expires_at,
            tags: Vec::new(),
            locked_until: None,
            pruned_at: None,
        };
        let signed = RunSigned {
            v: Version,
            key_id: "key".to_owned(),
            sidecars: BTreeMap::from([
                ("export.json".to_owned(), export_json.clone()),
                ("export.json.sig".to_owned(), stage("signature").await),
            ]),
            manifest: ManifestWritten {
                v: Version,
                plan,
                export_json,
                bundle,
                rerun_hash: Digest::from_bytes([6; 32]),
                records: 4,
                sources: Vec::new(),
                target: None,
                encryption: None,
            },
        };
        let distributed = RunDistributed { v: Version, signed, distributions: vec![distribution] };
        workspace.put_result(Phase::Distribute, None, &distributed).await.unwrap();
        distributed
    }

    /// What a second run of the same finds after `change`.
    async fn second(&self, first: &RunDistributed, change: impl FnOnce(&mut RunAdmitted)) -> Option<Refresh> {
        let mut second = refreshing();
        second.run.run = RunId::from_parts(2, 2);
        second.request.admitted_at = LATER.parse().unwrap();
        let manifest = &first.signed.manifest;
        let run = manifest.plan.run.clone();
        let bundle = manifest.bundle.digest.clone();
        second.previous = Some(PreviousRun { run: run.run, generation: run.generation, bundle });
        change(&mut second);
        let run = second.run.clone();
        contract_check(&self.stage(self.ledger.clone()), self.staging().await, run, None, || second.clone())
            .await
            .refresh
    }
}

fn refreshing() -> RunAdmitted {
    let mut run = admitted();
    run.profile.config.fresh_for_hours = Some(36);
    run.profile.config.refresh_when_unchanged = true;
    run
}

#[tokio::test]
async fn a_run_over_the_same_evidence_confirms_the_bundle_that_is_there() {
    let world = World::new().await;
    let first = Box::pin(world.finished(refreshing(), None)).await;
    let refresh = world.second(&first, |_| ()).await.unwrap();
    let RunSigned { manifest, key_id, sidecars, .. } = first.signed.clone();
    let expected = Refresh {
        run: RunId::from_parts(1, 1),
        checked_at: LATER.parse().unwrap(),
        fresh_until: "2026-02-03T18:00:00Z".parse().unwrap(),
        export_json: manifest.export_json,
        bundle: manifest.bundle,
        rerun_hash: manifest.rerun_hash,
        records: 4,
        sources: manifest.sources,
        key_id,
        sidecars,
        expires_at: None,
    };
    assert_eq!(refresh, expected);
    // Words for people are in no bundle, and an import of what is known is no change.
    let described = |run: &mut RunAdmitted| {
        run.profile.description = "another".to_owned();
        run.profile.labels.insert("team".to_owned(), "x".to_owned());
        run.request.by = "somebody else".to_owned();
    };
    assert_eq!(world.second(&first, described).await.as_ref(), Some(&expected));
    world.import(vec![record(RecordKind::Advisory, "nvd", 4, "2026-01-09T00:00:00Z")]).await;
    assert_eq!(world.second(&first, |_| ()).await.as_ref(), Some(&expected));
    // A position that is the ledger's own is no older one.
    let pinned = |run: &mut RunAdmitted| run.options.watermark = Some(Sequence(4));
    assert_eq!(world.second(&first, pinned).await, Some(expected));
}

#[tokio::test]
async fn whatever_a_bundle_depends_on_makes_a_full_run_once_it_is_another() {
    type Change = fn(&mut RunAdmitted);
    let world = World::new().await;
    let first = Box::pin(world.finished(refreshing(), None)).await;
    let changes: [(&str, Change); 7] = [
        ("nothing earlier", |run| run.previous = None),
        ("selectors", |run| run.selectors.kinds = BTreeSet::from([RecordKind::Advisory])),
        ("the name, which the manifest has", |run| run.profile.name = "another".to_owned()),
        ("the revision", |run| run.profile.revision = 2),
        ("the configuration", |run| run.profile.config.compression.level = 4),
        ("an older position", |run| run.options.watermark = Some(Sequence(3))),
        ("another bundle by the ledger", |run| {
            run.previous.as_mut().unwrap().bundle = Digest::from_bytes([9; 32]);
        }),
    ];
    for (what, change) in changes {
        assert_eq!(world.second(&first, change).await, None, "{what}");
    }
    world.import(vec![record(RecordKind::Advisory, "nvd", 5, "2026-01-05T00:00:00Z")]).await;
    assert_eq!(world.second(&first, |_| ()).await, None, "evidence");
    // Nor does a run at the old position say that nothing changed since.
    let pinned = |run: &mut RunAdmitted| run.options.watermark = Some(Sequence(4));
    assert_eq!(world.second(&first, pinned).await, None, "evidence behind the position");
}

#[tokio::test]
async fn a_bundle_that_cannot_be_had_is_not_confirmed() {
    let world = World::new().await;
    let first = Box::pin(world.finished(refreshing(), None)).await;
    let staging = world.staging().await;
    let manifest = &first.signed.manifest;
    let run = &manifest.plan.run;
    let lost: [&Artefact; 3] = [&manifest.bundle, &manifest.export_json, &first.signed.sidecars["export.json.sig"]];
    for artefact in lost {
        let key = Workspace::artefact_key(&run.tenant, &run.run, &artefact.digest);
        let bytes = staging.get(&key, 1 << 10).await.unwrap();
        staging.delete(&key).await.unwrap();
        assert_eq!(world.second(&first, |_| ()).await, None, "{} is gone", artefact.bytes);
        staging.put(&key, bytes.slice(1..)).await.unwrap();
        assert_eq!(world.second(&first, |_| ()).await, None, "{} was cut", artefact.bytes);
        staging.put(&key, bytes).await.unwrap();
    }
    assert!(world.second(&first, |_| ()).await.is_some());
    let record = Workspace::new(staging.clone(), run.clone()).result_key(Phase::Distribute, None);
    staging.put(&record, Bytes::from_static(b"{")).await.unwrap();
    assert_eq!(world.second(&first, |_| ()).await, None, "its record is damaged");
    staging.delete(&record).await.unwrap();
    assert_eq!(world.second(&first, |_| ()).await, None, "its record is gone");
}

#[tokio::test]
async fn a_bundle_that_is_pruned_while_it_would_be_fresh_is_not_confirmed() {
    for (expires_at, confirmed) in [("2026-02-03T17:59:59Z", false), ("2026-02-03T18:00:00Z", true)] {
        let world = World::new().await;
        let expires_at = expires_at.parse().unwrap();
        let first = Box::pin(world.finished(refreshing(), Some(expires_at))).await;
        let refresh = world.second(&first, |_| ()).await;
        assert_eq!(refresh.and_then(|refresh| refresh.expires_at), confirmed.then_some(expires_at));
    }
}
