//! Requests to one repository of a registry.
//!
//! Redirects are not followed, every body is bounded, and credentials go nowhere but to the registry and to the token server that it
//! names. Whoever asks says which answers are good; what the others mean is settled here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use export_contract::event::ProgressStep;
use export_pipeline::StageContext;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use reqwest::{Response, Url};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::settings::{OciRegistry, OciSettingsError, is_prefix};
use super::token;
use crate::error::TargetError;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait for an answer whose making takes no work.
pub(super) const ANSWER: Duration = Duration::from_mins(2);
/// Signs of life while a registry works.
const TICK: Duration = Duration::from_secs(5);
/// Longest message of a registry that goes into an error.
const MAX_MESSAGE: usize = 300;
/// Bytes of an error's body that are looked at.
const MAX_ERROR: u64 = 16 << 10;
/// Longest time that a registry is left alone because it asks for it.
const MAX_AFTER: u64 = 3_600;

/// A registry and the connections to it.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) settings: OciRegistry,
    pub(super) base: Url,
    pub(super) http: reqwest::Client,
}

impl Registry {
    pub(super) fn new(settings: OciRegistry) -> Result<Self, OciSettingsError> {
        let host = &settings.host;
        let scheme = if settings.plain_http { "http" } else { "https" };
        let good =
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
        let base = Url::parse(&format!("{scheme}://{host}/")).ok().filter(|_| good);
        let base = base.ok_or_else(|| OciSettingsError::Host(host.clone()))?;
        if !settings.prefix.is_empty() && !is_prefix(&settings.prefix) {
            return Err(OciSettingsError::Prefix(settings.prefix));
        }
        let failed = |cause| OciSettingsError::Client { host: host.clone(), cause };
        let certificates = match &settings.ca_pem {
            Some(pem) => reqwest::Certificate::from_pem_bundle(pem).map_err(failed)?,
            None => Vec::new(),
        };
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .https_only(!settings.plain_http)
            .tls_certs_merge(certificates)
            .user_agent("export-center")
            .build()
            .map_err(failed)?;
        Ok(Self { settings, base, http })
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// How long the whole may take.
    pub(super) within: Duration,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: Vec::new(), body: Bytes::new(), within: ANSWER }
    }

    #[must_use]
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Access to one repository.
#[derive(Debug)]
pub(super) struct Session<'a> {
    registry: &'a Registry,
    pub(super) repository: String,
    /// What a token must allow, such as `pull,push`.
    actions: &'static str,
    /// What goes with each request, once the registry has asked for it.
    grant: Mutex<Option<HeaderValue>>,
    /// The delivery, which is told that there is life.
    cx: Option<&'a StageContext>,
    /// Bytes of blobs that the registry took.
    taken: AtomicU64,
}

impl<'a> Session<'a> {
    pub(super) fn new(registry: &'a Registry, repository: String, actions: &'static str) -> Self {
        Self { registry, repository, actions, grant: Mutex::default(), cx: None, taken: AtomicU64::new(0) }
    }

    /// The same for a delivery.
    #[must_use]
    pub(super) fn of(self, cx: &'a StageContext) -> Self {
        Self { cx: Some(cx), ..self }
    }

    /// Tells the delivery that so many bytes more were taken.
    pub(super) fn took(&self, bytes: u64) {
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(cx) = self.cx {
            cx.progress(ProgressStep::StageProgress, 0, taken);
        }
    }

    /// Waits with signs of life for what has a time limit of its own.
    pub(super) async fn patiently<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = sleep(TICK) => self.took(0),
            }
        }
    }

    /// The address of something in the repository, such as `manifests/latest`.
    pub(super) fn url(&self, tail: &str) -> Result<Url, TargetError> {
        let url = self.registry.base.join(&format!("v2/{}/{tail}", self.repository));
        url.map_err(|cause| refused("name something in the registry", cause))
    }

    /// Asks, with credentials where they are asked for, and gives any answer but 401.
    pub(super) async fn ask(&self, act: &str, ask: &Ask) -> Result<Response, TargetError> {
        for again in [false, true] {
            let grant = self.grant.lock().await.clone();
            let mut request = self.registry.http.request(ask.method.clone(), ask.url.clone()).timeout(ask.within);
            for (name, value) in &ask.headers {
                request = request.header(name, value);
            }
            if let Some(grant) = &grant {
                request = request.header(AUTHORIZATION, grant);
            }
            let takes_body = matches!(ask.method, Method::POST | Method::PUT | Method::PATCH);
            if takes_body {
                request = request.body(ask.body.clone());
            }
            let answer =
                self.patiently(request.send()).await.map_err(|cause| unavailable(act, None, cause.without_url()))?;
            if answer.status() != StatusCode::UNAUTHORIZED || again {
                return Ok(answer);
            }
            let challenges: Vec<String> = answer
                .headers()
                .get_all(WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok().map(str::to_owned))
                .collect();
            let mut held = self.grant.lock().await;
            // Another request of this session may have got a new one already.
            if *held == grant {
                *held = Some(token::grant(self.registry, &self.repository, self.actions, &challenges).await?);
            }
        }
        Err(refused(act, "it was asked twice"))
    }

    /// Asks, and gives the answer if its status is among `good`.
    pub(super) async fn expect(&self, act: &str, ask: &Ask, good: &[StatusCode]) -> Result<Response, TargetError> {
        let answer = self.ask(act, ask).await?;
        if good.contains(&answer.status()) { Ok(answer) } else { Err(judged(act, answer).await) }
    }

    /// Where an answer says to go on. Nothing is sent to another host, whatever it says.
    pub(super) fn place(&self, act: &str, answer: &Response) -> Result<Url, TargetError> {
        let text = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        self.same_host(act, text.ok_or_else(|| refused(act, "the answer does not say where to go on"))?)
    }

    /// Where the next page of a list is.
    pub(super) fn next_page(&self, act: &str, answer: &Response) -> Result<Option<Url>, TargetError> {
        let text = answer.headers().get(LINK).and_then(|value| value.to_str().ok());
        let Some(text) = text.filter(|text| text.contains("rel=\"next\"") || text.contains("rel=next")) else {
            return Ok(None);
        };
        let inside = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inside, _)| inside);
        inside.map(|inside| self.same_host(act, inside)).transpose()
    }

    fn same_host(&self, act: &str, text: &str) -> Result<Url, TargetError> {
        let base = &self.registry.base;
        let mut url = base.join(text).map_err(|cause| refused(act, cause))?;
        if url.host_str() != base.host_str() {
            return Err(refused(act, "it leads to another host"));
        }
        // Registries behind a proxy that ends TLS name themselves as the proxy calls them.
        let kept = url.set_scheme(base.scheme()).and_then(|()| url.set_port(base.port()));
        kept.map_err(|()| refused(act, "it leads to another place"))?;
        Ok(url)
    }
}

/// A failure that another try may mend.
pub(super) fn unavailable(
    act: &str,
    after: Option<Duration>,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> TargetError {
    TargetError::Unavailable { act: act.to_owned(), after, cause: cause.into() }
}

/// A failure for good.
pub(super) fn refused(act: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TargetError {
    TargetError::Refused { act: act.to_owned(), cause: cause.into() }
}

/// What an answer means that nobody wanted.
pub(super) async fn judged(act: &str, answer: Response) -> TargetError {
    let status = answer.status();
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds.min(MAX_AFTER)));
    if status.is_redirection() {
        return refused(act, format!("the registry answers {status}: redirects are not followed"));
    }
    let told = told(body(act, answer, MAX_ERROR).await.unwrap_or_default().as_ref());
    let cause = format!("the registry answers {status}{told}");
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            unavailable(act, after, cause)
        }
        status if status.is_server_error() => unavailable(act, after, cause),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            refused(act, format!("{cause}; look at `user`, `password_file` and what that user may do there"))
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            refused(act, format!("{cause}; where it should delete, enable that (`storage.delete.enabled`)"))
        }
        _ => refused(act, cause),
    }
}

/// The errors of a registry for a message: what it wrote, short and without what moves cursors.
fn told(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Told {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(Told { errors }) = serde_json::from_slice(body) else { return String::new() };
    let text: Vec<String> = errors.into_iter().map(|one| format!("{} {}", one.code, one.message)).collect();
    let text: String = text.join(", ").chars().filter(|letter| !letter.is_control()).take(MAX_MESSAGE).collect();
    format!(": {text}")
}

/// A whole body, of at most `limit` bytes.
pub(super) async fn body(act: &str, mut answer: Response, limit: u64) -> Result<Bytes, TargetError> {
    let mut whole = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(|cause| unavailable(act, None, cause.without_url()))? {
        if (whole.len() + piece.len()) as u64 > limit {
            return Err(refused(act, format!("the answer is longer than {limit} bytes")));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
