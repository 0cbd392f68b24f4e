//! Where the public keys of an authority come from.

mod remote;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::jwk::VerifyingKey;

pub use self::remote::{KeyTiming, RemoteKeys, RemoteKeysError};

/// Most keys of one authority.
pub(crate) const MAX_KEYS: usize = 100;
/// Longest key id that is looked up.
pub(crate) const MAX_KEY_ID: usize = 256;

/// The keys of an authority cannot be had, and none that is known may stand in.
#[derive(Debug, thiserror::Error)]
#[error("the keys of the authority cannot be had")]
pub struct KeysUnavailable(#[source] pub Option<Arc<RemoteKeysError>>);

/// Gives the keys that an authority signs tokens with.
#[async_trait]
pub trait KeySource: Send + Sync + fmt::Debug {
    /// The key with this id; `None` where the authority lists none.
    ///
    /// # Errors
    /// When the authority cannot be asked.
    async fn key(&self, id: &str) -> Result<Option<Arc<VerifyingKey>>, KeysUnavailable>;
}

/// Keys that never change.
#[derive(Clone, Debug, Default)]
pub struct FixedKeys(BTreeMap<String, Arc<VerifyingKey>>);

impl FixedKeys {
    /// The usable keys of a key set (RFC 7517 section 5), by `kid`. Whatever cannot be used here is passed over, as that section asks.
    pub fn of_set(set: &Value) -> Self {
        let keys = set.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut usable = BTreeMap::new();
        for jwk in keys {
            let id = jwk.get("kid").and_then(Value::as_str).filter(|id| !id.is_empty() && id.len() <= MAX_KEY_ID);
            if let (Some(id), Ok(key)) = (id, VerifyingKey::from_jwk(jwk)) {
                // Of two keys with one id the first stands: a token cannot choose.
                usable.entry(id.to_owned()).or_insert_with(|| Arc::new(key));
            }
        }
        Self(usable)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Arc<VerifyingKey>> {
        self.0.get(id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[async_trait]
impl KeySource for FixedKeys {
    async fn key(&self, id: &str) -> Result<Option<Arc<VerifyingKey>>, KeysUnavailable> {
        Ok(self.get(id).cloned())
    }
}
