//! A registry that is pushed to: tools that know nothing of us take from it what was pushed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use export_contract::message::Distribution;
use export_contract::profile::DistributionKind;
use export_contract::run::Run;
use export_targets::liar::Lie;
use export_targets::registries::{PASSWORD, Program, USER};
use export_tests::{
    Deployment, LOCAL_TENANT, Puller, Scanner, Setup, Store, Trivy, finish, is_left_out, light, machine, output,
    programs, start, workspace,
};
use serde_json::{Value, json};

/// `None`, with a note, where the registry is left out.
#[expect(clippy::print_stderr, reason = "whoever reads the test's output must see that it tested nothing")]
async fn deployment(setup: Setup) -> Option<Deployment> {
    let program = setup.pushes_to.unwrap();
    if is_left_out(program.name()) {
        eprintln!("passed over: EXPORT_TESTS_WITHOUT names {}", program.name());
        return None;
    }
    Some(Deployment::start(setup).await.unwrap())
}

async fn pushing(deployment: &Deployment, id: &str, kind: &str) {
    let config = json!({ "distribution": ["http", "oci"] });
    let profile = json!({ "id": id, "name": id, "kind": kind, "config": config });
    deployment.client().unwrap().create_profile(&profile).await.unwrap();
}

fn pushed(run: &Run) -> &Distribution {
    let found = run.distributions.iter().find(|distribution| distribution.kind == DistributionKind::Oci);
    found.unwrap_or_else(|| panic!("nothing was pushed: {run:?}"))
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn oras_and_skopeo_take_what_was_pushed_and_it_is_what_the_gateway_serves() {
    let _turn = light().await;
    let setup = Setup { pushes_to: Some(Program::DockerRegistry), anonymous: &[LOCAL_TENANT], ..Setup::together() };
    let Some(mut deployment) = deployment(setup).await else { return };
    let home = deployment.folder().join("home");
    let (Some(oras), Some(skopeo)) =
        (Puller::installed("oras", &home).unwrap(), Puller::installed("skopeo", &home).unwrap())
    else {
        return;
    };
    pushing(&deployment, "pushed", "json:raw").await;
    deployment.generate(LOCAL_TENANT, 7, 500).unwrap();
    let first = deployment.run("pushed").await.unwrap();
    let again = deployment.run("pushed").await.unwrap();
    let bundle = deployment.download(&first).await.unwrap();
    let host = deployment.pushes().address().to_owned();
    let place = pushed(&first.run);
    // The same evidence has the same digest, here and at the gateway.
    assert_eq!(place.location, pushed(&again.run).location);
    assert_eq!(
        (&place.sha256, &place.tags[..]),
        (first.digest(), &[first.run.id.to_string(), "latest".to_owned()][..])
    );
    let name = format!("{host}/exports/demo/pushed");
    let digest = place.location.strip_prefix(&format!("{name}@")).unwrap_or_else(|| panic!("{}", place.location));
    let gateway = deployment.server().trim_start_matches("http://");
    let served = [format!("{gateway}/demo/pushed:{}", first.run.id), format!("{name}:{}", again.run.id)];
    output(oras.command().args(["login", "--plain-http", "-u", USER, "-p", PASSWORD, &host])).unwrap();
    for reference in &served {
        let manifest =
            oras.command().args(["manifest", "fetch", "--plain-http", "--descriptor", reference]).output().unwrap();
        let descriptor: Value = serde_json::from_slice(&manifest.stdout).unwrap_or_else(|_| panic!("{manifest:?}"));
        assert_eq!(descriptor["digest"], digest, "{reference}");
    }

    output(oras.command().args(["pull", "--plain-http", &place.location, "-o", "pulled"])).unwrap();
    let pulled = home.join("pulled");
    assert_eq!(read(pulled.join("bundle.tar")), read(bundle.tar()));
    // What refers to it comes by the tag of referrers, and the verifier takes the whole.
    let found = output(oras.command().args(["discover", "--plain-http", "--format", "json", &place.location])).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    let referrers = found.get("referrers").or(found.get("manifests")).and_then(Value::as_array).unwrap();
    assert_eq!(referrers.len(), 2, "each run has its own signatures: {found:#}");
    let referrer = referrers[0]["reference"].as_str().unwrap();
    output(oras.command().args(["pull", "--plain-http", referrer, "-o", "pulled"])).unwrap();
    let key = deployment.data().join("keys/cosign.pub");
    let mut verify = Command::new(&programs().unwrap().exportctl);
    output(verify.args(["bundle", "verify", "--key"]).arg(key).arg(&pulled)).unwrap();

    let source = format!("docker://{}", place.location);
    let credentials = format!("{USER}:{PASSWORD}");
    let mut copy = skopeo.command();
    copy.args([
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        &credentials,
        &source,
        "dir:copy",
    ]);
    output(&mut copy).unwrap();
    assert_eq!(read(home.join("copy").join(first.digest().hex())), read(bundle.tar()));
}

#[tokio::test(flavor = "multi_thread")]
async fn trivy_scans_with_both_databases_from_the_registry_that_they_were_pushed_to() {
    let _turn = light().await;
    let setup = Setup { pushes_to: Some(Program::DockerRegistry), ..Setup::together() };
    let Some(mut deployment) = deployment(setup).await else { return };
    let (root, sbom) = machine(deployment.folder()).unwrap();
    let samples = workspace().join("samples").canonicalize().unwrap();
    deployment.import(&[samples.as_path(), sbom.as_path()]).unwrap();
    let mut unpacked = Vec::new();
    for (id, kind, schema) in [("vulnerabilities", "trivy:db", "2"), ("archives", "trivy:java-db", "1")] {
        pushing(&deployment, id, kind).await;
        let run = deployment.run(id).await.unwrap();
        assert_eq!(pushed(&run.run).tags, [run.run.id.as_str(), "latest", schema]);
        unpacked.push(deployment.download(&run).await.unwrap().unpack().unwrap());
    }
    let bundles: Vec<&Path> = unpacked.iter().map(PathBuf::as_path).collect();
    let host = deployment.pushes().address();
    let databases = ["vulnerabilities", "archives"].map(|id| format!("{host}/exports/demo/{id}"));
    for trivy in Trivy::installed() {
        let folder = deployment.folder().join(trivy.program());
        let laid_out = Scanner::new(trivy, folder.join("laid-out"), &bundles).unwrap();
        let pulling = Scanner::pulling(trivy, folder.join("pulled"), &databases, Some((USER, PASSWORD))).unwrap();
        let (expected, found) = (laid_out.root(&root).unwrap(), pulling.root(&root).unwrap());
        assert_eq!(found.lines(), expected.lines(), "{}", trivy.program());
        assert_eq!(found.findings.len(), 2, "{:?}", found.lines());
        assert_eq!(read(pulling.java_index()), read(laid_out.java_index()), "{}", trivy.program());
        // It was the registry that they came from.
        let stranger = Scanner::pulling(trivy, folder.join("stranger"), &databases, None).unwrap();
        assert!(stranger.root(&root).is_err(), "{}", trivy.program());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_killed_half_way_and_delivered_again_ends_with_one_whole_artefact() {
    let _turn = light().await;
    for program in Program::ALL {
        let setup = Setup { pushes_to: Some(program), ..Setup::apart(Store::Sqlite, 1) };
        let Some(mut deployment) = deployment(setup).await else { continue };
        pushing(&deployment, "pushed", "json:raw").await;
        deployment.generate(LOCAL_TENANT, 9, 20_000).unwrap();
        // The bundle is the only file of that size; the registry has a part of it when the role is killed.
        deployment.pushes().lie("PATCH", "/blobs/uploads/", 1, Lie::Stall(256 << 10));
        let client = deployment.client().unwrap();
        let run = start(&client, "pushed").await.unwrap();
        deployment.pushes().is_silent().await;
        let before = deployment.pushes().heard();
        deployment.kill("distribute").await.unwrap();
        deployment.start_all().await.unwrap();
        let finished = finish(&client, run.id.as_str()).await.unwrap();
        finished.assert_once();
        let bundle = deployment.download(&finished).await.unwrap();
        let place = pushed(&finished.run);

        let home = deployment.folder().join("home");
        let Some(oras) = Puller::installed("oras", &home).unwrap() else { return };
        let host = deployment.pushes().address().to_owned();
        output(oras.command().args(["login", "--plain-http", "-u", USER, "-p", PASSWORD, &host])).unwrap();
        output(oras.command().args(["pull", "--plain-http", &place.location, "-o", "pulled"])).unwrap();
        assert_eq!(read(home.join("pulled/bundle.tar")), read(bundle.tar()), "{}", program.name());
        let tags =
            output(oras.command().args(["repo", "tags", "--plain-http", &format!("{host}/exports/demo/pushed")]));
        let tags = tags.unwrap();
        let shown: BTreeSet<&str> = tags.lines().filter(|tag| !tag.starts_with("sha256-")).collect();
        assert_eq!(shown, BTreeSet::from([run.id.as_str(), "latest"]), "{}", program.name());
        // The small files had arrived before; of blobs only the bundle was sent again.
        let again: u64 = deployment.pushes().heard()[before.len()..]
            .iter()
            .filter(|heard| heard.method == "PATCH")
            .map(|heard| heard.bytes)
            .sum();
        assert_eq!(again, finished.bundle().bytes, "{}", program.name());
    }
}
