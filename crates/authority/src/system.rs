//! Tokens for the system itself, at an authority elsewhere: client credentials (RFC 6749 section 4.4), fetched when they are needed and
//! again before they expire.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, Url};
use serde::Deserialize;
use tokio::time::Duration;
use zeroize::Zeroizing;

use crate::renewed::{Renewed, Without};

/// Longest answer, bytes.
const MAX_BODY: usize = 64 << 10;
/// Longest secret file, bytes.
const MAX_SECRET: usize = 4 << 10;
/// Time for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a token is believed to be good at most.
const MOST: Duration = Duration::from_hours(24);
/// Where and as whom the system asks for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemClient {
    /// The token endpoint.
    pub token_url: String,
    /// The client's id.
    pub client_id: String,
    /// File with its secret, read anew each time, so that it may be changed there.
    pub client_secret_file: PathBuf,
    /// Wanted scopes, separated by blanks; empty: those that the authority gives by itself.
    pub scope: String,
    /// File with the certificates (PEM) that the authority's must come from.
    pub ca_file: Option<PathBuf>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum SystemTokenError {
    /// The address is none.
    #[error("`{0}` is no address of a token endpoint")]
    Address(String),
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The secret is empty, too long or no text.
    #[error("`{}` holds no client secret", .0.display())]
    Secret(PathBuf),
    /// The certificates cannot be used, or the HTTP machinery does not start.
    #[error("cannot make an HTTP client for the authority")]
    Client(#[source] reqwest::Error),
    /// No whole answer came in time.
    #[error("the authority does not answer")]
    Exchange(#[source] reqwest::Error),
    /// The authority refuses; redirects are not followed.
    #[error("the authority answers with status {status}{said}")]
    Refused {
        /// Status.
        status: u16,
        /// The error code of RFC 6749 section 5.2 after a colon, where there is one.
        said: String,
    },
    /// The answer is no token that can be sent.
    #[error("the authority's answer is no bearer token: {0}")]
    Answer(&'static str),
    /// It failed a moment ago.
    #[error("the authority gave no token a moment ago; the next try is in {0} s")]
    Paused(u64),
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The system's tokens.
pub struct SystemTokens {
    http: Client,
    url: Url,
    client: SystemClient,
    kept: Renewed<Zeroizing<String>>,
}

impl fmt::Debug for SystemTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemTokens").field("client", &self.client).finish_non_exhaustive()
    }
}

impl SystemTokens {
    /// Tokens for `client`. Nothing is fetched yet.
    ///
    /// # Errors
    /// When address or certificates cannot be used.
    pub fn new(client: SystemClient) -> Result<Self, SystemTokenError> {
        let address = || SystemTokenError::Address(client.token_url.clone());
        let url: Url = client.token_url.parse().map_err(|_| address())?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(address());
        }
        let mut builder = Client::builder()
            .timeout(ANSWER_WITHIN)
            .connect_timeout(ANSWER_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false);
        if let Some(path) = &client.ca_file {
            let text = read(path)?;
            let certificates = Certificate::from_pem_bundle(&text).map_err(SystemTokenError::Client)?;
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder.build().map_err(SystemTokenError::Client)?;
        Ok(Self { http, url, client, kept: Renewed::default() })
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// See [`SystemTokenError`]. A token that is not over goes on while the authority does not give another.
    pub async fn token(&self) -> Result<Zeroizing<String>, SystemTokenError> {
        self.kept.get("a token of the system", async || self.ask().await).await.map_err(|without| match without {
            Without::Failed(error) => error,
            Without::Paused(seconds) => SystemTokenError::Paused(seconds),
        })
    }

    /// The client that trusts the authority's certificates.
    pub(crate) fn http(&self) -> &Client {
        &self.http
    }

    async fn ask(&self) -> Result<(Zeroizing<String>, Duration), SystemTokenError> {
        let mut form = "grant_type=client_credentials".to_owned();
        if !self.client.scope.is_empty() {
            form.push_str("&scope=");
            form.push_str(&escaped(&self.client.scope));
        }
        let request = self
            .http
            .post(self.url.clone())
            .header(AUTHORIZATION, self.basic()?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form);
        let exchange = |cause: reqwest::Error| SystemTokenError::Exchange(cause.without_url());
        let mut response = request.send().await.map_err(exchange)?;
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::new());
        while let Some(piece) = response.chunk().await.map_err(exchange)? {
            if body.len() + piece.len() > MAX_BODY {
                return Err(SystemTokenError::Answer("it is too long"));
            }
            body.extend_from_slice(&piece);
        }
        if status != 200 {
            // Only the code: whatever else a server says may hold what it was sent.
            let code = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error).unwrap_or_default();
            let is_code =
                (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            return Err(SystemTokenError::Refused {
                status,
                said: if is_code { format!(": {code}") } else { String::new() },
            });
        }
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| SystemTokenError::Answer("it is not of the form of RFC 6749"))?;
        let token = Zeroizing::new(answer.access_token);
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(SystemTokenError::Answer("it is of another type"));
        }
        // RFC 6750 section 2.1.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if token.is_empty() || !token.bytes().all(is_plain) {
            return Err(SystemTokenError::Answer("it has characters that no token has"));
        }
        let life = answer.expires_in.map_or(Duration::from_mins(5), Duration::from_secs);
        Ok((token, life.min(MOST)))
    }

    /// The client by id and secret (RFC 6749 section 2.3.1).
    fn basic(&self) -> Result<HeaderValue, SystemTokenError> {
        let path = &self.client.client_secret_file;
        let bytes = Zeroizing::new(read(path)?);
        let secret = std::str::from_utf8(&bytes).ok().map(|text| text.trim_end_matches(['\r', '\n']));
        let secret = secret
            .filter(|text| (1..=MAX_SECRET).contains(&text.len()))
            .ok_or_else(|| SystemTokenError::Secret(path.clone()))?;
        let pair = Zeroizing::new(format!("{}:{}", escaped(&self.client.client_id), escaped(secret)));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).map_err(|_| SystemTokenError::Secret(path.clone()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SystemTokenError> {
    std::fs::read(path).map_err(|cause| SystemTokenError::File { path: path.to_owned(), cause })
}

/// As in a form (RFC 6749 appendix B).
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        })
        .collect()
}
