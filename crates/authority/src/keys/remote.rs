//! The keys of an authority elsewhere, fetched when they are needed and kept for a while.
//!
//! The authority is not believed more than it must be: a body is bounded, redirects are not followed, and an answer that is no key set
//! changes nothing. No task runs in the background; whoever needs a key that is not known, or no longer fresh, fetches, and the
//! others wait for that one or go on with what is known.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::{FixedKeys, KeySource, KeysUnavailable, MAX_KEY_ID, MAX_KEYS};
use crate::jwk::VerifyingKey;

/// Longest key set, bytes.
const MAX_BODY: usize = 1 << 20;

/// How long keys are kept, and how often they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTiming {
    /// Time for one answer, from the first byte sent to the last one read.
    pub answer_within: Duration,
    /// Keys are fresh for what `Cache-Control: max-age` says, this long at least.
    pub least_fresh: Duration,
    /// … and this long at most.
    pub most_fresh: Duration,
    /// … and for this long where it says nothing.
    pub fresh: Duration,
    /// Between two fetches, however many unknown key ids come in. After failures it doubles each time.
    pub pause: Duration,
    /// … up to this.
    pub most_pause: Duration,
    /// How long known keys go on when the authority does not answer.
    pub outage: Duration,
}

impl Default for KeyTiming {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(5),
            least_fresh: Duration::from_mins(1),
            most_fresh: Duration::from_hours(1),
            fresh: Duration::from_mins(5),
            pause: Duration::from_secs(10),
            most_pause: Duration::from_mins(5),
            outage: Duration::from_hours(24),
        }
    }
}

/// Why keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub enum RemoteKeysError {
    /// The address is none.
    #[error("`{0}` is no address of a key set")]
    Address(String),
    /// The certificates of the authority cannot be read.
    #[error("cannot read the certificates `{}`", path.display())]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The certificates of the authority cannot be used, or the HTTP machinery does not start.
    #[error("cannot make an HTTP client for the authority")]
    Client(#[source] reqwest::Error),
    /// No whole answer came in time.
    #[error("the authority does not answer")]
    Exchange(#[source] reqwest::Error),
    /// Another status than 200; redirects are not followed.
    #[error("the authority answers with status {0}")]
    Status(u16),
    /// The answer is longer than a key set may be.
    #[error("the key set is longer than {MAX_BODY} bytes")]
    TooLong,
    /// The answer is no JSON.
    #[error("the key set is no JSON")]
    Json(#[source] serde_json::Error),
    /// More keys than are looked at.
    #[error("the key set has {0} keys, more than {MAX_KEYS}")]
    TooMany(usize),
    /// No key can be used.
    #[error("the key set has no key that signs with ES256, EdDSA or RS256 and has a `kid`")]
    Empty,
}

struct Held {
    keys: FixedKeys,
    fetched: Instant,
    stale: Instant,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// No fetch before this.
    next: Option<Instant>,
    failures: u32,
    last_failure: Option<Arc<RemoteKeysError>>,
    /// Fetches so far.
    fetches: u64,
}

/// Keys at an address.
pub struct RemoteKeys {
    http: Client,
    url: Url,
    timing: KeyTiming,
    state: Mutex<State>,
    /// Held by whoever fetches.
    fetching: tokio::sync::Mutex<()>,
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl RemoteKeys {
    /// The keys at `url`, whose certificate must come from those of `ca_file`, where one is named. Nothing is fetched yet.
    ///
    /// # Errors
    /// When address or certificates cannot be used.
    pub fn new(url: &str, ca_file: Option<&Path>, timing: KeyTiming) -> Result<Self, RemoteKeysError> {
        let parsed: Url = url.parse().map_err(|_| RemoteKeysError::Address(url.to_owned()))?;
        let is_plain = matches!(parsed.scheme(), "http" | "https") && parsed.username().is_empty();
        if !is_plain || parsed.password().is_some() {
            return Err(RemoteKeysError::Address(url.to_owned()));
        }
        let mut builder = Client::builder()
            .timeout(timing.answer_within)
            .connect_timeout(timing.answer_within)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false);
        if let Some(path) = ca_file {
            let text = std::fs::read(path).map_err(|cause| RemoteKeysError::CaFile { path: path.to_owned(), cause })?;
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&text).map_err(RemoteKeysError::Client)?);
        }
        let http = builder.build().map_err(RemoteKeysError::Client)?;
        Ok(Self { http, url: parsed, timing, state: Mutex::default(), fetching: tokio::sync::Mutex::default() })
    }

    /// How often the authority was asked.
    pub fn fetches(&self) -> u64 {
        self.lock().fetches
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now, and whether a fetch could tell more and may be made.
    fn look(&self, id: &str) -> Look {
        let state = self.lock();
        let now = Instant::now();
        let may_fetch = state.next.is_none_or(|next| now >= next);
        let held = state.held.as_ref().filter(|held| now < held.fetched + self.timing.outage);
        let key = held.and_then(|held| held.keys.get(id).cloned());
        Look {
            is_fresh: held.is_some_and(|held| now < held.stale),
            is_known_absent: held.is_some() && key.is_none() && state.failures == 0,
            key,
            may_fetch,
            fetches: state.fetches,
            last_failure: state.last_failure.clone(),
        }
    }

    /// Fetches, unless another did since `fetches` was read.
    async fn fetch(&self, fetches: u64) {
        if self.lock().fetches != fetches {
            return;
        }
        let outcome = self.ask().await;
        let mut state = self.lock();
        let now = Instant::now();
        state.fetches += 1;
        let pause = match outcome {
            Ok((keys, fresh)) => {
                state.held = Some(Held { keys, fetched: now, stale: now + fresh });
                state.failures = 0;
                state.last_failure = None;
                self.timing.pause
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the keys of the authority were not fetched");
                let pause = self.timing.pause.saturating_mul(1 << state.failures.min(16));
                state.failures = state.failures.saturating_add(1);
                state.last_failure = Some(Arc::new(error));
                pause.min(self.timing.most_pause)
            }
        };
        state.next = Some(now + pause);
    }

    async fn ask(&self) -> Result<(FixedKeys, Duration), RemoteKeysError> {
        let request = self.http.get(self.url.clone()).header(ACCEPT, "application/jwk-set+json, application/json");
        let mut response = request.send().await.map_err(|cause| RemoteKeysError::Exchange(cause.without_url()))?;
        if response.status() != StatusCode::OK {
            return Err(RemoteKeysError::Status(response.status().as_u16()));
        }
        let fresh = self.freshness(&response);
        let mut body = Vec::new();
        while let Some(piece) =
            response.chunk().await.map_err(|cause| RemoteKeysError::Exchange(cause.without_url()))?
        {
            if body.len() + piece.len() > MAX_BODY {
                return Err(RemoteKeysError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        let set: Value = serde_json::from_slice(&body).map_err(RemoteKeysError::Json)?;
        let count = set.get("keys").and_then(Value::as_array).map_or(0, Vec::len);
        if count > MAX_KEYS {
            return Err(RemoteKeysError::TooMany(count));
        }
        let keys = FixedKeys::of_set(&set);
        if keys.is_empty() { Err(RemoteKeysError::Empty) } else { Ok((keys, fresh)) }
    }

    /// `max-age` (RFC 9111 section 5.2.2.1) within bounds.
    fn freshness(&self, response: &Response) -> Duration {
        let says = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let age = says.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
        let fresh = age.map_or(self.timing.fresh, Duration::from_secs);
        fresh.clamp(self.timing.least_fresh, self.timing.most_fresh)
    }
}

struct Look {
    key: Option<Arc<VerifyingKey>>,
    is_fresh: bool,
    is_known_absent: bool,
    may_fetch: bool,
    fetches: u64,
    last_failure: Option<Arc<RemoteKeysError>>,
}

#[async_trait]
impl KeySource for RemoteKeys {
    async fn key(&self, id: &str) -> Result<Option<Arc<VerifyingKey>>, KeysUnavailable> {
        if id.is_empty() || id.len() > MAX_KEY_ID {
            return Ok(None);
        }
        let mut look = self.look(id);
        let is_good = look.key.is_some() && look.is_fresh;
        if !is_good && look.may_fetch {
            // Whoever has a key that is only no longer fresh does not wait for another's fetch.
            let turn =
                if look.key.is_some() { self.fetching.try_lock().ok() } else { Some(self.fetching.lock().await) };
            if turn.is_some() {
                self.fetch(look.fetches).await;
                look = self.look(id);
            }
        }
        match look {
            Look { key: Some(key), .. } => Ok(Some(key)),
            Look { is_known_absent: true, .. } => Ok(None),
            Look { last_failure, .. } => Err(KeysUnavailable(last_failure)),
        }
    }
}
