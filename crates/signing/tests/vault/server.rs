//! A Vault as far as its transit API is used: keys made and kept by openssl, which also signs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use export_signing::bundle::{from_base64, to_base64};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What goes wrong with one request to sign.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status and body.
    Answers(u16, &'static str),
    /// The request is read, and that is all.
    Hangs,
    /// The connection ends without an answer.
    Closes,
    /// The connection ends in the middle of the answer.
    StopsHalfway,
    /// Another address, as a standby gives.
    Redirects,
    /// An answer that does not end.
    Endless,
    /// As a server does that does not know `prehashed`.
    HashesTwice,
    /// Another key than the one that is asked for.
    SignsWithAnother,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
struct State {
    folder: tempfile::TempDir,
    address: String,
    token: Mutex<String>,
    versions: Mutex<u32>,
    fault: Mutex<Option<Fault>>,
    requests: Mutex<Vec<Request>>,
}

/// The server; it ends with its runtime.
#[derive(Debug)]
pub(crate) struct VaultServer {
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl VaultServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            folder: tempfile::tempdir().unwrap(),
            address: format!("http://{}", listener.local_addr().unwrap()),
            token: Mutex::new("a token".to_owned()),
            versions: Mutex::new(0),
            fault: Mutex::new(None),
            requests: Mutex::new(Vec::new()),
        });
        std::fs::write(state.folder.path().join("token"), "a token\n").unwrap();
        state.make_key("another");
        state.rotate();
        let served = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().serve(stream));
            }
        });
        Self { state, task }
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub(crate) fn address(&self) -> String {
        self.state.address.clone()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.state.folder.path()
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder().join("token")
    }

    pub(crate) fn expect_token(&self, token: &str) {
        token.clone_into(&mut self.state.token.lock().unwrap());
    }

    /// Makes the next version of the key.
    pub(crate) fn rotate(&self) {
        self.state.rotate();
    }

    /// What the next request to sign gets.
    pub(crate) fn next(&self, fault: Fault) {
        *self.state.fault.lock().unwrap() = Some(fault);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many requests came to the place that the redirect names.
    pub(crate) fn elsewhere(&self) -> usize {
        self.requests().iter().filter(|request| request.line.contains("/elsewhere")).count()
    }
}

impl State {
    fn rotate(&self) {
        let mut versions = self.versions.lock().unwrap();
        *versions += 1;
        self.make_key(&versions.to_string());
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    fn make_key(&self, name: &str) {
        let mut make = Command::new("openssl");
        make.args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]);
        output(make.arg(self.key_path(name)), b"");
    }

    fn public(&self, name: &str) -> String {
        let text = output(Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(self.key_path(name)), b"");
        String::from_utf8(text).unwrap()
    }

    /// Signs a digest.
    fn sign(&self, name: &str, digest: &[u8]) -> Vec<u8> {
        let mut sign = Command::new("openssl");
        output(sign.args(["pkeyutl", "-sign", "-pkeyopt", "digest:sha256", "-inkey"]).arg(self.key_path(name)), digest)
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let Some(request) = receive(&mut stream).await else { return };
        self.requests.lock().unwrap().push(request.clone());
        let signs = request.line.starts_with("POST");
        let fault = if signs { self.fault.lock().unwrap().take() } else { None };
        let (status, body) = match fault {
            Some(Fault::Answers(status, body)) => (status, body.to_owned()),
            Some(Fault::Hangs) => {
                // Until the other side has had enough.
                let _gone = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
            Some(Fault::Closes) => return,
            Some(Fault::StopsHalfway) => {
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"data\":").await;
                return;
            }
            Some(Fault::Redirects) => {
                let to = format!("HTTP/1.1 307 x\r\nlocation: {}/elsewhere\r\ncontent-length: 0\r\n\r\n", self.address);
                let _gone = stream.write_all(to.as_bytes()).await;
                return;
            }
            Some(Fault::Endless) => {
                let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
                while sent.is_ok() {
                    sent = stream.write_all(&[b' '; 8_192]).await;
                }
                return;
            }
            Some(Fault::HashesTwice) => self.answer(&request, |name, digest| self.sign(name, &sha256(digest))),
            Some(Fault::SignsWithAnother) => self.answer(&request, |_, digest| self.sign("another", digest)),
            None => self.answer(&request, |name, digest| self.sign(name, digest)),
        };
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let _gone = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
    }

    fn answer(&self, request: &Request, sign: impl Fn(&str, &[u8]) -> Vec<u8>) -> (u16, String) {
        let refusal = |status: u16, reason: &str| (status, json!({ "errors": [reason] }).to_string());
        if request.headers.get("x-vault-token") != Some(&*self.token.lock().unwrap()) {
            return refusal(403, "permission denied");
        }
        let latest = *self.versions.lock().unwrap();
        match request.line.as_str() {
            "GET /v1/site/transit/keys/export HTTP/1.1" => {
                let versions: serde_json::Map<String, Value> = (1..=latest)
                    .map(|version| (version.to_string(), json!({ "name": "P-256", "public_key": self.public(&version.to_string()), "creation_time": "2026-01-01T00:00:00Z" })))
                    .collect();
                let key = json!({ "type": "ecdsa-p256", "keys": versions, "latest_version": latest, "name": "export" });
                (200, json!({ "request_id": "1", "lease_id": "", "data": key }).to_string())
            }
            "GET /v1/site/transit/keys/symmetric HTTP/1.1" => {
                (200, json!({ "data": { "type": "aes256-gcm96", "keys": { "1": 1_442_851_412 } } }).to_string())
            }
            "GET /v1/site/transit/keys/p384 HTTP/1.1" => {
                (200, json!({ "data": { "type": "ecdsa-p384", "keys": { "1": { "public_key": "" } } } }).to_string())
            }
            "POST /v1/site/transit/sign/export/sha2-256 HTTP/1.1" => {
                let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return refusal(400, "no JSON") };
                let Some(input) = body["input"].as_str().and_then(from_base64) else {
                    return refusal(400, "missing input");
                };
                let version = match body["key_version"].as_u64().unwrap_or(0) {
                    0 => u64::from(latest),
                    version => version,
                };
                if version > u64::from(latest) {
                    return refusal(400, "requested version for signing is higher than the latest key version");
                }
                if body["marshaling_algorithm"] != "asn1" {
                    return refusal(400, "this server knows asn1 only");
                }
                let digest = if body["prehashed"] == true { input } else { sha256(&input) };
                let signature = to_base64(&sign(&version.to_string(), &digest));
                let data = json!({ "signature": format!("vault:v{version}:{signature}"), "key_version": version });
                (200, json!({ "request_id": "2", "data": data }).to_string())
            }
            _ => refusal(404, ""),
        }
    }
}

/// SHA-256, as openssl has it.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    output(Command::new("openssl").args(["dgst", "-sha256", "-binary"]), bytes)
}

fn output(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("openssl");
    // A command that does not read its input may close it first.
    let _closed = child.stdin.take().unwrap().write_all(input);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// One HTTP/1.1 request with a body of known length.
async fn receive(stream: &mut TcpStream) -> Option<Request> {
    let mut text = Vec::new();
    let end = loop {
        if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(text[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n").map(str::to_owned);
    let line = lines.next()?;
    let headers: BTreeMap<String, String> = lines
        .filter_map(|header| header.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let length: usize = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let mut body = text.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request { line, headers, body })
}
