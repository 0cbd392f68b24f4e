//! Exit codes: one table for every command (architecture section 8).

use std::path::PathBuf;
use std::process::ExitCode;

use export_client::{ClientError, CredentialsError, DownloadError};
use export_contract::run::RunStatus;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Unexpected,
    Usage,
    Permission,
    NotFound,
    Busy,
    DigestMismatch,
    /// The code that the verifier or the site gives: 10 to 17 for faults of the bundle.
    Verify(u8),
    Differences,
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Unexpected => 1,
            Exit::Usage => 2,
            Exit::Permission => 3,
            Exit::NotFound => 4,
            Exit::Busy => 6,
            Exit::DigestMismatch => 13,
            Exit::Verify(code) => code,
            Exit::Differences => 20,
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot start")]
    Start(#[source] std::io::Error),
    #[error("no credentials: give --credentials FILE, set EXPORT_CREDENTIALS, or run `exportctl login`")]
    NoCredentials,
    #[error(transparent)]
    Credentials(CredentialsError),
    #[error(transparent)]
    Client(ClientError),
    #[error(transparent)]
    Download(DownloadError),
    #[error("cannot {act} `{}`", path.display())]
    File {
        act: &'static str,
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("`{}` is not JSON", path.display())]
    Json {
        path: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
    #[error("{0}")]
    Usage(String),
    #[error("run {run} ended as {status}: {reason}")]
    RunEnded { run: String, status: RunStatus, reason: String },
    #[error("run {run} is `{status}` and has no bundle")]
    NoBundle { run: String, status: RunStatus },
    #[error("another download writes into `{}`: wait for its end, or name another folder with --dir", .0.display())]
    FolderBusy(PathBuf),
    #[error("nothing was applied")]
    Site(#[source] export_site::SiteError),
    #[error("cannot keep the site's key")]
    SiteKey(#[source] export_signing::KeyFileError),
    #[error("cannot use the approver's key")]
    SigningKey(#[source] export_signing::KeyFileError),
    #[error("cannot sign the approval")]
    Approval(#[source] export_signing::SignError),
    #[error("cannot sign the receipt; what was applied is in use")]
    Receipt(#[source] export_signing::SignError),
    #[error("cannot compare or look into the bundle")]
    Mirror(#[source] export_mirror::MirrorError),
    #[error("verification failed")]
    Verify {
        code: u8,
        #[source]
        cause: export_verify::VerifyError,
    },
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Start(_) | Self::RunEnded { .. } => Exit::Unexpected,
            Self::NoCredentials | Self::Usage(_) | Self::Json { .. } => Exit::Usage,
            Self::Credentials(_) => Exit::Permission,
            Self::Client(error) => client_exit(error),
            Self::Download(DownloadError::Server(error)) => client_exit(error),
            Self::Download(DownloadError::Mismatch { .. }) => Exit::DigestMismatch,
            Self::Download(DownloadError::File { .. }) => Exit::Unexpected,
            Self::File { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => Exit::NotFound,
            Self::File { .. } => Exit::Unexpected,
            Self::NoBundle { .. } => Exit::NotFound,
            Self::FolderBusy(_) => Exit::Busy,
            Self::Verify { code, .. } => Exit::Verify(*code),
            Self::Site(fault) => Exit::Verify(fault.exit_code()),
            Self::SiteKey(_) | Self::SigningKey(_) | Self::Approval(_) | Self::Receipt(_) => Exit::Unexpected,
            Self::Mirror(fault) if fault.is_hostile() => Exit::Verify(14),
            Self::Mirror(_) => Exit::Unexpected,
        }
    }
}

fn client_exit(error: &ClientError) -> Exit {
    match error {
        ClientError::Unreachable { .. } => Exit::Busy,
        ClientError::Credentials(_) | ClientError::LoginRefused(_) => Exit::Permission,
        ClientError::Unreadable { .. } | ClientError::Proof(_) => Exit::Unexpected,
        ClientError::Refused(problem) => match problem.status {
            401 | 403 => Exit::Permission,
            404 => Exit::NotFound,
            400 | 409 | 413 | 415 | 416 | 422 => Exit::Usage,
            429 | 503 => Exit::Busy,
            _ => Exit::Unexpected,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure};

    #[test]
    fn a_missing_file_is_not_found_and_a_bad_flag_is_usage() {
        let absent =
            Failure::File { act: "read", path: "x".into(), cause: std::io::Error::from(std::io::ErrorKind::NotFound) };
        assert_eq!(absent.exit(), Exit::NotFound);
        assert_eq!(Failure::Usage(String::new()).exit(), Exit::Usage);
    }
}
