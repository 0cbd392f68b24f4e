//! What is counted about requests (`docs/metrics.md`). Labels are bounded: routes are those of the table of operations.

use std::time::Duration;

use http::Method;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use tokio::sync::OwnedSemaphorePermit;

use crate::openapi::OPERATIONS;

/// The label of whatever has none of its own.
const OTHER: &str = "(other)";

/// The metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    followers: IntGauge,
}

impl HttpMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When `registry` has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("exporter_http_requests_total", "Requests that were answered."),
                &["route", "method", "status"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "exporter_http_request_seconds",
                    "Seconds until an answer began; its body may take longer.",
                )
                .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
                &["route"],
            )?,
            followers: IntGauge::new("exporter_event_followers", "Clients that follow events.")?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.followers.clone()))?;
        Ok(metrics)
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, method: &Method, path: &str, status: u16, took: Duration) {
        let route = route(path);
        let method = match *method {
            Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PATCH
            | Method::PUT
            | Method::DELETE
            | Method::OPTIONS => method.as_str(),
            _ => OTHER,
        };
        self.requests.with_label_values(&[route, method, &status.to_string()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// Counts a follower for as long as it keeps its place.
    pub(crate) fn follower(&self, place: OwnedSemaphorePermit) -> Follower {
        self.followers.inc();
        Follower { followers: self.followers.clone(), _place: place }
    }
}

/// A follower with its place.
pub(crate) struct Follower {
    followers: IntGauge,
    _place: OwnedSemaphorePermit,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.followers.dec();
    }
}

/// The path of the operation that a request is for, with `{names}`.
pub(crate) fn route(path: &str) -> &'static str {
    let known = OPERATIONS.iter().find(|operation| operation.is_at(path)).map(|operation| operation.path);
    known.unwrap_or(if path == "/v2" || path.starts_with("/v2/") { "/v2/" } else { OTHER })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
    use prometheus::{Encoder as _, Registry, TextEncoder};

    use super::HttpMetrics;

    #[test]
    fn whatever_is_asked_for_there_are_no_more_series_than_routes() {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).unwrap();
        let secret = Method::from_bytes(b"KANAREK").unwrap();
        for number in 0..100 {
            for path in ["/api/export/runs/{}", "/v2/{}/blobs/{}", "/{}", "/api/export/runs/{}/{}"] {
                let path = path.replace("{}", &format!("kanarek{number}"));
                for method in [&Method::GET, &secret] {
                    metrics.answered(method, &path, 404, Duration::from_millis(1));
                }
            }
        }
        let mut page = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(!page.to_lowercase().contains("kanarek"), "{page}");
        let line = "exporter_http_requests_total{method=\"GET\",route=\"/api/export/runs/{id}\",status=\"404\"} 100\n";
        assert!(page.contains(line), "{page}");
        let series = page.lines().filter(|line| line.starts_with("exporter_http_requests_total{")).count();
        assert_eq!(series, 2 * 3, "{page}");
    }
}
