//! `/v2`: finished bundles as a registry that is only read (OCI distribution specification 1.1), so that scanners and registries' tools pull
//! them as they pull anything else.
//!
//! [`name`] reads the path, [`access`] says whose repositories a caller sees, [`repository`] finds the runs behind a name, [`image`] makes
//! of a run what is pulled. Nothing is stored: a manifest is made from what is staged, and is the same at every gateway.

mod access;
mod answers;
mod image;
mod name;
mod refusal;
mod repository;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use export_contract::run::Run;
use export_contract::{Generation, RunId, TenantId};
use http::{Method, StatusCode};
use warp::reply::Response;

use self::image::Image;
use self::name::Asked;
use self::refusal::Refusal;
use crate::request::Incoming;
use crate::routes::json_response;
use crate::state::Gateway;

/// Runs of which the manifests are kept in memory.
const KEPT: usize = 1_000;

/// What the registry goes by, and the manifests that it made last.
pub struct Registry {
    /// Tenants whose bundles anybody may pull.
    anonymous: BTreeSet<TenantId>,
    /// Where clients reach this gateway, where that is not what they say in `Host`.
    public_url: Option<String>,
    /// What the listener speaks.
    scheme: &'static str,
    /// By run, and so by time: what a run made never changes.
    images: Mutex<BTreeMap<(RunId, Generation), Arc<Image>>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("anonymous", &self.anonymous).finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry in which anybody may pull the bundles of the `anonymous` tenants. Clients fetch tokens at `public_url`, such as
    /// `https://export.example`; where that is empty, at the host that they name, over TLS where `tls` says so.
    pub fn new(anonymous: BTreeSet<TenantId>, public_url: &str, tls: bool) -> Self {
        let public_url = Some(public_url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
        Self { anonymous, public_url, scheme: if tls { "https" } else { "http" }, images: Mutex::default() }
    }

    /// Whether anybody may pull what is a tenant's.
    pub(crate) fn is_open(&self, tenant: &TenantId) -> bool {
        self.anonymous.contains(tenant)
    }

    /// What addresses for the caller of `request` begin with.
    pub(crate) fn base(&self, request: &Incoming) -> String {
        self.public_url.clone().unwrap_or_else(|| self.named_host(request))
    }

    /// The host that a request names, over what the listener speaks.
    pub(crate) fn named_host(&self, request: &Incoming) -> String {
        let host = request.header("host").filter(|host| access::is_host(host)).unwrap_or("localhost");
        format!("{}://{host}", self.scheme)
    }

    /// Whether clients reach this gateway over TLS.
    pub(crate) fn is_secured(&self) -> bool {
        self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }

    /// Where clients reach this gateway, where that is known.
    pub(crate) fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    fn kept(&self, run: &Run) -> Option<Arc<Image>> {
        let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.get(&(run.id.clone(), run.generation)).cloned()
    }

    fn keep(&self, run: &Run, image: &Arc<Image>) {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.insert((run.id.clone(), run.generation), image.clone());
        if images.len() > KEPT {
            // Run ids sort by time: the oldest is pulled least.
            images.pop_first();
        }
    }
}

/// Answers a request for `/v2/<tail>`.
pub(crate) async fn answer(gateway: &Gateway, method: &Method, tail: &str, request: Incoming) -> Response {
    let answered = match *method {
        Method::GET | Method::HEAD => pull(gateway, *method == Method::HEAD, tail, &request).await,
        _ => Err(Refusal::read_only()),
    };
    let mut response = answered.unwrap_or_else(Refusal::into_response);
    refusal::mark(&mut response);
    response
}

async fn pull(gateway: &Gateway, head: bool, tail: &str, request: &Incoming) -> Result<Response, Refusal> {
    match name::asked(tail)? {
        Asked::Base => {
            access::caller(gateway, request, None).await?;
            Ok(json_response(StatusCode::OK, &serde_json::json!({})))
        }
        Asked::Token => access::token(gateway, request),
        Asked::Of(repository, what) => {
            access::may_pull(gateway, request, &repository).await?;
            answers::of(gateway, &repository, what, head, request).await
        }
    }
}
