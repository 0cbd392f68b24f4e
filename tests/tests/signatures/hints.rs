//! The commands that a run names verify its bundle, and none of them a changed one.

use std::path::Path;
use std::process::Command;

use export_contract::verification::{KEY_FILE, VerifyCommand};
use export_tests::{Cosign, Deployment, LOCAL_TENANT, light, programs, workspace};
use serde_json::json;

/// Runs a command as a script would: in the folder, with the programs on the search path, without a network.
fn succeeds(folder: &Path, hint: &VerifyCommand) -> bool {
    let own = programs().unwrap().exportctl.parent().unwrap().display();
    let path = format!("{own}:{}:/usr/local/bin:/usr/bin:/bin", workspace().join(".tools/bin").display());
    let isolated = Command::new("unshare").args(["-rn", "true"]).status().is_ok_and(|status| status.success());
    let mut command = if isolated { Command::new("unshare") } else { Command::new("sh") };
    if isolated {
        command.args(["-rn", "sh"]);
    }
    command.arg("-c").arg(&hint.command).env_clear().env("PATH", path).env("HOME", folder).current_dir(folder);
    command.output().unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_a_run_names_verifies_its_bundle_and_no_changed_one() {
    let Some(_) = Cosign::installed() else { return };
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 4, 200).unwrap();
    let plain = json!({ "id": "plain", "name": "plain", "kind": "json:raw", "config": { "attestation": false } });
    deployment.client().unwrap().create_profile(&plain).await.unwrap();
    let config = json!({ "freshForHours": 1, "refreshWhenUnchanged": true });
    let nightly = json!({ "id": "nightly", "name": "nightly", "kind": "json:raw", "config": config });
    deployment.client().unwrap().create_profile(&nightly).await.unwrap();
    // The next one confirms its bundle, which is only fresh by that.
    deployment.run("nightly").await.unwrap();
    for (profile, count) in [("json-raw", 4), ("plain", 3), ("nightly", 5)] {
        let finished = deployment.run(profile).await.unwrap();
        let hints = finished.bundle().verification.clone().unwrap();
        assert_eq!(hints.key_id, finished.bundle().key_id);
        assert_eq!(hints.commands.len(), count, "{profile}");
        let bundle = deployment.download(&finished).await.unwrap();
        std::fs::copy(deployment.data().join("keys/cosign.pub"), bundle.folder().join(KEY_FILE)).unwrap();
        for hint in &hints.commands {
            assert!(succeeds(bundle.folder(), hint), "{profile}: {}", hint.command);
            let what = if hint.proves.contains("bundle.tar") { "bundle.tar" } else { "export.json" };
            let path = bundle.folder().join(what);
            let whole = std::fs::read(&path).unwrap();
            let mut changed = whole.clone();
            changed[whole.len() / 2] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert!(!succeeds(bundle.folder(), hint), "{profile}, {what} changed: {}", hint.command);
            std::fs::write(&path, whole).unwrap();
        }
    }
    deployment.stop_all().await.unwrap();
}
