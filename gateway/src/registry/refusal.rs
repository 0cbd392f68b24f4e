//! Answers that are not a success, in the form that registries' clients read (OCI distribution specification 1.1, "Error Codes").

use export_blobs::BlobError;
use export_contract::LogEvent;
use export_runs::RunStoreError;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use warp::reply::Response;

use crate::routes::json_response;

/// A refusal: one error, with its status.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    pub(super) fn name_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "there is no such repository, or it is not yours")
    }

    pub(super) fn name_invalid() -> Self {
        let rule = "a repository is TENANT/PROFILE, each of 1 to 64 lower-case letters, digits and inner hyphens";
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", rule)
    }

    pub(super) fn digest_invalid() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "a digest here is `sha256:` and 64 lower-case hex digits")
    }

    pub(super) fn manifest_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "the repository has no such manifest")
    }

    pub(super) fn expired(run: &export_contract::RunId) -> Self {
        let why = format!("run {run} is no longer kept: its retention is over");
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", why)
    }

    pub(super) fn blob_unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "the repository has no such blob")
    }

    pub(super) fn read_only() -> Self {
        let why = "this registry is only read: runs of Export Center make what is in it";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", why).with_header(header::ALLOW, "GET, HEAD")
    }

    pub(super) fn unavailable(what: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", format!("{what} does not answer, try again"))
            .with_header(header::RETRY_AFTER, "5")
    }

    pub(super) fn broken(what: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", what)
    }

    pub(super) fn into_response(self) -> Response {
        let Self { status, code, message, headers } = self;
        tracing::info!(event = %LogEvent::PullRefused, error_code = code, status = status.as_u16(), detail = message, "pull refused");
        let mut response = json_response(status, &json!({ "errors": [{ "code": code, "message": message }] }));
        response.headers_mut().extend(headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

/// What a registry says of itself in every answer.
pub(super) fn mark(response: &mut Response) {
    let name = HeaderName::from_static("docker-distribution-api-version");
    response.headers_mut().insert(name, HeaderValue::from_static("registry/2.0"));
}

impl From<RunStoreError> for Refusal {
    fn from(error: RunStoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "run ledger failed");
        match error {
            RunStoreError::Unavailable { .. } => Self::unavailable("the run ledger"),
            RunStoreError::Refused { .. } => Self::broken("the run ledger refused the request"),
        }
    }
}

impl From<BlobError> for Refusal {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NotFound(_) => return Self::blob_unknown(),
            BlobError::TooLarge { .. } | BlobError::Refused { .. } | BlobError::Unavailable { .. } => {}
        }
        tracing::error!(error = &error as &dyn std::error::Error, "staging failed");
        if matches!(error, BlobError::Unavailable { .. }) {
            Self::unavailable("staging")
        } else {
            Self::broken("staging refused the request")
        }
    }
}
