//! Real Trivys, which pull both databases from the gateway.

use std::path::{Path, PathBuf};

use export_tests::{Deployment, LOCAL_TENANT, Scanner, Setup, Trivy, light, machine, workspace};
use reqwest::Method;
use serde_json::json;

use crate::caller::{Caller, host, identity};

#[tokio::test(flavor = "multi_thread")]
async fn trivy_pulls_both_databases_and_finds_what_it_finds_with_those_of_the_bundles() {
    let _turn = light().await;
    for anonymous in [false, true] {
        let granted: &'static [&'static str] = if anonymous { &[LOCAL_TENANT] } else { &[] };
        let mut deployment = Deployment::start(Setup { anonymous: granted, ..Setup::together() }).await.unwrap();
        let (root, sbom) = machine(deployment.folder()).unwrap();
        let samples = workspace().join("samples").canonicalize().unwrap();
        deployment.import(&[samples.as_path(), sbom.as_path()]).unwrap();
        let mut unpacked = Vec::new();
        for profile in ["trivy-db", "trivy-java-db"] {
            let run = deployment.run(profile).await.unwrap();
            unpacked.push(deployment.download(&run).await.unwrap().unpack().unwrap());
        }
        let bundles: Vec<&Path> = unpacked.iter().map(PathBuf::as_path).collect();
        let client = identity(&deployment, "scanner", LOCAL_TENANT, &["export:download"]);
        let client = (!anonymous).then_some((client.id.as_str(), client.secret.as_str()));
        for trivy in Trivy::installed() {
            let folder = deployment.folder().join(trivy.program());
            let laid_out = Scanner::new(trivy, folder.join("laid-out"), &bundles).unwrap();
            let host = host(&deployment);
            let databases = ["trivy-db", "trivy-java-db"].map(|profile| format!("{host}/{LOCAL_TENANT}/{profile}"));
            let pulling = Scanner::pulling(trivy, folder.join("pulled"), &databases, client).unwrap();
            let (expected, found) = (laid_out.root(&root).unwrap(), pulling.root(&root).unwrap());
            assert_eq!(found.lines(), expected.lines(), "{}", trivy.program());
            assert_eq!(found.findings.len(), 2, "{:?}", found.lines());
            assert_eq!(
                std::fs::read(pulling.java_index()).unwrap(),
                std::fs::read(laid_out.java_index()).unwrap(),
                "{}",
                trivy.program()
            );
            // Without credentials there is a database only where that is granted.
            let stranger = Scanner::pulling(trivy, folder.join("stranger"), &databases, None).unwrap();
            assert_eq!(stranger.root(&root).is_ok(), anonymous, "{}", trivy.program());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_has_the_layout_that_trivy_wants_under_the_tags_that_it_asks_for() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    deployment.import(&[workspace().join("samples").canonicalize().unwrap().as_path()]).unwrap();
    let client = identity(&deployment, "scanner", LOCAL_TENANT, &["export:download"]);
    let registry = Caller::new(&deployment).login(Some(&client), None).await;
    for (profile, schema, layer, title) in [
        ("trivy-db", "2", "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip", "db.tar.gz"),
        ("trivy-java-db", "1", "application/vnd.aquasec.trivy.javadb.layer.v1.tar+gzip", "javadb.tar.gz"),
    ] {
        let run = deployment.run(profile).await.unwrap();
        let manifest = registry.json(&format!("/v2/demo/{profile}/manifests/{schema}")).await;
        assert_eq!(manifest["artifactType"], "application/vnd.aquasec.trivy.config.v1+json");
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0]["mediaType"], layer);
        assert_eq!(layers[0]["annotations"]["org.opencontainers.image.title"], title);
        let tags = registry.json(&format!("/v2/demo/{profile}/tags/list")).await;
        let mut expected = [run.run.id.as_str(), schema, "latest"];
        expected.sort_unstable();
        assert_eq!(tags["tags"], json!(expected));
    }
}

/// Staging holds the plain files of an encrypted bundle: whoever may pull must not get them past the recipients.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_only_its_recipients_may_read_is_not_offered() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    deployment.import(&[workspace().join("samples").canonicalize().unwrap().as_path()]).unwrap();
    let profile = json!({
        "id": "sealed", "name": "sealed", "kind": "trivy:db",
        "config": { "encryption": {
            "mode": "age", "recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"],
        } },
    });
    deployment.client().unwrap().create_profile(&profile).await.unwrap();
    let sealed = deployment.run("sealed").await.unwrap();
    deployment.run("trivy-db").await.unwrap();
    let client = identity(&deployment, "scanner", LOCAL_TENANT, &["export:download"]);
    let registry = Caller::new(&deployment).login(Some(&client), None).await;
    let manifest = registry.json("/v2/demo/trivy-db/manifests/2").await;
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    // The very same database lies in the staging of both runs.
    for path in ["manifests/2", "manifests/latest", &format!("manifests/{}", sealed.run.id)] {
        let refused = registry.refused(Method::GET, &format!("/v2/demo/sealed/{path}")).await;
        assert_eq!(refused, (404, "MANIFEST_UNKNOWN".to_owned()), "{path}");
    }
    let refused = registry.refused(Method::GET, &format!("/v2/demo/sealed/blobs/{layer}")).await;
    assert_eq!(refused, (404, "BLOB_UNKNOWN".to_owned()));
    assert_eq!(registry.json("/v2/demo/sealed/tags/list").await["tags"], json!([]));
}
