//! Full provenance and freshness, as a profile asks for them.

use std::process::Command;

use export_contract::ErrorCode;
use export_contract::run::RunStatus;
use export_tests::{Bundle, Deployment, LOCAL_TENANT, light, programs};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn full_provenance_names_the_builder_once_it_is_configured_and_stale_bundles_are_refused() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 50).unwrap();
    let config = json!({ "provenance": "full", "freshForHours": 1 });
    let profile = json!({ "id": "full", "name": "full", "kind": "json:raw", "config": config });
    deployment.client().unwrap().create_profile(&profile).await.unwrap();
    let refused = deployment.run("full").await.unwrap();
    assert_eq!(refused.run.status, RunStatus::Failed);
    assert_eq!(refused.run.error_code, Some(ErrorCode::ProfileUnsupported));
    assert!(refused.run.error_message.unwrap().contains("signing.builder_id"));

    deployment.stop_all().await.unwrap();
    let path = deployment.folder().join("export.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let builder = "https://export.example/builders/main";
    std::fs::write(path, format!("{settings}\n[signing]\nbuilder_id = \"{builder}\"\n")).unwrap();
    deployment.start_all().await.unwrap();
    let finished = deployment.run("full").await.unwrap();
    let bundle = deployment.download(&finished).await.unwrap();
    let provenance = std::fs::read(bundle.folder().join("provenance.json")).unwrap();
    let provenance: Value = serde_json::from_slice(&provenance).unwrap();
    let told = &provenance["predicate"]["runDetails"]["builder"];
    assert_eq!(told["id"], builder);
    let program = told["builderDependencies"][0]["digest"]["sha256"].as_str().unwrap();
    assert_eq!(format!("sha256:{program}"), Bundle::digest(&programs().unwrap().exportd).unwrap());

    // The evidence was observed long ago, so an hour of freshness is over.
    let key = deployment.data().join("keys/cosign.pub");
    let mut verify = Command::new(&programs().unwrap().exportctl);
    let verified = verify.args(["bundle", "verify", "--key"]).arg(key).arg(bundle.folder()).output().unwrap();
    assert_eq!(verified.status.code(), Some(15), "{verified:?}");
    deployment.stop_all().await.unwrap();
}
