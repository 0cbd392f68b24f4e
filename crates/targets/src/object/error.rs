//! What the errors of the S3 client mean.

use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::error::TargetError;

/// Codes of answers that are worth another try, whatever their status (S3 API reference, "Error responses").
const COME_BACK: [&str; 6] = [
    "SlowDown",
    "RequestTimeout",
    "ServiceUnavailable",
    "InternalError",
    "OperationAborted",
    "ConditionalRequestConflict",
];

/// The failure of `act`.
pub(super) fn failed<E>(act: String, error: SdkError<E, HttpResponse>) -> TargetError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let after = error
        .raw_response()
        .and_then(|response| response.headers().get("retry-after")?.trim().parse().ok())
        .map(Duration::from_secs);
    if is_transient(&error) {
        TargetError::Unavailable { act, after, cause: Box::new(error) }
    } else {
        TargetError::Refused { act, cause: Box::new(error) }
    }
}

fn is_transient<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    match status(error) {
        Some(status) => {
            status >= 500 || matches!(status, 408 | 429) || code.is_some_and(|code| COME_BACK.contains(&code))
        }
        // No answer at all, or half of one.
        None => !matches!(error, SdkError::ConstructionFailure(_)),
    }
}

/// The status of the answer, where there was one.
pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
