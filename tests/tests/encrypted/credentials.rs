//! A broker whose users are those of an operator's accounts, and show a `.creds` file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use export_tests::{Deployment, LOCAL_TENANT, light, tool};
use nkeys::KeyPair;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// A JWT as nats-server takes them (NATS ADR-14).
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(), "name": name, "nats": nats,
    });
    let text = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&claims));
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

struct Accounts {
    operator: KeyPair,
    system: KeyPair,
    ours: KeyPair,
}

impl Accounts {
    fn new() -> Self {
        Self { operator: KeyPair::new_operator(), system: KeyPair::new_account(), ours: KeyPair::new_account() }
    }

    /// The server's settings: who its operator is, and which accounts there are. Ours may use `JetStream`.
    fn settings(&self, folder: &Path) -> String {
        let operator = json!({ "type": "operator", "version": 2, "system_account": self.system.public_key() });
        let unlimited = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
        });
        let account = json!({ "type": "account", "version": 2, "limits": unlimited });
        let system = json!({ "type": "account", "version": 2 });
        format!(
            "listen: \"127.0.0.1:-1\"\nports_file_dir: \"{folder}\"\n\
             jetstream {{ store_dir: \"{folder}/store\", sync_interval: always, max_file_store: 8589934592 }}\n\
             operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}\n",
            jwt(&self.operator, &self.operator, "operator", &operator),
            self.system.public_key(),
            self.system.public_key(),
            jwt(&self.operator, &self.system, "SYS", &system),
            self.ours.public_key(),
            jwt(&self.operator, &self.ours, "EXPORT", &account),
            folder = folder.display(),
        )
    }

    /// The `.creds` file of a new user whom `account` vouches for.
    fn creds(&self, account: &KeyPair) -> String {
        let user = KeyPair::new_user();
        let token = jwt(
            account,
            &user,
            "export",
            &json!({
                "type": "user", "version": 2, "issuer_account": self.ours.public_key(), "subs": -1, "data": -1, "payload": -1,
            }),
        );
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        )
    }
}

/// The address of the server that listens in a while.
async fn address(folder: &Path, pid: u32) -> String {
    let file = folder.join(format!("nats-server_{pid}.ports"));
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let ports = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        if let Some(address) = ports.as_ref().and_then(|ports| ports["nats"][0].as_str()) {
            return address.to_owned();
        }
        assert!(Instant::now() < until, "nats-server does not come up");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The settings with another broker than the one that `exportd all` starts.
fn at(settings: &Path, address: &str, creds: &Path) {
    let text = std::fs::read_to_string(settings).unwrap();
    let (before, rest) = text.split_once("[nats]\n").unwrap();
    let (_, after) = rest.split_once("\n[").unwrap();
    let ours = format!("{before}[nats]\nurl = \"{address}\"\ncredentials_file = \"{}\"\n\n[{after}", creds.display());
    std::fs::write(settings, ours).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_takes_the_user_of_a_credentials_file_and_nobody_else() {
    let _turn = light().await;
    let mut deployment = Deployment::all().await.unwrap();
    deployment.generate(LOCAL_TENANT, 3, 50).unwrap();
    deployment.stop_all().await.unwrap();

    let accounts = Accounts::new();
    let folder = deployment.folder().join("operated");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("nats.conf"), accounts.settings(&folder)).unwrap();
    let mut command = tokio::process::Command::new(tool("nats-server"));
    command.arg("--config").arg(folder.join("nats.conf")).kill_on_drop(true).stderr(std::process::Stdio::null());
    let server = command.spawn().unwrap();
    let address = address(&folder, server.id().unwrap()).await;
    let written = |name: &str, account: &KeyPair| -> PathBuf {
        let path = deployment.folder().join(name);
        std::fs::write(&path, accounts.creds(account)).unwrap();
        path
    };
    let (ours, forged) = (written("ours.creds", &accounts.ours), written("forged.creds", &KeyPair::new_account()));
    let settings = deployment.folder().join("export.toml");

    at(&settings, &address, &forged);
    let mut program = Command::new(&export_tests::programs().unwrap().exportd);
    let refused = program.arg("plan").arg("--config").arg(&settings).output().unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("authorization violation"), "{said}");
    let seed = std::fs::read_to_string(&forged).unwrap();
    let seed = seed.lines().find(|line| line.starts_with("SU")).unwrap();
    assert!(!said.contains(seed), "the key was told");

    at(&settings, &address, &ours);
    deployment.start_all().await.unwrap();
    let finished = deployment.run("json-raw").await.unwrap();
    finished.assert_once();
    deployment.download(&finished).await.unwrap();
    deployment.stop_all().await.unwrap();
}
