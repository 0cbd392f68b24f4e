//! A KMS with one key, kept by openssl, that tells digests from messages and can be told what to answer next.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use export_signing::bundle::{from_base64, to_base64};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

struct State {
    folder: tempfile::TempDir,
    next: Mutex<Option<(u16, Value)>>,
    types: Mutex<Vec<String>>,
}

pub(crate) struct Liar {
    state: Arc<State>,
    task: JoinHandle<()>,
    pub(crate) address: String,
}

impl Liar {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State { folder, next: Mutex::default(), types: Mutex::default() });
        state.openssl("ecparam -name prime256v1 -genkey -noout -out key.pem", b"");
        state.openssl("pkey -in key.pem -pubout -outform DER -out public.der", b"");
        let served = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().serve(stream));
            }
        });
        Self { state, task, address }
    }

    /// What the next request to sign gets.
    pub(crate) fn next(&self, status: u16, body: &Value) {
        *self.state.next.lock().unwrap() = Some((status, body.clone()));
    }

    /// `MessageType` of each request to sign.
    pub(crate) fn message_types(&self) -> Vec<String> {
        self.state.types.lock().unwrap().clone()
    }

    pub(crate) async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

impl State {
    fn openssl(&self, arguments: &str, input: &[u8]) -> Vec<u8> {
        std::fs::write(self.folder.path().join("input"), input).unwrap();
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(self.folder.path()).stderr(Stdio::inherit());
        let done = command.output().unwrap();
        assert!(done.status.success(), "openssl {arguments}");
        done.stdout
    }

    /// One request a connection.
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut request = Vec::new();
        let (head, body) = loop {
            let mut piece = [0; 8192];
            let Ok(read @ 1..) = stream.read(&mut piece).await else { return };
            request.extend_from_slice(&piece[..read]);
            let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
            let length: usize = length.trim().parse().unwrap();
            if request.len() >= end + 4 + length {
                break (head, request[end + 4..].to_vec());
            }
        };
        let (status, answer) = if head.contains("trentservice.getpublickey") {
            (200, self.public_key())
        } else {
            self.sign(&serde_json::from_slice(&body).unwrap())
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        drop(stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).await);
    }

    fn public_key(&self) -> Value {
        let der = std::fs::read(self.folder.path().join("public.der")).unwrap();
        json!({
            "KeyId": "key", "PublicKey": to_base64(&der), "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": ["ECDSA_SHA_256"],
        })
    }

    fn sign(&self, asked: &Value) -> (u16, Value) {
        let kind = asked["MessageType"].as_str().unwrap().to_owned();
        if let Some(told) = self.next.lock().unwrap().take() {
            return told;
        }
        let sent = from_base64(asked["Message"].as_str().unwrap()).unwrap();
        // Limits of the API's reference: 1 to 4096 bytes raw, and a digest is as long as its algorithm makes it.
        assert!(
            if kind == "RAW" { (1..=4096).contains(&sent.len()) } else { sent.len() == 32 },
            "{kind} of {} bytes",
            sent.len()
        );
        let digest = if kind == "RAW" { self.openssl("dgst -sha256 -binary input", &sent) } else { sent };
        let signature = self.openssl("pkeyutl -sign -inkey key.pem -in input", &digest);
        self.types.lock().unwrap().push(kind);
        (200, json!({ "KeyId": "key", "Signature": to_base64(&signature), "SigningAlgorithm": "ECDSA_SHA_256" }))
    }
}
