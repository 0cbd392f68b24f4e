//! The API in plain HTTP, for what the typed client does not do.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

/// HTTP with a token.
#[derive(Clone, Debug)]
pub struct Api {
    http: Client,
    base: String,
    token: String,
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
        let answer = http
            .post(format!("{base}/authority/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .context("the authority does not answer")?;
        ensure!(answer.status().is_success(), "the authority refuses with {}", answer.status());
        let answer: Value = answer.json().await.context("the token cannot be read")?;
        let token = answer.get("access_token").and_then(Value::as_str).context("there is no token")?.to_owned();
        Ok(Self { http, base, token })
    }

    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// A request without one.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
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
