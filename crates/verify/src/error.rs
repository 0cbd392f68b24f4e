//! What can be wrong with a bundle, by exit code.

use std::path::PathBuf;

use export_canon::tar::TarError;
use export_contract::Digest;
use export_signing::SignatureInvalid;

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no bundle.
    #[error("no bundle at `{}`: give the folder that was downloaded, or the tar", .0.display())]
    NotFound(PathBuf),
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// No key was given.
    #[error("no key was given, and a signature by an unknown key proves nothing")]
    NoKey,
    /// A signature is not there.
    #[error("`{0}` is missing")]
    SignatureMissing(String),
    /// A signature by one of the keys is claimed and does not verify.
    #[error("the signature of {what} does not verify")]
    SignatureInvalid {
        /// Over which file.
        what: &'static str,
        /// Why.
        #[source]
        cause: Option<SignatureInvalid>,
    },
    /// Another key signed.
    #[error("{what} was signed by another key (hint {hint})")]
    WrongSigner {
        /// Which file.
        what: &'static str,
        /// What the bundle says of the key.
        hint: String,
    },
    /// Bytes are not those that were signed for.
    #[error("{what} has digest {found}, {expected} was signed for")]
    Digest {
        /// Which.
        what: String,
        /// Signed for.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// A number is not the one that was signed for.
    #[error("{what}: found {found}, {expected} was signed for")]
    Count {
        /// Which number of which file.
        what: String,
        /// Signed for.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// A file is not what it should be, or is not allowed.
    #[error("{0}")]
    Malformed(String),
    /// A file cannot be parsed.
    #[error("{what} cannot be read")]
    Unreadable {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another schema or version.
    #[error("export.json has schema `{schema}` version `{version}`, this build reads version 1")]
    Schema {
        /// Found.
        schema: String,
        /// Found.
        version: String,
    },
    /// The tar is hostile or damaged.
    #[error("the bundle tar is refused")]
    Tar(#[source] TarError),
    /// A `.zst` file does not decompress.
    #[error("`{path}` does not decompress")]
    Decompress {
        /// Which.
        path: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Too old.
    #[error("the bundle is too old: {0}")]
    TooOld(String),
    /// Something is missing.
    #[error("the bundle is incomplete: `{0}` is missing")]
    Incomplete(String),
}

impl VerifyError {
    /// The exit code (architecture section 8).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 4,
            Self::Read { .. } => 1,
            Self::NoKey => 2,
            Self::SignatureInvalid { .. } => 10,
            Self::SignatureMissing(_) => 11,
            Self::WrongSigner { .. } => 12,
            Self::Digest { .. } | Self::Count { .. } => 13,
            Self::Malformed(_)
            | Self::Unreadable { .. }
            | Self::Schema { .. }
            | Self::Tar(_)
            | Self::Decompress { .. } => 14,
            Self::TooOld(_) => 15,
            Self::Incomplete(_) => 17,
        }
    }
}
