//! What is known of a request beside the request itself: noted on its way in, told on its way out.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use export_authority::Caller;
use export_contract::audit::AuditAction;
use export_contract::{RunId, TenantId, Timestamp};
use http::{HeaderMap, Method, Uri};

use crate::rates::Level;
use crate::state::{new_id, now};

/// Whose doing the request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) tenant: TenantId,
    pub(crate) actor: String,
    pub(crate) token_id: Option<String>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) id: RunId,
    pub(crate) at: Timestamp,
    /// None where a filter is called without a server.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) method: Method,
    /// The path, without the query: that may hold a signature.
    pub(crate) path: String,
    pub(crate) correlation_id: String,
    /// Whether it says who it is.
    pub(crate) has_credentials: bool,
    noted: Mutex<Noted>,
}

/// What came to be known while it was served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    pub(crate) who: Option<Who>,
    pub(crate) level: Option<Level>,
    /// It was refused since too many came.
    pub(crate) too_many: bool,
    /// The audit log says that this was about to be done.
    pub(crate) begun: Option<AuditAction>,
    /// What was made or changed, where neither path nor answer says it all.
    pub(crate) object: Option<String>,
}

impl Visit {
    pub(crate) fn new(peer: Option<IpAddr>, method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let id = new_id();
        let path = uri.path();
        let correlation_id = correlation(headers).unwrap_or_else(|| id.to_string());
        let proves = path == "/authority/token" || path.starts_with("/api/export/links/");
        Self {
            at: now(),
            peer,
            method: method.clone(),
            path: path.to_owned(),
            correlation_id,
            has_credentials: proves || headers.contains_key(http::header::AUTHORIZATION),
            noted: Mutex::default(),
            id,
        }
    }

    /// Notes something.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Noted)) {
        change(&mut self.noted.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was noted so far.
    pub(crate) fn noted(&self) -> Noted {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the caller for one of its tenants.
    pub(crate) fn note_caller(&self, caller: &Caller, tenant: &TenantId) {
        let who = Who {
            tenant: tenant.clone(),
            actor: caller.subject.clone(),
            token_id: Some(caller.token_id.clone()).filter(|id| !id.is_empty()),
        };
        self.note(|noted| noted.who = Some(who));
    }
}

/// The client's own correlation id, where it sends one that can stand in logs.
pub(crate) fn correlation(headers: &HeaderMap) -> Option<String> {
    headers
        .get("x-correlation-id")
        .and_then(|id| id.to_str().ok())
        .filter(|id| {
            (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        })
        .map(str::to_owned)
}
