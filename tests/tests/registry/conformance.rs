//! The conformance suite of the OCI distribution specification, in its mode for registries that are only read.

use export_tests::{Deployment, LOCAL_TENANT, Puller, light};

use crate::caller::{Caller, host, identity};

/// What it must have tried; the rest are pushes and deletions.
const PASSED: [&str; 13] = [
    "ping",
    "empty/tag list",
    "empty/referrers",
    "read-only/tag-list",
    "read-only/head/manifest-head-by-tag",
    "read-only/head/manifest-head-by-digest",
    "read-only/head/blob-head",
    "read-only/pull/manifest-by-tag",
    "read-only/pull/manifest-by-digest",
    "read-only/pull/blob-get",
    "read-only/referrers",
    "missing-manifest/by-digest",
    "invalid-digest-format/manifest-get",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_of_the_specification_passes_for_pulls_and_referrers() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let Some(suite) = Puller::installed("oci-conformance", &deployment.folder().join("suite")).unwrap() else { return };
    deployment.generate(LOCAL_TENANT, 9, 100).unwrap();
    let run = deployment.run("json-raw").await.unwrap();
    let client = identity(&deployment, "scanner", LOCAL_TENANT, &["export:download"]);
    let registry = Caller::new(&deployment).login(Some(&client), None).await;
    let manifest = registry.get("/v2/demo/json-raw/manifests/latest").await;
    let manifest = manifest.headers()["docker-content-digest"].to_str().unwrap().to_owned();
    let mut command = suite.command();
    command.env("OCI_REGISTRY", host(&deployment)).env("OCI_TLS", "disabled").env("OCI_REPO1", "demo/json-raw");
    command.env("OCI_USERNAME", &client.id).env("OCI_PASSWORD", &client.secret).env("OCI_VERSION", "1.1");
    for (name, value) in [
        ("OCI_API_PUSH", "false"),
        ("OCI_API_BLOBS_DELETE", "false"),
        ("OCI_API_MANIFESTS_DELETE", "false"),
        ("OCI_API_TAGS_DELETE", "false"),
        ("OCI_RO_DATA_TAGS", "latest"),
        ("OCI_RO_DATA_MANIFESTS", &manifest),
        ("OCI_RO_DATA_REFERRERS", &manifest),
        ("OCI_RO_DATA_BLOBS", run.digest().as_str()),
    ] {
        command.env(name, value);
    }
    // Its end says nothing: in this mode the suite fails to write one of its reports, whatever it found.
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    for name in PASSED {
        let line = format!("OCI Conformance Test/{name}: Pass");
        assert!(said.lines().any(|said| said.trim() == line), "{name}\n{said}\n{done:?}");
    }
    assert!(said.lines().any(|line| line.trim() == "OCI Conformance Test: Pass"), "{said}");
}
