//! Taking back from registries that keep more than we put there.

use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;
use export_targets::registries::{Program, Rules};
use export_targets::suite::{Bench, Peer as _};
use export_targets::{Removal, Target as _, TargetError};

use crate::peer::Pushed;

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_deletes_nothing_says_how_to_let_it() {
    let rules = Rules { keeps_everything: true, ..Rules::default() };
    let Some(pushed) = Pushed::with(Program::DockerRegistry, rules).await else { return };
    let target = pushed.target();
    let handed = Bench::new(DistributionKind::Oci).await.run().await;
    let place = handed.over(&target).await.unwrap();
    let error = target.remove(handed.run(), &place).await.unwrap_err();
    let TargetError::Refused { cause, .. } = &error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("`storage.delete.enabled`"), "{cause}");
    assert!(!pushed.files(handed.run(), &place).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_somebody_else_tagged_stays_for_them() {
    for program in Program::ALL {
        let Some(pushed) = Pushed::start(program).await else { continue };
        let target = pushed.target();
        let handed = Bench::new(DistributionKind::Oci).await.run().await;
        let place = handed.over(&target).await.unwrap();
        let manifest = pushed.get("manifests/latest").await.unwrap();
        pushed.put("manifests/approved", "application/vnd.oci.image.manifest.v1+json", manifest.clone()).await;
        assert_eq!(target.remove(handed.run(), &place).await.unwrap(), Removal::Removed);
        assert_eq!(pushed.get("manifests/approved").await, Some(manifest), "{program:?}");
        assert!(!pushed.tags().await.contains(handed.run().run.as_str()), "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_the_tenants_is_refused() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let target = pushed.target();
    let handed = Bench::new(DistributionKind::Oci).await.run().await;
    let place = handed.over(&target).await.unwrap();
    let stranger = RunRef { tenant: "other".parse().unwrap(), ..handed.run().clone() };
    assert!(matches!(target.remove(&stranger, &place).await, Err(TargetError::Refused { .. })));
    for location in [
        "",
        "nowhere",
        "@sha256:00",
        &place.location.replace("exports/", ""),
        &place.location.replace("exports/", "exports/more/"),
    ] {
        let mut elsewhere = place.clone();
        location.clone_into(&mut elsewhere.location);
        let refused = target.remove(handed.run(), &elsewhere).await;
        assert!(matches!(refused, Err(TargetError::Refused { .. })), "{location}: {refused:?}");
    }
    assert!(!pushed.files(handed.run(), &place).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_attached_is_left_to_them() {
    let Some(pushed) = Pushed::start(Program::DockerRegistry).await else { return };
    let target = pushed.target();
    let bench = Bench::new(DistributionKind::Oci).await;
    let first = bench.run_of(10).await;
    let place = first.over(&target).await.unwrap();
    let tag = place.location.split_once('@').unwrap().1.replace(':', "-");
    // As cosign would: another manifest, and a line in the list. Any manifest does, here the list itself.
    let mut index = pushed.json(&format!("manifests/{tag}")).await.unwrap();
    let theirs = index["manifests"][0].clone();
    let lines = index["manifests"].as_array_mut().unwrap();
    lines.push(serde_json::json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": theirs["digest"], "size": theirs["size"],
        "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json", "annotations": { "by": "others" },
    }));
    // Only theirs is left of the old ones, so that the next push must add ours and keep it.
    lines.remove(0);
    let text = index.to_string();
    pushed.put(&format!("manifests/{tag}"), "application/vnd.oci.image.index.v1+json", text.into()).await;
    let again = bench.with_bundle_of(&first).await;
    again.over(&target).await.unwrap();
    let kinds = |index: serde_json::Value| {
        let lines = index["manifests"].as_array().unwrap().clone();
        lines.into_iter().map(|line| line["artifactType"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let sigstore = "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned();
    let listed = kinds(pushed.json(&format!("manifests/{tag}")).await.unwrap());
    assert_eq!(listed, [sigstore.clone(), "application/vnd.export-center.signatures.v1".to_owned()]);
    for run in [&first, &again] {
        target.remove(run.run(), &place).await.unwrap();
    }
    let left = pushed.json(&format!("manifests/{tag}")).await.unwrap();
    assert_eq!(left["manifests"][0]["annotations"]["by"], "others");
    assert_eq!(kinds(left), [sigstore]);
}
