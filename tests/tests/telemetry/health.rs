//! Readiness of each role: what is away is named, to operators only, and it is ready once that is back.

use std::path::PathBuf;
use std::time::Duration;

use export_tests::{Deployment, Passage, Process, Setup, Weather, light, programs};
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// Longest that a role may take to see a change.
const WITHIN: Duration = Duration::from_mins(1);

/// A role beside those of a deployment, behind passages of its own.
struct Role {
    process: Process,
}

impl Role {
    async fn start(deployment: &Deployment, name: &str, settings: &str) -> Self {
        let folder = deployment.folder();
        let path: PathBuf = folder.join(format!("{name}.toml"));
        std::fs::write(&path, settings).unwrap();
        let mut command = tokio::process::Command::new(&programs().unwrap().exportd);
        command.arg(name).arg("--config").arg(path);
        let process =
            Process::start_ready(command, &folder.join(format!("logs/{name}-behind-passages"))).await.unwrap();
        Self { process }
    }

    fn address(&self, of: &str) -> &str {
        self.process.ready()[of].as_str().unwrap()
    }

    async fn ask(&self, of: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("{}/health/ready", self.address(of))).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Waits until exactly `away` is not well.
    async fn wait_until_away(&self, away: &[&str]) -> Value {
        let until = Instant::now() + WITHIN;
        loop {
            let (status, told) = self.ask("admin").await;
            let checks = told["checks"].as_array().unwrap();
            let wrong: Vec<&str> = checks
                .iter()
                .filter(|check| check["ok"] == false)
                .map(|check| check["name"].as_str().unwrap())
                .collect();
            assert_eq!(status == 200, wrong.is_empty(), "{told:#}");
            assert_eq!(told["status"], if wrong.is_empty() { "ready" } else { "unavailable" });
            if wrong == away {
                return told;
            }
            assert!(Instant::now() < until, "not {away:?}: {told:#}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// `HOST:PORT` behind `before` in a text.
fn host_behind<'a>(text: &'a str, before: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {text}")).1;
    rest.split(['"', '/', '?', '\n']).next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_not_ready_while_something_is_away_and_names_it_to_operators_only() {
    let _turn = light().await;
    let mut deployment = Deployment::start(Setup::served(1)).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(deployment.folder().join(name)).unwrap();
    let (settings, uri) = (read("export.toml"), read("mongodb.uri"));
    let broker = host_behind(&settings, "nats://").to_owned();
    let bucket = host_behind(&settings, "endpoint = \"http://").to_owned();
    let store = uri
        .rsplit(['@', '/'])
        .map(|part| part.split(['?', '/']).next().unwrap())
        .find(|part| part.contains(':'))
        .unwrap()
        .to_owned();
    let passages = [
        Passage::to(broker.clone()).await.unwrap(),
        Passage::to(bucket.clone()).await.unwrap(),
        Passage::to(store.clone()).await.unwrap(),
    ];
    let [to_broker, to_bucket, to_store] = &passages;
    let behind = deployment.folder().join("behind.uri");
    std::fs::write(&behind, uri.replace(&store, &to_store.address())).unwrap();
    let settings = settings
        .replace(&broker, &to_broker.address())
        .replace(&bucket, &to_bucket.address())
        .replace("mongodb.uri", "behind.uri");

    for (name, ledgers) in [
        ("gateway", ["run-ledger", "evidence-ledger"].as_slice()),
        ("orchestrator", &["run-ledger"]),
        ("adapt", &["evidence-ledger"]),
        ("sign", &[]),
    ] {
        let mut role = Role::start(&deployment, name, &settings).await;
        let told = role.wait_until_away(&[]).await;
        let names: Vec<&str> =
            told["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
        assert_eq!(names.contains(&"signer"), matches!(name, "gateway" | "sign"), "{names:?}");
        assert_eq!(names.contains(&"adapters"), matches!(name, "gateway" | "adapt"), "{names:?}");

        to_bucket.set(Weather::Refused);
        role.wait_until_away(&["staging"]).await;
        if name == "gateway" {
            public_says_nothing(&role, 503).await;
        }
        to_bucket.set(Weather::Clear);
        role.wait_until_away(&[]).await;

        if !ledgers.is_empty() {
            to_store.set(Weather::Refused);
            role.wait_until_away(ledgers).await;
            to_store.set(Weather::Clear);
            role.wait_until_away(&[]).await;
        }

        to_broker.set(Weather::Refused);
        // Without the broker nobody knows what time it is.
        role.wait_until_away(&["broker", "clock"]).await;
        to_broker.set(Weather::Clear);
        role.wait_until_away(&[]).await;

        // The broker is of another time.
        to_broker.set(Weather::Changed("\"ts\":\"20", "\"ts\":\"19"));
        let told = role.wait_until_away(&["clock"]).await;
        assert!(told.to_string().contains("ahead of the broker's; 5 s are allowed"), "{told:#}");
        to_broker.set(Weather::Clear);
        role.wait_until_away(&[]).await;
        if name == "gateway" {
            public_says_nothing(&role, 200).await;
        }
        role.process.stop().await.unwrap();
    }
    deployment.stop_all().await.unwrap();
}

/// What strangers are told is a status and one word.
async fn public_says_nothing(gateway: &Role, expected: u16) {
    let until = Instant::now() + WITHIN;
    loop {
        let (status, told) = gateway.ask("server").await;
        let word = if status == 200 { "ready" } else { "unavailable" };
        assert_eq!(told, serde_json::json!({ "status": word }));
        if status == expected {
            return;
        }
        assert!(Instant::now() < until, "not {expected}: {told}");
        sleep(Duration::from_millis(200)).await;
    }
}
