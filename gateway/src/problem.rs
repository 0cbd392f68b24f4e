//! Answers that are not a success (RFC 9457, design D9).

use export_contract::selectors::SelectorError;
use export_contract::{ErrorCode, Timestamp};
use export_pipeline::QueueError;
use export_runs::RunStoreError;
use export_runs::submit::SubmitError;
use http::{HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use warp::reply::Response;

use crate::state::{new_id, now};

/// A problem on its way to a client. What is for the log only goes to the log where the problem is made.
#[derive(Clone, Debug)]
pub struct Problem {
    code: ErrorCode,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A member of the request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldError {
    /// Where, such as `selectors.window.last`.
    pub path: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// What is not a success (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Problem")]
pub(crate) struct Document<'a> {
    /// `urn:export-center:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'a str,
    /// HTTP status.
    status: u16,
    /// What is wrong and what would be right, for people.
    detail: &'a str,
    /// For programs.
    code: ErrorCode,
    /// Finds the request in the log.
    trace_id: String,
    /// When.
    timestamp: Timestamp,
    /// The members at fault, all of them.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem with its explanation for people.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// The same with the members at fault.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The same with a header of the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The answer.
    pub fn into_response(self) -> Response {
        let status = status(self.code);
        let trace_id = new_id().to_string();
        tracing::info!(error_code = %self.code, status = status.as_u16(), trace_id, detail = self.detail, "request refused");
        let document = Document {
            kind: format!("urn:export-center:problem:{}", self.code),
            title: title(self.code),
            status: status.as_u16(),
            detail: &self.detail,
            code: self.code,
            trace_id,
            timestamp: now(),
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = Response::new(bytes::Bytes::from(body).into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("DPoP algs=\"ES256 EdDSA RS256\"");
            headers.insert(http::header::WWW_AUTHENTICATE, challenge);
        }
        if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // Some of the body may still be under way: nothing else can come over this connection.
            headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        headers.extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response.extensions_mut().insert(self.code);
        response
    }
}

impl From<RunStoreError> for Problem {
    fn from(error: RunStoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "run ledger failed");
        match error {
            RunStoreError::Unavailable { .. } => {
                Self::new(ErrorCode::Unavailable, "the run ledger does not answer, try again")
            }
            RunStoreError::Refused { .. } => Self::new(ErrorCode::Internal, "the run ledger refused the request"),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Ledger(error) => error.into(),
            SubmitError::Refused { code, problem, faults } => {
                let errors = faults.into_iter().map(|SelectorError { path, problem }| FieldError { path, problem });
                Self::new(code, problem).with_errors(errors.collect())
            }
        }
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the broker failed");
        Self::new(ErrorCode::Unavailable, "the broker does not answer, try again")
    }
}

impl From<export_blobs::BlobError> for Problem {
    fn from(error: export_blobs::BlobError) -> Self {
        use export_blobs::BlobError;
        tracing::error!(error = &error as &dyn std::error::Error, "staging failed");
        match error {
            BlobError::NotFound(_) => Self::new(ErrorCode::NotReady, "the bundle is no longer in staging"),
            BlobError::TooLarge { .. } | BlobError::Refused { .. } => {
                Self::new(ErrorCode::Internal, "staging refused the request")
            }
            BlobError::Unavailable { .. } => Self::new(ErrorCode::Unavailable, "staging does not answer, try again"),
        }
    }
}

/// The one table of codes and statuses.
pub(crate) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidRequest
        | ErrorCode::InvalidSelector
        | ErrorCode::InvalidProfile
        | ErrorCode::InvalidSchedule
        | ErrorCode::InvalidWebhook => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::ScopeMissing | ErrorCode::TenantMismatch | ErrorCode::LinkInvalid | ErrorCode::ApprovalInvalid => {
            StatusCode::FORBIDDEN
        }
        ErrorCode::ProfileNotFound
        | ErrorCode::RunNotFound
        | ErrorCode::ScheduleNotFound
        | ErrorCode::WebhookNotFound
        | ErrorCode::DeadLetterNotFound
        | ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::ProfileExists
        | ErrorCode::ScheduleExists
        | ErrorCode::WebhookConflict
        | ErrorCode::RunConflict
        | ErrorCode::NotReady
        | ErrorCode::SnapshotChanged
        | ErrorCode::ProfileInUse
        | ErrorCode::IdempotencyInFlight
        | ErrorCode::IdempotencyDone => StatusCode::CONFLICT,
        ErrorCode::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorCode::Pruned => StatusCode::GONE,
        ErrorCode::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorCode::ProfileUnsupported
        | ErrorCode::SchemaUnsupported
        | ErrorCode::IdempotencyMismatch
        | ErrorCode::Empty
        | ErrorCode::SnapshotMissing
        | ErrorCode::BaseMissing
        | ErrorCode::BaseMismatch
        | ErrorCode::AocViolation
        | ErrorCode::DistributionRefused
        | ErrorCode::Offline => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::Quota => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable | ErrorCode::SourceUnreadable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::AdapterFailed
        | ErrorCode::ArtefactCorrupt
        | ErrorCode::EncryptionFailed
        | ErrorCode::SigningFailed
        | ErrorCode::DistributionFailed
        | ErrorCode::Exhausted
        | ErrorCode::Poisoned
        | ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn title(code: ErrorCode) -> &'static str {
    status(code).canonical_reason().unwrap_or("Error")
}
