//! Retention of a whole deployment: what goes, what is told of it, and what a delta keeps.

use export_client::{ClientError, NewRun};
use export_contract::run::RunOptions;
use export_tests::{Deployment, Finished, light, output};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{Evidence, applied, assert_same_as_full, delta, exportctl, full, state};

/// A pass, and what it tells of each run.
fn pass(deployment: &Deployment, dry_run: bool) -> Value {
    let mut arguments = vec!["retention", "run", "-o", "json"];
    if dry_run {
        arguments.push("--dry-run");
    }
    serde_json::from_str(&deployment.exportd(&arguments).unwrap()).unwrap()
}

/// What a pass did to a run, and why.
fn told<'a>(pass: &'a Value, finished: &Finished) -> (&'a str, &'a str) {
    let runs = pass["runs"].as_array().unwrap();
    let line = runs.iter().find(|line| line["run"] == finished.run.id.as_str()).unwrap();
    (line["deed"].as_str().unwrap(), line["why"].as_str().unwrap())
}

fn is_staged(deployment: &Deployment, finished: &Finished) -> bool {
    deployment.data().join("staging/demo").join(finished.run.id.as_str()).exists()
}

async fn assert_gone(deployment: &Deployment, finished: &Finished) {
    let api = deployment.api().await.unwrap();
    let run = format!("/api/export/runs/{}", finished.run.id);
    for path in ["download", "manifest", "provenance", "files/export.json.sig"] {
        let answer = api.get(&format!("{run}/{path}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::GONE, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "ERR_EXPORT_PRUNED");
        let shown = api.json(&run).await.unwrap();
        let since = shown["expiry"]["since"].as_str().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(since), "{problem}");
        assert_eq!(shown["links"]["download"], Value::Null, "what cannot be had has no address");
    }
    let by_id = api.get(&format!("/v2/demo/{}/manifests/{}", finished.run.profile_id, finished.run.id)).await.unwrap();
    assert_eq!(by_id.status(), StatusCode::NOT_FOUND);
    assert!(by_id.text().await.unwrap().contains("MANIFEST_UNKNOWN"));
    let tags = api.json(&format!("/v2/demo/{}/tags/list", finished.run.profile_id)).await.unwrap();
    assert!(!tags["tags"].as_array().unwrap().contains(&json!(finished.run.id)), "{tags}");
    // The end of the stream stays the end, whatever retention adds behind it.
    let end = finished.events.last().unwrap().ordinal;
    let answer = api.get(&format!("{run}/events?after={end}")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let wanted = NewRun {
        profile_id: "mirror-delta".to_owned(),
        options: RunOptions { base_export_id: Some(finished.run.id.to_string()), ..RunOptions::default() },
        ..NewRun::default()
    };
    let Err(ClientError::Refused(problem)) = deployment.client().unwrap().start_run(&wanted, None).await else {
        panic!("a delta builds upon what is gone")
    };
    assert_eq!(problem.code, "ERR_EXPORT_BASE_MISSING");
    assert!(problem.detail.contains("is no longer kept"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_keeps_its_last_bundle_lets_go_of_the_others_but_for_bases() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    // The command is not to wait an hour.
    let settings = deployment.folder().join("export.toml");
    let text = std::fs::read_to_string(&settings).unwrap() + "\n[retention]\ngrace_minutes = 0\n";
    std::fs::write(&settings, text).unwrap();
    let profile = json!({ "id": "last", "name": "last", "kind": "mirror:full", "config": {
        "keepLast": 1, "policySnapshotMode": "optional",
    } });
    deployment.client().unwrap().create_profile(&profile).await.unwrap();
    let evidence = Evidence::new(&deployment);
    for number in 0..20 {
        evidence.advisory(number, 1);
    }
    evidence.sbom(1, 1).import(&deployment);
    let (base, base_bundle) = full(&mut deployment, "last").await;
    evidence.advisory(5, 2).import(&deployment);
    let (second, _) = full(&mut deployment, "last").await;
    let (change, change_bundle) = delta(&mut deployment, "mirror-delta", base.run.id.as_str()).await;
    evidence.advisory(6, 2).import(&deployment);
    let (third, third_bundle) = full(&mut deployment, "last").await;
    assert_eq!(change.run.base.as_ref(), Some(&base.run.id));
    assert_eq!(state(&change), state(&second), "the delta leads to the same mirror");

    let dry = pass(&deployment, true);
    assert_eq!(told(&dry, &second).0, "expiring");
    assert_eq!(told(&dry, &base), ("kept", format!("delta {} builds upon it", change.run.id).as_str()));
    assert_eq!(told(&dry, &third), ("kept", "it is number 1 of the newest 1 that its profile keeps"));
    assert_eq!(told(&dry, &change), ("kept", "its profile keeps bundles for ever"));
    deployment.download(&second).await.expect("a dry run changes nothing");

    assert_eq!(told(&pass(&deployment, false), &second).0, "expiring");
    assert_gone(&deployment, &second).await;
    assert!(is_staged(&deployment, &second), "its bytes go later");
    let last = pass(&deployment, false);
    assert_eq!(told(&last, &second).0, "pruned");
    assert!(last["pass"]["freed"]["bytes"].as_u64().unwrap() >= second.bundle().bytes, "{last}");
    assert!(!is_staged(&deployment, &second));
    assert_gone(&deployment, &second).await;
    let shown = deployment.client().unwrap().run(second.run.id.as_str()).await.unwrap();
    assert!(shown.expiry.unwrap().pruned_at.is_some() && shown.distributions[0].pruned_at.is_some());
    let again = pass(&deployment, false);
    assert_eq!((&again["pass"]["pruned"], &again["pass"]["kept"]), (&json!(0), &json!(3)), "{again}");
    let table = deployment.exportd(&["retention", "run"]).unwrap();
    assert!(table.contains("3 kept, 0 expiring, 0 waiting, 0 spared, 0 pruned"), "{table}");

    // Who names the mirror by its digest is given the one that is left.
    let (by_digest, _) = delta(&mut deployment, "mirror-delta", &state(&second)).await;
    assert_eq!(by_digest.run.base.as_ref(), Some(&change.run.id));

    // The newest verifies, and so does everything that the delta needs.
    output(exportctl(&deployment, &["verify"]).arg(third_bundle.folder())).unwrap();
    let newest = deployment.download(&third).await.unwrap();
    output(exportctl(&deployment, &["verify"]).arg(newest.folder())).unwrap();
    let kept = deployment.download(&base).await.unwrap();
    let changed = deployment.download(&change).await.unwrap();
    assert_eq!(std::fs::read(kept.tar()).unwrap(), std::fs::read(base_bundle.tar()).unwrap());
    assert_eq!(std::fs::read(changed.tar()).unwrap(), std::fs::read(change_bundle.tar()).unwrap());
    let site = deployment.folder().join("site");
    applied(&deployment, kept.folder(), &site);
    applied(&deployment, changed.folder(), &site);
    let (_, next) = delta(&mut deployment, "mirror-delta", change.run.id.as_str()).await;
    applied(&deployment, next.folder(), &site);
    assert_same_as_full(&site, &newest);
    deployment.stop_all().await.unwrap();
}
