//! How a server of others fails, and which failures pass by themselves.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a server of others gave nothing of use.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A file that a setting names cannot be read: the token or the certificates.
    #[error("cannot read `{}`", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The certificates cannot be used.
    #[error("`{}` holds no certificates in PEM", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// A setting, or an id that goes into an address, cannot be what it should be. Its text is not shown: it may be a secret.
    #[error("the server's {what} is not usable")]
    Setting {
        /// Which one.
        what: &'static str,
    },
    /// The authority gives no token for the server.
    #[error("there is no token for the server")]
    Bearer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No HTTP client can be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// No answer, not all of it, or not in time.
    #[error("the server does not answer, or not to the end")]
    Exchange(#[source] reqwest::Error),
    /// The answer is another status than 200.
    #[error("the server answered with status {status}{said}")]
    Status {
        /// Status.
        status: u16,
        /// What the server gave as reason, after a colon; empty when it gave none.
        said: String,
        /// The wait that it asks for.
        wait: Option<Duration>,
    },
    /// The answer goes on and on.
    #[error("the server's answer is longer than the {0} bytes that are read")]
    TooLong(usize),
    /// The body is not the one that the server's digest is of.
    #[error("the server's answer has not the digest that came with it")]
    Digest,
    /// The answer is of another media type than was asked for.
    #[error("the server's answer is `{found}`, expected `{expected}`")]
    Media {
        /// What came.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
    /// The answer is not of the documented form.
    #[error("the server's answer is not understood: {0}")]
    Form(String),
    /// The pages do not end: the same place came twice, or page after page without a line, or more lines than are read.
    #[error("the server's pages do not come to an end: {0}")]
    Endless(&'static str),
    /// The lines of all pages are not those that the server counted or digested at the end.
    #[error("the server's pages are not what its manifest says: {0}")]
    Manifest(String),
    /// The server gave what belongs to another tenant.
    #[error("the server gave something of tenant `{found}`, which is not the one that was asked for")]
    OtherTenant {
        /// Whose it is.
        found: String,
    },
}

impl RemoteError {
    /// Whether another try may help: the server is away or overloaded (status 408, 425, 429 and 5xx), the connection broke, or an
    /// agent is about to write the token file. All else waits for an operator.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Exchange(_) | Self::File { .. } | Self::Bearer(_) => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            _ => false,
        }
    }

    /// The same at once. A body that lost bytes on its way may come whole; if its digest is wrong each time, no later try helps.
    pub(super) fn is_worth_another_try(&self) -> bool {
        self.is_transient() || matches!(self, Self::Digest)
    }

    /// The wait that the server asks for.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Status { wait, .. } => *wait,
            _ => None,
        }
    }
}
