//! The operators' side of every role: liveness, readiness and metrics, on a listener of their own (design D24).

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use http::{HeaderValue, StatusCode, header};
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use warp::reply::Response;
use warp::{Filter, Reply};

use crate::routes::json_response;

/// How long strangers are told what was found.
const FRESH: Duration = Duration::from_secs(2);

/// One dependency that readiness asks.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Its name in the answer: `ledger`, `staging`, `broker`, `signer`, ….
    fn name(&self) -> &'static str;

    /// Asks it.
    ///
    /// # Errors
    /// A text for operators that says what does not work.
    async fn check(&self) -> Result<(), String>;
}

/// Whether a role can do its work.
pub struct Health {
    role: &'static str,
    adapters: Option<String>,
    probes: Vec<Arc<dyn Probe>>,
    /// What strangers were told last, and when.
    told: Mutex<Option<(Instant, bool)>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("role", &self.role).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Health {
    /// The health of `role`; `adapters` is the digest of the adapter registry, where the role has one.
    pub fn new(role: &'static str, adapters: Option<String>, probes: Vec<Arc<dyn Probe>>) -> Self {
        Self { role, adapters, probes, told: Mutex::default() }
    }

    /// Asks every dependency at once.
    async fn checks(&self) -> Vec<Check> {
        join_all(self.probes.iter().map(|probe| async {
            let outcome = tokio::time::timeout(Duration::from_secs(5), probe.check())
                .await
                .unwrap_or_else(|_| Err("no answer within 5 s".to_owned()));
            Check { name: probe.name(), ok: outcome.is_ok(), problem: outcome.err() }
        }))
        .await
    }

    /// For strangers: whether all are well, and nothing else. However many ask, dependencies are asked once in two seconds.
    pub async fn verdict(&self) -> Response {
        let mut told = self.told.lock().await;
        let ready = match *told {
            Some((at, ready)) if at.elapsed() < FRESH => ready,
            _ => {
                let ready = self.checks().await.iter().all(|check| check.ok);
                *told = Some((Instant::now(), ready));
                ready
            }
        };
        drop(told);
        let (status, text) = said(ready);
        json_response(status, &serde_json::json!({ "status": text }))
    }

    /// For operators: asks every dependency and names what is away; 200 when all are well, else 503.
    pub async fn answer(&self) -> Response {
        let checks = self.checks().await;
        let (status, text) = said(checks.iter().all(|check| check.ok));
        json_response(
            status,
            &serde_json::json!({
                "status": text,
                "role": self.role,
                "version": env!("CARGO_PKG_VERSION"),
                "adapterRegistry": self.adapters,
                "checks": checks,
            }),
        )
    }
}

fn said(ready: bool) -> (StatusCode, &'static str) {
    if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") }
}

/// Liveness touches no dependency.
pub(crate) fn live() -> Response {
    json_response(StatusCode::OK, &serde_json::json!({ "status": "live" }))
}

/// `/health/live`, `/health/ready` and `/metrics` of one role.
pub fn routes(
    health: Arc<Health>,
    metrics: Registry,
) -> impl Filter<Extract = (impl Reply + use<>,), Error = Infallible> + Clone {
    let ready = warp::path!("health" / "ready").and(warp::get()).then(move || {
        let health = health.clone();
        async move { health.answer().await }
    });
    let metrics = warp::path!("metrics").and(warp::get()).map(move || render(&metrics));
    warp::path!("health" / "live")
        .and(warp::get())
        .map(live)
        .or(ready)
        .unify()
        .or(metrics)
        .unify()
        .recover(|_| async { Ok::<_, Infallible>(StatusCode::NOT_FOUND.into_response()) })
}

fn render(metrics: &Registry) -> Response {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&metrics.gather(), &mut text) {
        tracing::error!(error = &error as &dyn std::error::Error, "metrics cannot be written");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut response = Response::new(bytes::Bytes::from(text).into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}
