//! A deployment whose key goes to a Vault: former keys, keys of tenants, a Vault that is away for a moment, and bundles without
//! attestation.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_client::{Client, Credentials};
use export_contract::run::RunStatus;
use export_signing::{Password, generate_key_pair};
use export_tests::{Bundle, Cosign, Deployment, LOCAL_TENANT, Passage, Weather, finish, light, programs, start};
use serde_json::{Value, json};

use crate::vault_server::{Fault, VaultServer};
use crate::verdicts::verdicts;

fn verify(bundle: &Path, key: &Path, more: &[&str]) -> Option<i32> {
    let mut command = Command::new(&programs().unwrap().exportctl);
    command.args(["bundle", "verify", "--key"]).arg(key).arg(bundle).args(more);
    command.output().unwrap().status.code()
}

/// Moves the default key to `vault`, gives tenant `two` a key of its own, and keeps the public half of the one that signed so far.
fn change_keys(deployment: &Deployment, vault: &VaultServer, address: &str, admin: u16) {
    let former = deployment.data().join("keys-2025");
    std::fs::rename(deployment.data().join("keys"), &former).unwrap();
    let of_two = deployment.data().join("keys-two");
    generate_key_pair(&of_two, &Password::new(b"password".to_vec())).unwrap();
    std::fs::write(of_two.join("cosign.password"), "password\n").unwrap();
    let path = deployment.folder().join("export.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let text = format!(
        "admin_listen = \"127.0.0.1:{admin}\"\n{settings}\n\
         [signing]\ndriver = \"vault\"\nvault_address = \"{}\"\nvault_token_file = \"{}\"\nvault_mount = \"site/transit\"\n\
         vault_key = \"export\"\n\n\
         [[signing.keys]]\nname = \"two\"\ntenants = [\"two\"]\nkey_file = \"{}\"\npassword_file = \"{}\"\n\n\
         [[signing.former_keys]]\nfile = \"{}\"\nnot_after = \"2026-01-01T00:00:00Z\"\n",
        address,
        vault.token_file().display(),
        of_two.join("cosign.key").display(),
        of_two.join("cosign.password").display(),
        former.join("cosign.pub").display(),
    );
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_at_a_vault_takes_over_a_tenant_has_its_own_and_the_former_one_still_verifies() {
    let _turn = light().await;
    let vault = VaultServer::start().await;
    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 200).unwrap();
    deployment.generate("two", 6, 200).unwrap();
    let first = deployment.run("json-raw").await.unwrap();
    let by_former = deployment.download(&first).await.unwrap();
    deployment.stop_all().await.unwrap();
    change_keys(&deployment, &vault, &vault.address(), admin);
    deployment.start_all().await.unwrap();

    // The Vault is sealed for a moment: the run waits for it, and operators see that it did.
    vault.next(Fault::Answers(503, r#"{"errors":["Vault is sealed"]}"#));
    let second = deployment.run("json-raw").await.unwrap();
    let by_vault = deployment.download(&second).await.unwrap();
    assert_eq!(first.digest(), second.digest(), "the key is no part of what is signed");
    let metrics = reqwest::get(format!("http://127.0.0.1:{admin}/metrics")).await.unwrap().text().await.unwrap();
    for (kind, count) in [("unavailable", 1), ("refused", 0), ("invalid", 0)] {
        let line = format!("exporter_signing_failures_total{{kind=\"{kind}\"}} {count}\n");
        assert!(metrics.contains(&line), "{kind}\n{metrics}");
    }

    let credentials = deployment.put_client("two", "two", &[]).unwrap();
    let client = Client::new(Credentials::read(&credentials).unwrap()).unwrap();
    let third = start(&client, "json-raw").await.unwrap();
    let third = finish(&client, third.id.as_str()).await.unwrap();
    let by_two = Bundle::download(&client, &third.run, deployment.folder().join("of-two")).await.unwrap();

    // Each bundle passes under its own key, as the gateway shows it, and under no other.
    let api = deployment.api().await.unwrap();
    let shown = api.json("/api/export/keys").await.unwrap();
    let shown = shown["keys"].as_array().unwrap();
    let current: Vec<&serde_json::Value> = shown.iter().map(|key| &key["current"]).collect();
    assert_eq!(current, [true, true, false]);
    assert!(shown[2]["notAfter"].as_str().unwrap().starts_with("2026-01-01"), "{}", shown[2]);
    let key_file = |at: usize| -> PathBuf {
        let path = deployment.folder().join(format!("shown-{at}.pub"));
        std::fs::write(&path, shown[at]["pem"].as_str().unwrap()).unwrap();
        path
    };
    let keys = [key_file(0), key_file(1), key_file(2)];
    for (own, finished, bundle) in [(0, &second, &by_vault), (1, &third, &by_two), (2, &first, &by_former)] {
        assert_eq!(shown[own]["keyId"], finished.bundle().key_id.as_str());
        for (at, key) in keys.iter().enumerate() {
            let expected = if at == own { 0 } else { 12 };
            assert_eq!(
                verify(bundle.folder(), key, &["--require-attestation"]),
                Some(expected),
                "bundle {own}, key {at}"
            );
        }
        if let Some(cosign) = Cosign::installed() {
            for (accepted, said) in verdicts(cosign, bundle.folder(), &keys[own]) {
                assert!(accepted, "bundle {own}: {said}");
            }
        }
    }

    // A profile that wants no attestation.
    let wanted = json!({ "id": "plain", "name": "plain", "kind": "json:raw", "config": { "attestation": false } });
    let made = api.request(reqwest::Method::POST, "/api/export/profiles").json(&wanted).send().await.unwrap();
    assert_eq!(made.status().as_u16(), 201, "{}", made.text().await.unwrap());
    let plain = deployment.run("plain").await.unwrap();
    let plain = deployment.download(&plain).await.unwrap();
    assert!(plain.folder().join("provenance.json").exists());
    assert!(!plain.folder().join("provenance.sigstore.json").exists());
    assert_eq!(verify(plain.folder(), &keys[0], &[]), Some(0));
    assert_eq!(verify(plain.folder(), &keys[0], &["--require-attestation"]), Some(11), "11: signature missing");
    deployment.stop_all().await.unwrap();
}

/// Waits until the process is or is not ready, and says what is away.
async fn wait_until_ready(admin: u16, ready: bool) -> Vec<String> {
    loop {
        let answer = reqwest::get(format!("http://127.0.0.1:{admin}/health/ready")).await.unwrap();
        let status = answer.status().as_u16();
        let told: Value = answer.json().await.unwrap();
        let away = told["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false);
        let away = away.map(|check| check["name"].as_str().unwrap().to_owned()).collect();
        if (status == 200) == ready {
            return away;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_key_is_out_of_reach_nothing_is_ready_runs_wait_and_end_once_it_is_back() {
    let _turn = light().await;
    let vault = VaultServer::start().await;
    let passage = Passage::to(vault.address().trim_start_matches("http://").to_owned()).await.unwrap();
    let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 5, 200).unwrap();
    deployment.stop_all().await.unwrap();
    change_keys(&deployment, &vault, &format!("http://{}", passage.address()), admin);
    deployment.start_all().await.unwrap();
    assert!(wait_until_ready(admin, true).await.is_empty());

    passage.set(Weather::Refused);
    assert_eq!(wait_until_ready(admin, false).await, ["signer"], "and all else is there");
    let client = deployment.client().unwrap();
    let run = start(&client, "json-raw").await.unwrap();
    // It comes as far as it can without a key.
    loop {
        let metrics = reqwest::get(format!("http://127.0.0.1:{admin}/metrics")).await.unwrap().text().await.unwrap();
        let failures =
            metrics.lines().find(|line| line.starts_with("exporter_signing_failures_total{kind=\"unavailable\"}"));
        if failures.is_some_and(|line| !line.ends_with(" 0")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(!client.run(run.id.as_str()).await.unwrap().status.is_terminal(), "no run fails for a key that is away");

    passage.set(Weather::Clear);
    assert!(wait_until_ready(admin, true).await.is_empty());
    let finished = finish(&client, run.id.as_str()).await.unwrap();
    assert_eq!(finished.run.status, RunStatus::Succeeded);
    deployment.stop_all().await.unwrap();
}
