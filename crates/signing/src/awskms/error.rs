//! How KMS fails, and which failures pass by themselves.

use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::key::KeyError;
use crate::signer::SignError;

/// Errors of the service that pass by themselves, beside every 5xx and 429
/// (<https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html> and those of `Sign`).
const PASSING: [&str; 7] = [
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
    "RequestExpired",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ThrottlingException",
];

/// Why KMS gave no key or no signature.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// No answer, not all of it, or not in time; or one that says that it will pass.
    #[error("KMS cannot {act} now{said}")]
    Unavailable {
        /// What was asked for.
        act: &'static str,
        /// The service's error code, after a colon; empty when there was no answer.
        said: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The service refuses: no such key, no permission, a key that is disabled.
    #[error("KMS does not {act}{said}")]
    Refused {
        /// What was asked for.
        act: &'static str,
        /// The service's error code and message.
        said: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The key is another one than can be used here.
    #[error("the {what} of the key at KMS is {found}, use {use_this}")]
    Spec {
        /// Spec or usage.
        what: &'static str,
        /// Which it is.
        found: String,
        /// Which it should be.
        use_this: &'static str,
    },
    /// The public half cannot be read.
    #[error("the public key at KMS cannot be used; make the key with spec ECC_NIST_P256")]
    Key(#[source] KeyError),
    /// The answer holds neither ciphertext nor plaintext.
    #[error("the answer of KMS holds no text")]
    NoText,
    /// The answer holds no signature.
    #[error("the answer of KMS holds no signature")]
    Nothing,
}

impl KmsError {
    pub(super) fn of<E>(act: &'static str, cause: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let status = cause.raw_response().map(|response| response.status().as_u16());
        let passes = match &cause {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
            SdkError::ServiceError(error) => {
                matches!(status, Some(429 | 500..)) || error.err().code().is_some_and(|code| PASSING.contains(&code))
            }
            _ => false,
        };
        let said = match (cause.code(), cause.message()) {
            (Some(code), Some(message)) => format!(": {code}: {message}"),
            (Some(code), None) => format!(": {code}"),
            _ => String::new(),
        };
        let cause = Box::new(cause);
        if passes { Self::Unavailable { act, said, cause } } else { Self::Refused { act, said, cause } }
    }

    /// Whether another try may help; all else waits for an operator.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(super) fn judged(self) -> SignError {
        if self.is_transient() { SignError::Unavailable(Box::new(self)) } else { SignError::Refused(Box::new(self)) }
    }
}
