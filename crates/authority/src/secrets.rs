//! What the authority keeps for the system: passwords of registries, keys of buckets, and which key signs for whom.
//!
//! `GET {secrets_url}/{name}` with a token of the system gives `{"values": {…}, "expires_in": …}`; see docs/authority.md.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;
use tokio::time::Duration;
use zeroize::Zeroizing;

use crate::renewed::{Renewed, Without};
use crate::system::{SystemTokenError, SystemTokens};

/// Longest answer, bytes.
const MAX_BODY: usize = 64 << 10;
/// Longest name.
const MAX_NAME: usize = 200;
/// How long a secret is kept whose answer does not say how long it is good.
const UNTOLD: Duration = Duration::from_mins(15);
/// How long a secret is believed to be good at most.
const MOST: Duration = Duration::from_hours(24);

/// Why a secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The address is none.
    #[error("`{0}` is no address under which secrets could be")]
    Address(String),
    /// The name is none.
    #[error(
        "`{0}` is no name of a secret: use up to 200 of a to z, A to Z, 0 to 9, `.`, `_`, `-`, and `/` between names"
    )]
    Name(String),
    /// The system has no token to ask with.
    #[error("there is no token to ask for the secret `{name}`")]
    Token {
        /// Which secret.
        name: String,
        /// Why.
        #[source]
        cause: SystemTokenError,
    },
    /// No whole answer came in time.
    #[error("the authority does not answer to the question for the secret `{name}`")]
    Exchange {
        /// Which secret.
        name: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// The authority has none, refuses, or is in trouble; redirects are not followed.
    #[error("asked for the secret `{name}` the authority answers with status {status}")]
    Refused {
        /// Which secret.
        name: String,
        /// Status.
        status: u16,
    },
    /// The answer is none.
    #[error("what the authority gives for the secret `{name}` cannot be used: {fault}")]
    Answer {
        /// Which secret.
        name: String,
        /// Why not; holds nothing of the answer.
        fault: String,
    },
    /// It failed a moment ago.
    #[error("the authority did not give the secret `{name}` a moment ago; the next try is in {seconds} s")]
    Paused {
        /// Which secret.
        name: String,
        /// Until then.
        seconds: u64,
    },
}

/// Members of a secret by name, such as `username` and `password`. Their values are printed nowhere.
#[derive(Clone)]
pub struct Secret {
    name: String,
    values: Arc<BTreeMap<String, Zeroizing<String>>>,
    expires_at: SystemTime,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<&str> = self.values.keys().map(String::as_str).collect();
        f.debug_struct("Secret").field("name", &self.name).field("members", &members).finish_non_exhaustive()
    }
}

impl Secret {
    /// A member that must be there.
    ///
    /// # Errors
    /// [`SecretError::Answer`] when it is absent or empty.
    pub fn member(&self, member: &str) -> Result<&str, SecretError> {
        self.optional(member).ok_or_else(|| SecretError::Answer {
            name: self.name.clone(),
            fault: format!("it has no member `{member}`"),
        })
    }

    /// A member that may be there.
    pub fn optional(&self, member: &str) -> Option<&str> {
        self.values.get(member).map(|value| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Until when it is good, as far as the authority told; it is to be asked for anew before.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }
}

#[derive(Deserialize)]
struct Answer {
    values: BTreeMap<String, String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// The secrets, each fetched when it is needed and again before it ends.
pub struct SystemSecrets {
    base: Url,
    http: Client,
    tokens: Arc<SystemTokens>,
    kept: Mutex<BTreeMap<String, Arc<Renewed<Secret>>>>,
}

impl fmt::Debug for SystemSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemSecrets").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl SystemSecrets {
    /// Those under the address `base`, asked for with `tokens` and by the connections that those are fetched over. Nothing is
    /// fetched yet.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn new(base: &str, tokens: Arc<SystemTokens>) -> Result<Self, SecretError> {
        let address = || SecretError::Address(base.to_owned());
        let base: Url = format!("{}/", base.trim_end_matches('/')).parse().map_err(|_| address())?;
        let is_plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
        if !matches!(base.scheme(), "http" | "https") || !is_plain || base.fragment().is_some() {
            return Err(address());
        }
        Ok(Self { base, http: tokens.http().clone(), tokens, kept: Mutex::default() })
    }

    /// The secret of this name as it is now.
    ///
    /// # Errors
    /// See [`SecretError`]. One that has not ended goes on while the authority does not give another.
    pub async fn get(&self, name: &str) -> Result<Secret, SecretError> {
        if !is_name(name) {
            return Err(SecretError::Name(name.to_owned()));
        }
        let kept = {
            // No code panics while it holds the lock. Names come from the configuration, so there are few.
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(kept.entry(name.to_owned()).or_default())
        };
        kept.get(name, async || self.ask(name).await).await.map_err(|without| match without {
            Without::Failed(error) => error,
            Without::Paused(seconds) => SecretError::Paused { name: name.to_owned(), seconds },
        })
    }

    async fn ask(&self, name: &str) -> Result<(Secret, Duration), SecretError> {
        let exchange =
            |cause: reqwest::Error| SecretError::Exchange { name: name.to_owned(), cause: cause.without_url() };
        let unfit = |fault: &str| SecretError::Answer { name: name.to_owned(), fault: fault.to_owned() };
        let token = self.tokens.token().await.map_err(|cause| SecretError::Token { name: name.to_owned(), cause })?;
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| unfit("the token cannot be sent"))?;
        bearer.set_sensitive(true);
        let url = self.base.join(name).map_err(|_| SecretError::Name(name.to_owned()))?;
        let request = self.http.get(url).header(AUTHORIZATION, bearer).header(ACCEPT, "application/json");
        let mut response = request.send().await.map_err(exchange)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(SecretError::Refused { name: name.to_owned(), status });
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(piece) = response.chunk().await.map_err(exchange)? {
            if body.len() + piece.len() > MAX_BODY {
                return Err(unfit("it is too long"));
            }
            body.extend_from_slice(&piece);
        }
        // What a parser says may quote what it read.
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|_| unfit("it is not of the form {\"values\": {\"name\": \"text\"}, \"expires_in\": seconds}"))?;
        let life = answer.expires_in.map_or(UNTOLD, Duration::from_secs).min(MOST);
        let values = answer.values.into_iter().map(|(member, value)| (member, Zeroizing::new(value))).collect();
        let secret = Secret { name: name.to_owned(), values: Arc::new(values), expires_at: SystemTime::now() + life };
        Ok((secret, life))
    }
}

/// Whether a text names a secret: nothing in it leads out of the address or has to be escaped in it.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain);
    text.len() <= MAX_NAME && text.split('/').all(part)
}
