//! A deployment whose secrets and keys are kept by the authority, and by no file of its own.

use export_contract::run::RunStatus;
use export_targets::liar::{Liar, Lie};
use export_targets::registries::{PASSWORD, Program, USER};
use export_tests::{Deployment, LOCAL_TENANT, Setup, Staging, is_left_out, light};
use serde_json::{Value, json};

use crate::moto::Moto;

fn give(authority: &Liar, method: &'static str, path: &str, times: usize, body: &Value) {
    let body = body.to_string().into_bytes();
    authority.lie(method, path, times, Lie::Answer { status: 200, headers: Vec::new(), body });
}

/// The settings with secrets of the authority in the place of users, keys and files.
fn without_files(settings: &str) -> String {
    let mut text = String::new();
    for line in settings.lines() {
        let kept = match line {
            line if line.starts_with("user = ") => "secret = \"registries/prod\"",
            line if line.starts_with("access_key_id = ") => "secret = \"staging\"",
            line if line.starts_with("password_file = ") || line.starts_with("secret_access_key_file = ") => "",
            line => line,
        };
        text.push_str(kept);
        text.push('\n');
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_authority_keeps_stages_signs_and_pushes_and_a_changed_password_needs_no_restart() {
    let _turn = light().await;
    if is_left_out(Program::DockerRegistry.name()) {
        return;
    }
    let moto = Moto::start().await;
    let key = moto.key("ECC_NIST_P256", "SIGN_VERIFY").await;
    let setup = Setup { pushes_to: Some(Program::DockerRegistry), staging: Staging::S3, ..Setup::together() };
    let mut deployment = Deployment::start(setup).await.unwrap();
    let config = json!({ "distribution": ["http", "oci"] });
    let profile = json!({ "id": "pushed", "name": "pushed", "kind": "json:raw", "config": config });
    deployment.client().unwrap().create_profile(&profile).await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 50).unwrap();
    deployment.stop_all().await.unwrap();

    let authority = Liar::alone().await;
    give(
        &authority,
        "POST",
        "/token",
        1_000,
        &json!({ "access_token": "token", "token_type": "Bearer", "expires_in": 3_600 }),
    );
    let bucket = deployment.bucket().clone();
    let access = json!({ "access_key_id": bucket.access_key_id, "secret_access_key": bucket.secret_access_key });
    give(&authority, "GET", "/secrets/staging", 1_000, &json!({ "values": access, "expires_in": 3_600 }));
    let named = json!({ "driver": "awskms", "key": key });
    give(&authority, "GET", "/secrets/keys/demo", 1_000, &json!({ "values": named }));
    let login = |password: &str| json!({ "values": { "username": USER, "password": password }, "expires_in": 0 });
    give(&authority, "GET", "/secrets/registries/prod", 1, &login("of yesterday"));
    give(&authority, "GET", "/secrets/registries/prod", 1_000, &login(PASSWORD));

    for file in ["registry.password", "s3.secret"] {
        std::fs::remove_file(deployment.folder().join(file)).unwrap();
    }
    let secret = deployment.folder().join("client.secret");
    std::fs::write(&secret, "system\n").unwrap();
    let path = deployment.folder().join("export.toml");
    let settings = without_files(&std::fs::read_to_string(&path).unwrap());
    let (at, moto_at) = (authority.address(), &moto.address);
    let sections = format!(
        "[authority]\ntoken_url = \"http://{at}/token\"\nclient_id = \"export\"\nclient_secret_file = \"{}\"\n\
         secrets_url = \"http://{at}/secrets\"\n\
         [signing]\nkms_region = \"eu-central-1\"\nkms_endpoint = \"{moto_at}\"\nkms_access_key_id = \"testing\"\n\
         kms_secret_access_key_file = \"{}\"\n[[signing.keys]]\nname = \"demo\"\ntenants = [\"demo\"]\nsecret = \"keys/demo\"\n",
        secret.display(),
        secret.display(),
    );
    std::fs::write(&path, format!("{settings}\n{sections}")).unwrap();
    deployment.start_all().await.unwrap();

    // The registry refuses yesterday's password for good, and says so; the next run has today's.
    let refused = deployment.run("pushed").await.unwrap().run;
    assert_eq!(refused.status, RunStatus::Failed, "{refused:?}");
    let finished = deployment.run("pushed").await.unwrap();
    deployment.download(&finished).await.unwrap();
    let shown = deployment.api().await.unwrap().json("/api/export/keys").await.unwrap();
    let current: Vec<&Value> = shown["keys"].as_array().unwrap().iter().map(|key| &key["keyId"]).collect();
    assert_eq!(current.len(), 2, "{shown}");
    assert_eq!(current[1], finished.bundle().key_id.as_str(), "the tenant's key signs");
    assert!(authority.heard().iter().all(|request| request.credentials), "asked without a token");
    deployment.stop_all().await.unwrap();
}
