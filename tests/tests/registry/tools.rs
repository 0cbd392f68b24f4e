//! Tools of registries, which know nothing of us.

use std::path::Path;
use std::process::Command;

use export_tests::{Deployment, LOCAL_TENANT, Puller, Setup, light, output, programs};
use serde_json::Value;

use crate::caller::{host, identity};

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn oras_pulls_a_bundle_and_what_vouches_for_it_after_a_login() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    let home = deployment.folder().join("oras");
    let Some(oras) = Puller::installed("oras", &home).unwrap() else { return };
    deployment.generate(LOCAL_TENANT, 7, 500).unwrap();
    let run = deployment.run("json-raw").await.unwrap();
    let bundle = deployment.download(&run).await.unwrap();
    let client = identity(&deployment, "scanner", LOCAL_TENANT, &["export:download"]);
    let host = host(&deployment);
    let reference = format!("{host}/demo/json-raw:latest");

    let stranger = oras.command().args(["pull", "--plain-http", &reference, "-o", "stranger"]).output().unwrap();
    assert!(!stranger.status.success(), "{stranger:?}");
    output(oras.command().args(["login", "--plain-http", "-u", &client.id, "-p", &client.secret, &host])).unwrap();
    output(oras.command().args(["pull", "--plain-http", &reference, "-o", "pulled"])).unwrap();
    let pulled = home.join("pulled");
    assert_eq!(read(pulled.join("bundle.tar")), read(bundle.tar()));
    let tags = output(oras.command().args(["repo", "tags", "--plain-http", &format!("{host}/demo/json-raw")])).unwrap();
    assert_eq!(tags.lines().collect::<Vec<_>>(), [run.run.id.as_str(), "latest"]);

    // What refers to it comes beside it, and the verifier takes the whole.
    let found = output(oras.command().args(["discover", "--plain-http", "--format", "json", &reference])).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    let referrer = found.pointer("/referrers/0/reference").or(found.pointer("/manifests/0/reference"));
    let referrer = referrer.and_then(Value::as_str).unwrap_or_else(|| panic!("{found:#}"));
    output(oras.command().args(["pull", "--plain-http", referrer, "-o", "pulled"])).unwrap();
    for name in ["export.json", "export.json.sigstore.json", "provenance.sigstore.json"] {
        assert_eq!(read(pulled.join(name)), read(bundle.folder().join(name)), "{name}");
    }
    let key = deployment.data().join("keys/cosign.pub");
    let mut verify = Command::new(&programs().unwrap().exportctl);
    output(verify.args(["bundle", "verify", "--key"]).arg(key).arg(&pulled)).unwrap();

    // A copy into a layout, with everything that refers to it.
    output(oras.command().args(["cp", "-r", "--from-plain-http", "--to-oci-layout", &reference, "layout:one"]))
        .unwrap();
    let layer = run.digest().hex();
    assert_eq!(read(home.join("layout/blobs/sha256").join(layer)), read(bundle.tar()));
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_a_bundle_with_credentials_and_without_where_that_is_granted() {
    let _turn = light().await;
    for anonymous in [false, true] {
        let granted: &'static [&'static str] = if anonymous { &[LOCAL_TENANT] } else { &[] };
        let mut deployment = Deployment::start(Setup { anonymous: granted, ..Setup::together() }).await.unwrap();
        let home = deployment.folder().join("skopeo");
        let Some(skopeo) = Puller::installed("skopeo", &home).unwrap() else { return };
        deployment.generate(LOCAL_TENANT, 8, 500).unwrap();
        let run = deployment.run("json-raw").await.unwrap();
        let bundle = deployment.download(&run).await.unwrap();
        let client = identity(&deployment, "scanner", LOCAL_TENANT, &["export:download"]);
        let source = format!("docker://{}/demo/json-raw:{}", host(&deployment), run.run.id);
        let copy = |credentials: Option<String>, target: &str| {
            let mut command = skopeo.command();
            command.args(["--insecure-policy", "copy", "--src-tls-verify=false"]);
            command.args(credentials.iter().flat_map(|pair| ["--src-creds", pair]));
            command.args([&source, target]).output().unwrap()
        };
        let named = copy(Some(format!("{}:{}", client.id, client.secret)), "dir:named");
        assert!(named.status.success(), "{named:?}");
        assert_eq!(read(home.join("named").join(run.digest().hex())), read(bundle.tar()));
        assert!(!copy(Some(format!("{}:guess", client.id)), "dir:guessed").status.success());
        let nameless = copy(None, "dir:nameless");
        assert_eq!(nameless.status.success(), anonymous, "{nameless:?}");
        if anonymous {
            assert_eq!(read(home.join("nameless").join(run.digest().hex())), read(bundle.tar()));
        }
    }
}
