//! moto's KMS: an independent implementation of the API, which `tools/install.sh test` installs.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// A server of its own on a free port; it ends with the value.
pub(crate) struct Moto {
    child: Child,
    pub(crate) address: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Moto {
    pub(crate) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join(".venv/bin/python"));
        let python = python.into_iter().find(|python| python.is_file()).expect("found no `.venv`; run `make tools`");
        let mut command = Command::new(python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let moto = Self { child, address: format!("http://127.0.0.1:{port}") };
        let until = Instant::now() + Duration::from_mins(1);
        while reqwest::get(format!("{}/moto-api/data.json", moto.address)).await.is_err() {
            assert!(Instant::now() < until, "moto does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        moto
    }

    /// Asks for `action`, as Amazon's tools do.
    pub(crate) async fn ask(&self, action: &str, body: &Value) -> Value {
        let credential = "Credential=key/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=00";
        let answer = reqwest::Client::new()
            .post(&self.address)
            .header("X-Amz-Target", format!("TrentService.{action}"))
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("Authorization", format!("AWS4-HMAC-SHA256 {credential}"))
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{action}: {}", answer.status());
        answer.json().await.unwrap_or(Value::Null)
    }

    /// Makes a key and gives its id.
    pub(crate) async fn key(&self, spec: &str, usage: &str) -> String {
        let made = self.ask("CreateKey", &json!({ "KeySpec": spec, "KeyUsage": usage })).await;
        made["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
    }
}
