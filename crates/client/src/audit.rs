//! The audit log, and what is left of the quotas.

use export_contract::Timestamp;
use export_contract::audit::AuditEntry;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::{Client, ClientError};

/// One page of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// The entries, newest first.
    pub entries: Vec<AuditEntry>,
    /// Hand this to the next call; absent at the end.
    pub next_cursor: Option<String>,
}

/// A quota, and what is left of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Which.
    pub name: String,
    /// How much there may be; absent where there is no end.
    pub limit: Option<u64>,
    /// How much there is.
    pub used: u64,
    /// How much is left.
    pub remaining: Option<u64>,
    /// When it begins anew, of one that is for a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Quotas {
    quotas: Vec<Quota>,
}

impl Client {
    /// The audit log of the tenant, newest first: pairs of `since`, `until`, `action`, `cursor` and `limit`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn audit(&self, query: &[(&str, String)]) -> Result<AuditPage, ClientError> {
        let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = format!("/api/export/audit?{}", pairs.join("&"));
        self.call("read the audit log", Method::GET, &path, None::<&()>).await
    }

    /// What the tenant has of its quotas.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn quotas(&self) -> Result<Vec<Quota>, ClientError> {
        let quotas: Quotas = self.call("read the quotas", Method::GET, "/api/export/quota", None::<&()>).await?;
        Ok(quotas.quotas)
    }
}
