//! Refreshes: a run that finds nothing changed confirms the bundle that is there, and only such a run does.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use export_client::{Client, RunSignal};
use export_contract::run::{Phase, Run};
use export_tests::{
    Bundle, Cosign, Deployment, Finished, LOCAL_TENANT, Setup, finish, heavy, light, programs, start, suspend,
};
use serde_json::{Value, json};

const REFRESH: &str = "refresh.sigstore.json";

/// The staged tar of a run, whether it is there or not.
fn staged_tar(deployment: &Deployment, run: &Run) -> PathBuf {
    let name = run.bundle.as_ref().unwrap().digest.as_str().replace(':', "-");
    deployment.data().join("staging").join(LOCAL_TENANT).join(run.id.as_str()).join("artefacts").join(name)
}

fn exportctl(deployment: &Deployment, arguments: &[&str]) -> Output {
    let mut command = Command::new(&programs().unwrap().exportctl);
    command.env("EXPORT_CREDENTIALS", deployment.data().join("credentials.json"));
    command.args(arguments).output().unwrap()
}

fn download(deployment: &Deployment, finished: &Finished, folder: &Path) {
    let folder = folder.to_str().unwrap();
    let done = exportctl(deployment, &["bundle", "download", finished.run.id.as_str(), "--dir", folder]);
    assert!(done.status.success(), "{done:?}");
}

/// The exit code, and the report.
fn verify(deployment: &Deployment, path: &str) -> (Option<i32>, Value) {
    let key = deployment.data().join("keys/cosign.pub");
    let arguments = ["bundle", "verify", "-o", "json", "--max-age", "1h", "--key", key.to_str().unwrap(), path];
    let done = exportctl(deployment, &arguments);
    (done.status.code(), serde_json::from_slice(&done.stdout).unwrap())
}

fn cosign_accepts(cosign: Cosign, deployment: &Deployment, folder: &Path, subject: &str) -> bool {
    let key = deployment.data().join("keys/cosign.pub");
    let arguments = [
        "verify-blob-attestation",
        "--key",
        key.to_str().unwrap(),
        "--bundle",
        REFRESH,
        "--type",
        "urn:export-center:refresh:v1",
        "--insecure-ignore-tlog",
        subject,
    ];
    cosign.accepts(folder, &arguments).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_evidence_is_confirmed_in_a_small_statement_and_changed_evidence_is_exported() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 50).unwrap();
    let client = deployment.client().unwrap();
    let mut profile =
        json!({ "id": "nightly", "name": "nightly", "kind": "json:raw", "config": { "refreshWhenUnchanged": true } });
    let refused = format!("{:?}", client.create_profile(&profile).await.unwrap_err());
    assert!(refused.contains("config.refreshWhenUnchanged"), "{refused}");
    profile["config"]["freshForHours"] = 1.into();
    client.create_profile(&profile).await.unwrap();

    // The evidence was observed long ago, so an hour of freshness is over.
    let first = deployment.run("nightly").await.unwrap();
    let folder = deployment.folder().join("site");
    let path = folder.to_str().unwrap().to_owned();
    download(&deployment, &first, &folder);
    assert_eq!(verify(&deployment, &path).0, Some(15));

    let second = deployment.run("nightly").await.unwrap();
    second.assert_once();
    let (made, confirmed) = (first.bundle(), second.bundle());
    assert_eq!((&confirmed.refreshes, &made.refreshes), (&Some(first.run.id.clone()), &None));
    assert_eq!((&confirmed.digest, &confirmed.manifest_digest), (&made.digest, &made.manifest_digest));
    let mut sidecars = confirmed.sidecars.clone();
    assert!(sidecars.remove(REFRESH).is_some());
    assert_eq!(sidecars, made.sidecars, "every other file is the same to the byte");
    assert!(staged_tar(&deployment, &first.run).is_file() && !staged_tar(&deployment, &second.run).exists());

    // Whoever has the bundle fetches the small files only, and has it fresh.
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    let before = inode(&folder.join("bundle.tar"));
    download(&deployment, &second, &folder);
    assert_eq!(inode(&folder.join("bundle.tar")), before, "the tar was written again");
    let (code, report) = verify(&deployment, &path);
    assert_eq!((code, &report["verified"]), (Some(0), &json!(true)), "{report}");
    assert!(report["confirmedAt"].as_str() > report["asOf"].as_str(), "{report}");
    if let Some(cosign) = Cosign::installed() {
        assert!(cosign_accepts(cosign, &deployment, &folder, "bundle.tar"));
        assert!(cosign_accepts(cosign, &deployment, &folder, "export.json"));
        assert!(!cosign_accepts(cosign, &deployment, &folder, "provenance.json"));
    }
    let hints = &confirmed.verification.as_ref().unwrap().commands;
    assert!(hints.iter().any(|hint| hint.command.contains(REFRESH)), "{hints:?}");

    // Whoever has not gets all of it from the confirming run, in one file, too.
    let whole: Bundle = deployment.download(&second).await.unwrap();
    assert_eq!(Bundle::digest(&whole.tar()).unwrap(), made.digest.as_str());
    let packed = deployment.folder().join("delivery.tar");
    let done = exportctl(&deployment, &["bundle", "pack", path.as_str(), "--out", packed.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    let key = deployment.data().join("keys/cosign.pub");
    let mut piped = Command::new(&programs().unwrap().exportctl);
    piped.args(["bundle", "verify", "-", "--key"]).arg(&key).stdin(std::fs::File::open(&packed).unwrap());
    let piped = piped.stderr(Stdio::inherit()).output().unwrap();
    assert!(
        piped.status.success() && String::from_utf8_lossy(&piped.stdout).contains("confirmed unchanged"),
        "{piped:?}"
    );
    let out = deployment.folder().join("rebuild.sigstore.json");
    let proven = ["prove", second.run.id.as_str(), "--tenant", LOCAL_TENANT, "--out", out.to_str().unwrap()];
    let proven = deployment.exportd(&proven).unwrap();
    assert!(proven.contains(&format!("{0} was made, {0} is made again", made.digest)), "{proven}");

    // A confirmation is not confirmed: the tar is always looked for where it was made.
    let third = deployment.run("nightly").await.unwrap();
    assert_eq!(third.bundle().refreshes, Some(first.run.id.clone()));

    deployment.generate(LOCAL_TENANT, 6, 50).unwrap();
    let fourth = deployment.run("nightly").await.unwrap();
    assert_eq!(fourth.bundle().refreshes, None);
    assert_ne!(fourth.digest(), first.digest());
    download(&deployment, &fourth, &folder);
    assert!(!folder.join(REFRESH).exists(), "what was said of the old bundle lies beside the new one");
    assert_eq!(verify(&deployment, &path).0, Some(15));

    let fifth = deployment.run("nightly").await.unwrap();
    assert_eq!(fifth.bundle().refreshes, Some(fourth.run.id.clone()));
    // Nothing is confirmed of a bundle that is gone.
    std::fs::remove_file(staged_tar(&deployment, &fourth.run)).unwrap();
    let sixth = deployment.run("nightly").await.unwrap();
    assert_eq!((&sixth.bundle().refreshes, sixth.digest()), (&None, fourth.digest()));
    assert!(staged_tar(&deployment, &sixth.run).is_file());
    deployment.stop_all().await.unwrap();
}

/// Starts a run of the profile and waits until its timeline has an event of this type and phase.
async fn run_until(client: &Client, (event_type, phase): (&str, Option<Phase>)) -> Run {
    let run = start(client, "nightly").await.unwrap();
    let mut events = client.follow(run.id.as_str(), 0);
    while let Some(signal) = events.next().await.unwrap() {
        if matches!(&signal, RunSignal::Event(event) if (event.event_type.as_str(), event.phase) == (event_type, phase))
        {
            return run;
        }
    }
    panic!("run {} ended before what was waited for", run.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_role_and_a_lost_log_change_nothing_of_a_confirmation_over_mongodb_and_s3() {
    let _turn = heavy().await;
    let mut deployment = Deployment::start(Setup::served(1)).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 50).unwrap();
    let client = deployment.client().unwrap();
    let config = json!({ "refreshWhenUnchanged": true, "freshForHours": 1 });
    client
        .create_profile(&json!({ "id": "nightly", "name": "nightly", "kind": "json:raw", "config": config }))
        .await
        .unwrap();
    let first = deployment.run("nightly").await.unwrap();
    // Stopped before they are killed, so that they die with the command in their hands.
    for (role, before, wiped) in [
        ("plan", ("run.running", None), false),
        ("sign", ("stage.completed", Some(Phase::Manifest)), false),
        ("sign", ("stage.completed", Some(Phase::Manifest)), true),
    ] {
        suspend(deployment.pid(role).unwrap()).unwrap();
        let run = run_until(&client, before).await;
        deployment.kill(role).await.unwrap();
        if wiped {
            deployment.kill_and_restart_broker(true).await.unwrap();
        }
        deployment.restart().await.unwrap();
        let confirming = finish(&client, run.id.as_str()).await.unwrap();
        confirming.assert_once();
        assert_eq!(confirming.bundle().refreshes, Some(first.run.id.clone()), "{role}, log lost: {wiped}");
        let whole: Bundle = deployment.download(&confirming).await.unwrap();
        assert_eq!(Bundle::digest(&whole.tar()).unwrap(), first.digest().as_str(), "{role}, log lost: {wiped}");
        let (code, report) = verify(&deployment, whole.folder().to_str().unwrap());
        assert_eq!(code, Some(0), "{report}");
    }
    deployment.stop_all().await.unwrap();
}
