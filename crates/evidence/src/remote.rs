//! Reading what servers of others hold over HTTP: documents, and lists that come in pages of JSON lines. The Policy Engine and the
//! Findings Ledger are both read through here.
//!
//! A server is not believed. A body is bounded and read whole before anything of it is used; a digest that comes with it is checked; what
//! passes by itself is tried again, at the pace that the server asks for; redirects are not followed, as the token would follow them.

mod answer;
mod error;
mod pages;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use export_contract::TenantId;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use zeroize::Zeroizing;

pub use self::error::RemoteError;
pub(crate) use self::pages::{Page, Pages};

/// Longest body of an answer.
const MAX_BODY: usize = 64 << 20;

/// How often a request is sent before it is given up, and the wait after the first time; it doubles.
const TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Longest wait that a server may ask for. Who asks for more is not waited for: the error says that another try may help.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// Gives bearer tokens that somebody else fetches and renews.
#[async_trait]
pub trait BearerSource: Send + Sync + fmt::Debug {
    /// A token that is good now.
    ///
    /// # Errors
    /// When there is none at the moment.
    async fn bearer(&self) -> Result<Zeroizing<String>, Box<dyn std::error::Error + Send + Sync>>;
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// Address, such as `https://policy.example/api`; what is asked for comes behind its path.
    pub base_url: String,
    /// File with the bearer token; absent: none is sent. Read anew for each request, so that an agent may renew the token there.
    pub token_file: Option<PathBuf>,
    /// Where tokens come from in the place of that file.
    pub bearer: Option<Arc<dyn BearerSource>>,
    /// File with the certificates (PEM) that the server's must come from; absent: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a request may take, from the first byte sent to the last one read.
    pub timeout: Duration,
}

/// A server.
#[derive(Clone)]
pub(crate) struct Remote {
    http: Client,
    base: Url,
    token_file: Option<PathBuf>,
    bearer: Option<Arc<dyn BearerSource>>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// What is asked for, but for the page.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Names of the path behind the base.
    pub(crate) path: Vec<String>,
    /// Parameters.
    pub(crate) query: Vec<(&'static str, String)>,
    /// Whose; goes into `X-Stella-Tenant`.
    pub(crate) tenant: TenantId,
}

/// A good answer.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Remote {
    pub(crate) fn new(settings: &RemoteSettings) -> Result<Self, RemoteError> {
        let base: Url = settings.base_url.parse().map_err(|_| RemoteError::Setting { what: "address" })?;
        let is_plain = base.query().is_none() && base.fragment().is_none() && base.username().is_empty();
        if !matches!(base.scheme(), "http" | "https") || !is_plain || base.password().is_some() {
            return Err(RemoteError::Setting { what: "address" });
        }
        let mut builder = Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false);
        if let Some(path) = &settings.ca_file {
            let text = read(path)?;
            let unusable = |cause| RemoteError::Certificates { path: path.clone(), cause };
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&text).map_err(unusable)?);
        }
        let http = builder.build().map_err(RemoteError::Client)?;
        Ok(Self { http, base, token_file: settings.token_file.clone(), bearer: settings.bearer.clone() })
    }

    /// The address, for a name of the server.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str()
    }

    /// A JSON document; `None` where the server says that there is none.
    pub(crate) async fn document(&self, question: &Question) -> Result<Option<Bytes>, RemoteError> {
        match self.ask(question, &[], "application/json").await {
            Ok(Answer { headers, body }) => {
                answer::expect_media(&headers, "application/json")?;
                Ok(Some(body))
            }
            Err(RemoteError::Status { status: 404 | 410, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks until there is a good answer, or one that no further try would change.
    async fn ask(
        &self,
        question: &Question,
        more: &[(&'static str, String)],
        accept: &'static str,
    ) -> Result<Answer, RemoteError> {
        let url = self.url(question, more)?;
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.try_to_ask(&url, question, accept).await {
                Err(error) if error.is_worth_another_try() => {
                    let asked = error.wait().unwrap_or(wait);
                    if asked > MAX_WAIT {
                        return Err(error);
                    }
                    tracing::warn!(error = &error as &dyn std::error::Error, "a server of others failed, asking again");
                    tokio::time::sleep(asked).await;
                    wait *= 2;
                }
                outcome => return outcome,
            }
        }
        self.try_to_ask(&url, question, accept).await
    }

    async fn try_to_ask(&self, url: &Url, question: &Question, accept: &'static str) -> Result<Answer, RemoteError> {
        let mut request = self.http.get(url.clone()).header(ACCEPT, accept);
        request = request.header("X-Stella-Tenant", question.tenant.as_str());
        if let Some(token) = self.token().await? {
            request = request.header(AUTHORIZATION, token);
        }
        // The address stays out of the cause: it is in the settings, and logs travel further than they do.
        let mut response = request.send().await.map_err(|cause| RemoteError::Exchange(cause.without_url()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status != StatusCode::OK {
            let wait = answer::retry_after(&headers);
            let said = answer::reason(&bounded(&mut response, 64 << 10).await.unwrap_or_default());
            return Err(RemoteError::Status { status: status.as_u16(), said, wait });
        }
        let body = bounded(&mut response, MAX_BODY).await?;
        answer::check_digest(&headers, &body)?;
        Ok(Answer { headers, body })
    }

    fn url(&self, question: &Question, more: &[(&'static str, String)]) -> Result<Url, RemoteError> {
        let mut url = self.base.clone();
        if question.path.iter().any(|name| matches!(name.as_str(), "" | "." | "..")) {
            return Err(RemoteError::Setting { what: "path" });
        }
        url.path_segments_mut()
            .map_err(|()| RemoteError::Setting { what: "address" })?
            .pop_if_empty()
            .extend(&question.path);
        let parameters = question.query.iter().chain(more);
        url.query_pairs_mut().extend_pairs(parameters.map(|(name, value)| (*name, value.as_str())));
        Ok(url)
    }

    async fn token(&self) -> Result<Option<HeaderValue>, RemoteError> {
        let text = match (&self.bearer, &self.token_file) {
            (Some(source), _) => {
                let token = source.bearer().await.map_err(RemoteError::Bearer)?;
                Zeroizing::new(token.as_bytes().to_vec())
            }
            (None, Some(path)) => Zeroizing::new(read(path)?),
            (None, None) => return Ok(None),
        };
        let token = text.trim_ascii();
        let bearer = Zeroizing::new([b"Bearer ", token].concat());
        let mut bearer = HeaderValue::from_bytes(&bearer).map_err(|_| RemoteError::Setting { what: "token" })?;
        if token.is_empty() {
            return Err(RemoteError::Setting { what: "token" });
        }
        bearer.set_sensitive(true);
        Ok(Some(bearer))
    }
}

/// The body of an answer, as far as it is not too long.
async fn bounded(response: &mut Response, limit: usize) -> Result<Bytes, RemoteError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|cause| RemoteError::Exchange(cause.without_url()))? {
        if body.len() + chunk.len() > limit {
            return Err(RemoteError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn read(path: &Path) -> Result<Vec<u8>, RemoteError> {
    fs::read(path).map_err(|cause| RemoteError::File { path: path.to_owned(), cause })
}
