//! A server that speaks "Encrypt data" and "Decrypt data" of Vault's transit engine for one key, `envelope`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

struct State {
    folder: tempfile::TempDir,
    version: Mutex<u8>,
    next: Mutex<Option<u16>>,
    bound: Mutex<Vec<String>>,
}

pub(crate) struct Transit {
    state: Arc<State>,
    task: JoinHandle<()>,
    pub(crate) address: String,
}

impl Transit {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "a token\n").unwrap();
        let state = Arc::new(State { folder, version: Mutex::new(1), next: Mutex::default(), bound: Mutex::default() });
        let served = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().serve(stream));
            }
        });
        Self { state, task, address }
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.state.folder.path().join("token")
    }

    /// Makes the next version of the key; the former ones still decrypt.
    pub(crate) fn rotate(&self) {
        *self.state.version.lock().unwrap() += 1;
    }

    /// The status of the next answer.
    pub(crate) fn next(&self, status: u16) {
        *self.state.next.lock().unwrap() = Some(status);
    }

    /// The associated data of each request to encrypt.
    pub(crate) fn bound(&self) -> Vec<String> {
        self.state.bound.lock().unwrap().clone()
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Any key will do, as long as each version has another.
fn key(version: u8) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[version; 32]).unwrap())
}

impl State {
    /// One request a connection.
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut request = Vec::new();
        let (head, body) = loop {
            let mut piece = [0; 8192];
            let Ok(read @ 1..) = stream.read(&mut piece).await else { return };
            request.extend_from_slice(&piece[..read]);
            let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
            let length: usize = length.unwrap().trim().parse().unwrap();
            if request.len() >= end + 4 + length {
                break (head, request[end + 4..].to_vec());
            }
        };
        assert!(head.to_lowercase().contains("x-vault-token: a token"), "{head}");
        let told = self.next.lock().unwrap().take();
        let (status, answer) = match told {
            Some(status) => (status, json!({ "errors": ["said so"] })),
            None => self.answer(head.lines().next().unwrap(), &serde_json::from_slice(&body).unwrap()),
        };
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
        drop(stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).await);
    }

    fn answer(&self, line: &str, asked: &Value) -> (u16, Value) {
        let refused = |status: u16, why: &str| (status, json!({ "errors": [why] }));
        let bytes = |name: &str| asked[name].as_str().and_then(|text| STANDARD.decode(text).ok());
        let bound = bytes("associated_data").unwrap_or_default();
        match line {
            "POST /v1/site/transit/encrypt/envelope HTTP/1.1" => {
                let Some(mut text) = bytes("plaintext") else { return refused(400, "no plaintext") };
                self.bound.lock().unwrap().push(String::from_utf8(bound.clone()).unwrap());
                let version = *self.version.lock().unwrap();
                let mut nonce = [0; 12];
                aws_lc_rs::rand::fill(&mut nonce).unwrap();
                let sealing = Nonce::assume_unique_for_key(nonce);
                key(version).seal_in_place_append_tag(sealing, Aad::from(bound), &mut text).unwrap();
                let text = STANDARD.encode([&nonce[..], &text].concat());
                (200, json!({ "data": { "ciphertext": format!("vault:v{version}:{text}"), "key_version": version } }))
            }
            "POST /v1/site/transit/decrypt/envelope HTTP/1.1" => {
                let opened = asked["ciphertext"].as_str().and_then(|text| open(text, &bound));
                match opened {
                    Some(plain) => (200, json!({ "data": { "plaintext": STANDARD.encode(plain) } })),
                    None => refused(400, "cipher: message authentication failed"),
                }
            }
            _ => refused(404, "no handler for route"),
        }
    }
}

fn open(text: &str, bound: &[u8]) -> Option<Vec<u8>> {
    let (version, text) = text.strip_prefix("vault:v")?.split_once(':')?;
    let sealed = STANDARD.decode(text).ok()?;
    let (nonce, rest) = sealed.split_at_checked(12)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut rest = rest.to_vec();
    let plain = key(version.parse().ok()?).open_in_place(nonce, Aad::from(bound), &mut rest).ok()?;
    Some(plain.to_vec())
}
