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
