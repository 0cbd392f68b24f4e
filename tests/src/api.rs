//! The API in plain HTTP, for what the typed client does not do. Each request comes with a proof of its own, so it is sent once and
//! within a minute.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use export_client::ProofKey;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

/// HTTP with a token and the key that it is bound to.
#[derive(Clone, Debug)]
pub struct Api {
    http: Client,
    base: String,
    token: String,
    key: Arc<ProofKey>,
    /// What the gateway asked for at login; good for some minutes.
    nonce: Option<String>,
}

impl Api {
    /// Fetches a token with a credentials file.
    ///
    /// # Errors
    /// When the authority gives none.
    pub async fn login(credentials: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(credentials).with_context(|| format!("cannot read `{}`", credentials.display()))?;
        let file: Value = serde_json::from_slice(&text).context("the credentials file is no JSON")?;
        let field = |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let http = Client::builder().timeout(Duration::from_mins(2)).build().context("cannot make an HTTP client")?;
        let base = field("server");
        let body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            field("clientId"),
            field("clientSecret")
        );
        let key = Arc::new(ProofKey::generate()?);
        let address = format!("{base}/authority/token");
        let ask = |nonce: Option<&str>| {
            let proof = key.proof("POST", &address, None, nonce)?;
            anyhow::Ok(
                http.post(&address)
                    .header("dpop", proof)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body.clone()),
            )
        };
        let mut nonce = None;
        let mut answer = ask(None)?.send().await.context("the authority does not answer")?;
        if let Some(asked) = answer.headers().get("dpop-nonce").and_then(|value| value.to_str().ok()) {
            nonce = Some(asked.to_owned());
            answer = ask(nonce.as_deref())?.send().await.context("the authority does not answer")?;
        }
        ensure!(answer.status().is_success(), "the authority refuses with {}", answer.status());
        let answer: Value = answer.json().await.context("the token cannot be read")?;
        let token = answer.get("access_token").and_then(Value::as_str).context("there is no token")?.to_owned();
        Ok(Self { http, base, token, key, nonce })
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The key that it is bound to.
    pub fn key(&self) -> &ProofKey {
        &self.key
    }

    /// The same token and key at another gateway.
    #[must_use]
    pub fn at(&self, server: &str) -> Self {
        Self { base: server.to_owned(), ..self.clone() }
    }

    /// The whole address of a path.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A proof for one request with the token.
    ///
    /// # Panics
    /// When the machine has no randomness.
    #[expect(clippy::expect_used, reason = "a tool for tests")]
    pub fn proof(&self, method: &Method, path: &str) -> String {
        self.key.proof(method.as_str(), &self.address(path), Some(&self.token), self.nonce.as_deref()).expect("a proof")
    }

    /// A request with the token and a proof.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let proof = self.proof(&method, path);
        self.anonymous(method, path).header("authorization", format!("DPoP {}", self.token)).header("dpop", proof)
    }

    /// A request without one.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.address(path))
    }

    /// `GET` with the token.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        self.request(Method::GET, path).send().await.with_context(|| format!("no answer to GET {path}"))
    }

    /// `GET` with the token; the JSON of a successful answer.
    ///
    /// # Errors
    /// When the server does not answer, refuses, or answers with something else.
    pub async fn json(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.get(path).await?;
        ensure!(answer.status().is_success(), "GET {path} is refused with {}", answer.status());
        answer.json().await.with_context(|| format!("the answer to GET {path} is no JSON"))
    }
}
