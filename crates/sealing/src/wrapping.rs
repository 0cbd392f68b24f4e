//! The port: a key that wraps the keys of runs.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;

use crate::secret::RunKey;

/// The run that a key is for. A keeper that can bind it refuses to unwrap the key for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Whose run.
    pub tenant: String,
    /// Its id.
    pub run: String,
}

/// A wrapped key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// What the keeper gave.
    pub bytes: Vec<u8>,
    /// The key that wrapped it, where that says more than the recipient.
    pub key_id: Option<String>,
}

/// Why a key was not wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// The keeper does not answer; worth another try.
    #[error("the key's keeper is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The keeper refuses for good: no such key, no permission, another run, changed bytes.
    #[error("the key's keeper refuses")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// This deployment has no access to such a keeper.
    #[error("this deployment has no {0}; set `{1}` in `[encryption]`")]
    NotConfigured(&'static str, &'static str),
    /// Only whoever holds the private half can unwrap.
    #[error("the private half of the key is not here")]
    NoPrivateHalf,
    /// Nobody but people with age identities was given the key.
    #[error("the key was given to age recipients only; they decrypt with `exportctl bundle decrypt --identity FILE`")]
    NoKeeper,
    /// What was unwrapped is no key of a run.
    #[error("what was unwrapped is no key of a run")]
    NotAKey,
}

/// Wraps the keys of runs. Every promise here is kept by the conformance suite, which each driver runs.
#[async_trait]
pub trait Wrapping: Send + Sync + fmt::Debug {
    /// Wraps a key. What comes back holds no byte of it in the clear, and differs each time.
    async fn wrap(&self, key: &RunKey, context: &Context) -> Result<Wrapped, WrapError>;

    /// Unwraps it. Changed bytes are refused.
    async fn unwrap(&self, wrapped: &[u8], context: &Context) -> Result<RunKey, WrapError>;

    /// Whether [`Self::unwrap`] refuses another [`Context`]. Age files have no place for one; in mode `aes-gcm` every chunk of every
    /// file is bound to its run anyway.
    fn binds_context(&self) -> bool;
}
