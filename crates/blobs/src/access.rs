//! Access keys of S3 servers that somebody else keeps, and changes.

use std::error::Error;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;

/// An access key. Its secrets are printed nowhere.
#[derive(Clone)]
pub struct AccessKey {
    /// Id.
    pub id: String,
    /// Secret.
    pub secret: String,
    /// The session that it is for, where it is a temporary one.
    pub session_token: Option<String>,
    /// When it ends, if it does.
    pub expires_at: Option<SystemTime>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Whoever keeps an access key. It is asked for each request, so it keeps the key until that ends.
#[async_trait]
pub trait AccessKeySource: fmt::Debug + Send + Sync {
    /// The key as it is now.
    ///
    /// # Errors
    /// When there is none at present. What waits for it is tried again.
    async fn access_key(&self) -> Result<AccessKey, Box<dyn Error + Send + Sync>>;
}
