//! What stands in the registry in the end.

use export_contract::Digest;
use export_contract::profile::{DistributionKind, ProfileKind};
use export_targets::TargetError;
use export_targets::oci::{OciRegistry, OciTarget};
use export_targets::registries::{PASSWORD, Program, Rules, USER};
use export_targets::suite::Bench;
use serde_json::json;

use crate::peer::Pushed;

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_pushes_the_same_digest_and_what_vouches_for_it_refers_to_it() {
    for program in Program::ALL {
        let Some(pushed) = Pushed::start(program).await else { continue };
        let target = pushed.target();
        let bench = Bench::new(DistributionKind::Oci).await;
        let first = bench.run().await;
        let again = bench.with_bundle_of(&first).await;
        let confirming = bench.confirming(&first).await;
        let mut places = Vec::new();
        for handed in [&first, &again, &confirming] {
            places.push(handed.over(&target).await.unwrap());
        }
        let location = &places[0].location;
        assert!(places.iter().all(|place| place.location == *location), "{places:?}");
        let id = first.run().run.to_string();
        assert_eq!(places[0].tags, [id.as_str(), "latest"]);
        let digest = location.split_once('@').unwrap().1;
        let manifest = pushed.json(&format!("manifests/{digest}")).await.unwrap();
        assert_eq!(manifest["artifactType"], "application/vnd.export-center.bundle.v1");
        assert_eq!(manifest["layers"][0]["digest"], first.signed().manifest.bundle.digest.as_str());
        assert_eq!(manifest["annotations"]["io.stellaops.export.tenant"], "acme");
        let mut kinds: Vec<String> = pushed.referrers(digest).await.into_iter().map(|(_, kind)| kind).collect();
        kinds.sort_unstable();
        let signatures = "application/vnd.export-center.signatures.v1";
        assert_eq!(kinds, ["application/vnd.export-center.refresh.v1", signatures, signatures]);
        // A registry that lists referrers by itself gets no list under a tag.
        let fallback = pushed.tags().await.iter().any(|tag| tag.starts_with("sha256-"));
        assert_eq!(fallback, program == Program::DockerRegistry);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signatures_of_runs_that_push_the_same_bundle_at_once_are_all_listed() {
    for program in Program::ALL {
        let Some(pushed) = Pushed::start(program).await else { continue };
        let target = pushed.target();
        let bench = Bench::new(DistributionKind::Oci).await;
        let first = bench.run_of(10).await;
        let mut runs = Vec::new();
        for _ in 0..8 {
            runs.push(bench.with_bundle_of(&first).await);
        }
        let places = futures::future::join_all(runs.iter().map(|run| run.over(&target))).await;
        let location = places.into_iter().map(|place| place.unwrap().location).reduce(|one, other| {
            assert_eq!(one, other);
            one
        });
        let location = location.unwrap();
        let digest = location.split_once('@').unwrap().1;
        assert_eq!(pushed.referrers(digest).await.len(), runs.len(), "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_run_that_comes_late_does_not_take_the_moving_tag() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let target = pushed.target();
    let bench = Bench::new(DistributionKind::Oci).await;
    let (older, newer) = (bench.run().await, bench.run().await);
    let place = newer.over(&target).await.unwrap();
    older.over(&target).await.unwrap();
    let latest = pushed.get("manifests/latest").await.unwrap();
    let digest = place.location.split_once('@').unwrap().1;
    assert_eq!(Some(latest), pushed.get(&format!("manifests/{digest}")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_password_pushes_where_nobody_else_may() {
    let rules = Rules { asks_who: true, ..Rules::default() };
    let Some(pushed) = Pushed::with(Program::DockerRegistry, rules).await else { return };
    let bench = Bench::new(DistributionKind::Oci).await;
    let known = OciRegistry { user: USER.to_owned(), password: PASSWORD.to_owned(), ..pushed.settings() };
    let printed = format!("{known:?} {:?}", OciTarget::new(vec![known.clone()]).unwrap());
    assert!(printed.contains(USER) && !printed.contains(PASSWORD), "{printed}");
    for (registry, expected) in [
        (pushed.settings(), "set `user` and `password_file`"),
        (OciRegistry { password: "guess".to_owned(), ..known.clone() }, "look at `user`, `password_file`"),
    ] {
        let error = bench.run().await.over(&OciTarget::new(vec![registry]).unwrap()).await.unwrap_err();
        let TargetError::Refused { cause, .. } = &error else { panic!("{error:?}") };
        assert!(cause.to_string().contains(expected), "{cause}");
    }
    bench.run().await.over(&OciTarget::new(vec![known]).unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_picks_its_registry_and_one_that_is_not_set_up_is_refused() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let away = OciRegistry { host: "registry.invalid".to_owned(), ..OciRegistry::default() };
    let target = OciTarget::new(vec![away, pushed.settings()]).unwrap();
    let bench = Bench::new(DistributionKind::Oci).await;
    let mut handed = bench.run().await;
    handed.signed_mut().manifest.plan.profile.config.oci_registry = Some(pushed.liar.address().to_owned());
    let place = handed.over(&target).await.unwrap();
    assert!(place.location.starts_with(&format!("{}/exports/acme/json-raw@sha256:", pushed.liar.address())));
    handed.signed_mut().manifest.plan.profile.config.oci_registry = Some("elsewhere".to_owned());
    let error = handed.over(&target).await.unwrap_err();
    let TargetError::Refused { cause, .. } = &error else { panic!("{error:?}") };
    assert!(cause.to_string().contains("`elsewhere` is not set up here; name it in `[[oci.registries]]`"), "{cause}");
}

#[test]
fn settings_that_name_no_registry_are_refused() {
    let refused = |registry: OciRegistry| OciTarget::new(vec![registry]).unwrap_err().to_string();
    let named = |host: &str| OciRegistry { host: host.to_owned(), ..OciRegistry::default() };
    for host in ["", "https://a.example", "a.example/path", "user@a.example", "a example"] {
        assert!(refused(named(host)).contains("is no host of a registry"), "{host}");
    }
    for prefix in ["/", "a//b", "A", "-a", "a-", "a..b", "../a"] {
        let registry = OciRegistry { prefix: prefix.to_owned(), ..named("a.example") };
        assert!(refused(registry).contains("cannot begin the name of a repository"), "{prefix}");
    }
    let twice = OciTarget::new(vec![named("a.example:5000"), named("a.example:5000")]).unwrap_err();
    assert!(twice.to_string().contains("named twice"));
    let no_pem = OciRegistry { ca_pem: Some(b"-----BEGIN CERTIFICATE-----\nx\n".to_vec()), ..named("a.example") };
    assert!(refused(no_pem).contains("certificates for `a.example`"));
    OciTarget::new(vec![OciRegistry { prefix: "exports/team-1/a.b_c".to_owned(), ..named("[::1]:5000") }]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_encrypted_in_its_bundle_is_not_pushed_in_the_clear() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let bench = Bench::new(DistributionKind::Oci).await;
    let mut handed = bench.run().await;
    let layer = handed.signed().manifest.bundle.clone();
    let export_json = |more: &str| {
        format!(
            r#"{{"contents":[{{"path":"trivy/db.tar.gz","digest":"{}","bytes":{}}}]{more}}}"#,
            layer.digest, layer.bytes
        )
    };
    handed.signed_mut().manifest.plan.profile.kind = ProfileKind::TrivyDb;
    let sealed = bench.put(&handed, export_json(r#","encryption":{"mode":"age","scope":"payload"}"#).into()).await;
    handed.signed_mut().manifest.export_json = sealed;
    let error = handed.over(&pushed.target()).await.unwrap_err();
    assert!(matches!(error, TargetError::Refused { .. }), "{error:?}");
    assert!(pushed.liar.heard().is_empty(), "{:?}", pushed.liar.heard());

    // The same in the clear has Trivy's layout.
    handed.signed_mut().manifest.export_json = bench.put(&handed, export_json("").into()).await;
    let place = handed.over(&pushed.target()).await.unwrap();
    assert_eq!(place.tags, [handed.run().run.as_str(), "latest", "2"]);
    let manifest = pushed.json("manifests/2").await.unwrap();
    assert_eq!(manifest["artifactType"], "application/vnd.aquasec.trivy.config.v1+json");
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip");
    assert_eq!(manifest["layers"][0]["annotations"], json!({ "org.opencontainers.image.title": "db.tar.gz" }));
    assert_eq!(manifest["layers"][0]["digest"], layer.digest.as_str());
    // The text that names the database is checked against what was signed.
    handed.signed_mut().manifest.export_json.digest = Digest::from_bytes([1; 32]);
    assert!(matches!(handed.over(&pushed.target()).await.unwrap_err(), TargetError::Staging(_)));
}
