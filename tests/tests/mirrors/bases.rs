//! What a delta may build upon.

use export_client::{ClientError, NewRun};
use export_contract::run::RunOptions;
use export_tests::{Deployment, light};
use serde_json::json;

use crate::world::{Evidence, applied, assert_same_as_full, delta, exportctl, full, run, state};

async fn refused(deployment: &Deployment, profile: &str, options: RunOptions) -> (u16, String) {
    let wanted = NewRun { profile_id: profile.to_owned(), options, ..NewRun::default() };
    match deployment.client().unwrap().start_run(&wanted, None).await {
        Err(ClientError::Refused(problem)) => (problem.status, problem.code),
        other => panic!("{other:?}"),
    }
}

fn on(base: &str) -> RunOptions {
    RunOptions { base_export_id: Some(base.to_owned()), ..RunOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_does_not_fit_is_refused_with_its_code() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let evidence = Evidence::new(&deployment);
    for number in 0..20 {
        evidence.advisory(number, 1);
    }
    evidence.sbom(1, 1).import(&deployment);
    let (mirror, _) = full(&mut deployment, "mirror-full").await;
    let raw = run(&deployment, "json-raw", RunOptions::default()).await;

    // At submit.
    let missing = "ERR_EXPORT_BASE_MISSING".to_owned();
    assert_eq!(refused(&deployment, "mirror-delta", RunOptions::default()).await, (422, missing.clone()));
    for name in ["00000000010000000000000000", &"0".repeat(64), "nonsense"] {
        assert_eq!(refused(&deployment, "mirror-delta", on(name)).await, (422, missing.clone()), "{name}");
    }
    let mismatch = "ERR_EXPORT_BASE_MISMATCH".to_owned();
    assert_eq!(refused(&deployment, "mirror-delta", on(raw.run.id.as_str())).await, (422, mismatch));
    assert_eq!(refused(&deployment, "json-raw", on(mirror.run.id.as_str())).await.0, 400);
    // Another tenant's mirror is no mirror at all.
    deployment.put_client("other", "other", &[]).unwrap();
    let file = deployment.folder().join("other.credentials.json");
    let other = export_client::Client::new(export_client::Credentials::read(&file).unwrap()).unwrap();
    let wanted = NewRun { profile_id: "mirror-delta".to_owned(), options: on(&state(&mirror)), ..NewRun::default() };
    let Err(ClientError::Refused(problem)) = other.start_run(&wanted, None).await else { panic!() };
    assert_eq!(problem.code, missing);

    // In plan: contents and time.
    let client = deployment.client().unwrap();
    let narrow =
        json!({ "id": "narrow", "name": "narrow", "kind": "mirror:delta", "config": { "include": ["advisory"] } });
    client.create_profile(&narrow).await.unwrap();
    let ended = run(&deployment, "narrow", on(mirror.run.id.as_str())).await;
    assert_eq!(ended.run.error_code.unwrap().as_str(), "ERR_EXPORT_BASE_MISMATCH");
    assert!(ended.run.error_message.as_ref().unwrap().contains("include"), "{:?}", ended.run.error_message);
    let earlier = RunOptions { watermark: Some(export_contract::Sequence(3)), ..on(mirror.run.id.as_str()) };
    let ended = run(&deployment, "mirror-delta", earlier).await;
    assert_eq!(ended.run.error_code.unwrap().as_str(), "ERR_EXPORT_BASE_MISMATCH");

    // A base whose artefacts are gone.
    let staged = deployment.data().join("staging/demo").join(mirror.run.id.as_str());
    std::fs::rename(&staged, staged.with_extension("gone")).unwrap();
    let ended = run(&deployment, "mirror-delta", on(mirror.run.id.as_str())).await;
    assert_eq!(ended.run.error_code.unwrap().as_str(), "ERR_EXPORT_BASE_MISSING");
    std::fs::rename(staged.with_extension("gone"), &staged).unwrap();

    // Nothing changed: an empty delta, which a site takes as what it has.
    let (same, bundle) = delta(&mut deployment, "mirror-delta", mirror.run.id.as_str()).await;
    assert_eq!(state(&same), state(&mirror));
    assert_eq!(same.bundle().records, 0);

    // A delta that builds upon nothing is good for an empty site, and its mirror is a base for others.
    let reset = RunOptions { reset_baseline: true, ..RunOptions::default() };
    let reset = run(&deployment, "mirror-delta", reset).await;
    let whole = deployment.download(&reset).await.unwrap();
    let site = deployment.folder().join("site");
    assert_eq!(applied(&deployment, whole.folder(), &site)["change"], "delta");
    evidence.advisory(3, 2).import(&deployment);
    let (_, next) = delta(&mut deployment, "mirror-delta", reset.run.id.as_str()).await;
    applied(&deployment, next.folder(), &site);
    let told =
        exportctl(&deployment, &["extract", "--record", "TEST-0003"]).arg(site.join("current")).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("in version 2") && told.lines().count() == 1, "{told}");
    drop(bundle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_is_made_again_to_the_same_bytes() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let evidence = Evidence::new(&deployment);
    for number in 0..50 {
        evidence.advisory(number, 1);
    }
    evidence.sbom(1, 1).import(&deployment);
    let (mirror, first) = full(&mut deployment, "mirror-full").await;
    evidence.advisory(5, 2).sbom(1, 2).sbom(2, 1).import(&deployment);
    let (one, _) = delta(&mut deployment, "mirror-delta", mirror.run.id.as_str()).await;
    let (other, bundle) = delta(&mut deployment, "mirror-delta", &state(&mirror)).await;
    assert_eq!(one.digest(), other.digest(), "whichever way the base is named");
    let told = deployment.exportd(&["prove", one.run.id.as_str(), "--tenant", "demo"]).unwrap();
    assert!(told.contains(&format!("bundle     {0} was made, {0} is made again", one.digest())), "{told}");
    let told = deployment.exportd(&["prove", mirror.run.id.as_str(), "--tenant", "demo"]).unwrap();
    assert!(told.contains("is made again"), "{told}");

    // What differs, in words and for programs.
    let site = deployment.folder().join("site");
    applied(&deployment, first.folder(), &site);
    let (_, second) = full(&mut deployment, "mirror-full").await;
    applied(&deployment, bundle.folder(), &site);
    assert_same_as_full(&site, &second);
    let mut diff = exportctl(&deployment, &["diff", "-o", "json"]);
    let told = diff.arg(first.folder()).arg(site.join("current")).output().unwrap();
    assert_eq!(told.status.code(), Some(20));
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&told["changed"]["count"], &told["added"]["count"]), (&json!(2), &json!(1)), "{told:#}");
    assert_eq!(told["severities"][0]["from"], "high");
    let mut same = exportctl(&deployment, &["diff", "--markdown"]);
    let same = same.arg(second.folder()).arg(site.join("current")).output().unwrap();
    assert_eq!(
        (same.status.code(), String::from_utf8_lossy(&same.stdout).contains("Nothing differs")),
        (Some(0), true)
    );
}
