//! Which registries there are.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

/// Who pushes, and what shows it. Printed nowhere.
#[derive(Clone, Default)]
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub struct Login {
    /// The user; empty means nobody in particular.
    pub user: String,
    /// The user's password, or the token that stands for it.
    pub password: String,
}

/// Whoever keeps a login, and changes it. It is asked each time that a registry asks, so it keeps the login until that ends.
#[async_trait]
pub trait LoginSource: fmt::Debug + Send + Sync {
    /// The login as it is now.
    ///
    /// # Errors
    /// When there is none at present; the hand-over that waits for it is tried again.
    async fn login(&self) -> Result<Login, Box<dyn Error + Send + Sync>>;
}

/// A registry that bundles are pushed to. Its password is printed nowhere.
#[derive(Clone, Default)]
pub struct OciRegistry {
    /// Host, with a port where it is not 443, such as `registry.example:5000`. A profile picks it by this name.
    pub host: String,
    /// Whoever keeps the login; absent: the two below.
    pub login: Option<Arc<dyn LoginSource>>,
    /// Who pushes; empty means nobody in particular.
    pub user: String,
    /// The user's password, or the token that stands for it.
    pub password: String,
    /// Certificates (PEM) that its own may come from, beside those that the system trusts.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether it speaks HTTP without TLS.
    pub plain_http: bool,
    /// What the names of all repositories begin with, such as `exports/prod`; may be empty.
    pub prefix: String,
}

impl fmt::Debug for OciRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OciRegistry")
            .field("host", &self.host)
            .field("user", &self.user)
            .field("plain_http", &self.plain_http)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// What is wrong with the settings of a registry.
#[derive(Debug, thiserror::Error)]
pub enum OciSettingsError {
    /// The host is none.
    #[error(
        "`{0}` is no host of a registry; use one such as `registry.example:5000`, without `https://` and without a path"
    )]
    Host(String),
    /// Two registries have one host.
    #[error("`{0}` is named twice")]
    Twice(String),
    /// The prefix cannot be the beginning of a repository's name.
    #[error(
        "prefix `{0}` cannot begin the name of a repository; use lower-case letters and digits, `.`, `_` or `-` between them, and `/` \
         between names"
    )]
    Prefix(String),
    /// The certificates, or the client, cannot be used.
    #[error("the certificates for `{host}` cannot be used")]
    Client {
        /// Of which registry.
        host: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
}

/// Whether a text may begin the name of a repository (OCI distribution specification, "Pulling manifests").
pub(super) fn is_prefix(text: &str) -> bool {
    let separator = |byte: u8| matches!(byte, b'.' | b'_' | b'-');
    let name = |name: &str| {
        let bytes = name.as_bytes();
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        ends(bytes.first())
            && ends(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase() || separator(*byte))
            && !bytes.windows(2).any(|pair| matches!(pair, [a, b] if separator(*a) && separator(*b)))
    };
    text.len() <= 100 && text.split('/').all(name)
}
