//! Token, key and nonces of a client, and how a request goes out with them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Request, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::{Duration, Instant};

use crate::proof::ProofKey;
use crate::{CannotProve, Client, ClientError, ProblemDocument};

/// Before a token expires by this much, a new one is fetched.
const TOKEN_MARGIN: Duration = Duration::from_secs(30);
/// The header of proofs.
const PROOF: &str = "dpop";
/// The header with which a server hands out the nonce for the next proof (RFC 9449 section 8).
const NONCE: &str = "dpop-nonce";
/// Longest nonce that is kept.
const MAX_NONCE: usize = 1 << 10;

/// What a client keeps while it runs.
#[derive(Debug)]
pub(crate) struct Session {
    key: ProofKey,
    token: tokio::sync::Mutex<Option<(String, Instant)>>,
    /// The last nonce of each server: the gateway's and the authority's.
    nonces: Mutex<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

impl Session {
    pub(crate) fn new(key: ProofKey) -> Self {
        Self { key, token: tokio::sync::Mutex::default(), nonces: Mutex::default() }
    }

    fn nonces(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the nonce that came with an answer.
    fn learn(&self, url: &Url, headers: &HeaderMap) {
        let nonce = headers.get(NONCE).and_then(|value| value.to_str().ok());
        if let Some(nonce) = nonce.filter(|nonce| (1..=MAX_NONCE).contains(&nonce.len())) {
            self.nonces().insert(url.origin().ascii_serialization(), nonce.to_owned());
        }
    }

    /// A proof for `request`.
    fn prove(&self, request: &Request, token: Option<&str>) -> Result<HeaderValue, CannotProve> {
        let url = request.url();
        let nonce = self.nonces().get(&url.origin().ascii_serialization()).cloned();
        let proof = self.key.proof(request.method().as_str(), url.as_str(), token, nonce.as_deref())?;
        HeaderValue::from_str(&proof).map_err(|_| CannotProve)
    }
}

/// Whether a server only asks for its nonce (RFC 9449 sections 8 and 9).
fn wants_nonce(response: &Response) -> bool {
    let says = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asks = match response.status() {
        StatusCode::UNAUTHORIZED => says.contains("use_dpop_nonce"),
        // The token endpoint says it in its body; a nonce comes with other refusals for no other reason.
        StatusCode::BAD_REQUEST => true,
        _ => false,
    };
    asks && response.headers().contains_key(NONCE)
}

impl Client {
    /// Token and proof for one request by somebody else's hands, as headers: good once, and for a minute.
    ///
    /// # Errors
    /// When the authority gives no token.
    pub async fn headers_for(&self, method: reqwest::Method, path: &str) -> Result<Vec<(String, String)>, ClientError> {
        let token = self.token().await?;
        let request = self.request(method, path).build().map_err(|cause| self.unreachable(cause))?;
        let proof = self.session.prove(&request, Some(&token)).map_err(ClientError::Proof)?;
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let mut headers: Vec<(String, String)> =
            request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        headers.push(("Authorization".to_owned(), format!("DPoP {token}")));
        headers.push(("DPoP".to_owned(), text(&proof)));
        Ok(headers)
    }

    /// Sends with token and proof; once more where the server asks for its nonce.
    pub(crate) async fn exchange(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let request = request.build().map_err(|cause| self.unreachable(cause))?;
        let again = request.try_clone();
        let response = self.prove_and_send(request).await?;
        match again {
            Some(again) if wants_nonce(&response) => self.prove_and_send(again).await,
            _ => Ok(response),
        }
    }

    async fn prove_and_send(&self, mut request: Request) -> Result<Response, ClientError> {
        let token = self.token().await?;
        let proof = self.session.prove(&request, Some(&token)).map_err(ClientError::Proof)?;
        let mut authorization =
            HeaderValue::from_str(&format!("DPoP {token}")).map_err(|_| ClientError::Proof(CannotProve))?;
        authorization.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, authorization);
        request.headers_mut().insert(PROOF, proof);
        self.transmit(request).await
    }

    async fn transmit(&self, request: Request) -> Result<Response, ClientError> {
        let url = request.url().clone();
        let response = self.http.execute(request).await.map_err(|cause| self.unreachable(cause))?;
        self.session.learn(&url, response.headers());
        Ok(response)
    }

    pub(crate) async fn token(&self) -> Result<String, ClientError> {
        let mut held = self.session.token.lock().await;
        if let Some((token, until)) = held.as_ref()
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let mut response = self.ask_token().await?;
        if wants_nonce(&response) {
            response = self.ask_token().await?;
        }
        let status = response.status();
        let body = response.bytes().await.map_err(|cause| self.unreachable(cause))?;
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            return Err(ClientError::Refused(Box::new(ProblemDocument::read(status.as_u16(), &body))));
        }
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(ClientError::LoginRefused(text));
        }
        let token: Token =
            serde_json::from_slice(&body).map_err(|cause| ClientError::Unreadable { act: "fetch a token", cause })?;
        let valid = Duration::from_secs(token.expires_in).saturating_sub(TOKEN_MARGIN);
        *held = Some((token.access_token.clone(), Instant::now() + valid));
        Ok(token.access_token)
    }

    async fn ask_token(&self) -> Result<Response, ClientError> {
        let mut request = self
            .http
            .post(self.credentials.token_endpoint())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!(
                "grant_type=client_credentials&client_id={}&client_secret={}",
                escaped(&self.credentials.client_id),
                escaped(self.credentials.client_secret())
            ))
            .build()
            .map_err(|cause| self.unreachable(cause))?;
        let proof = self.session.prove(&request, None).map_err(ClientError::Proof)?;
        request.headers_mut().insert(PROOF, proof);
        self.transmit(request).await
    }
}

/// As in a form (RFC 6749 appendix B): an authority elsewhere may give secrets of any characters.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        })
        .collect()
}
