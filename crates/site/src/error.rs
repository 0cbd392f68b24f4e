//! How a change of a site is refused.

use std::io;
use std::path::PathBuf;

use export_contract::{Digest, Sequence};
use export_mirror::MirrorError;
use export_verify::VerifyError;

/// Why nothing was applied. The site is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// What came in does not verify.
    #[error("what was given does not verify")]
    Verify(#[source] VerifyError),
    /// The mirror that came out of it does not verify.
    #[error("the new mirror does not verify")]
    Result(#[source] VerifyError),
    /// What came in is no mirror.
    #[error("a bundle of `{0}` is no mirror: a site takes `mirror:full` and `mirror:delta`")]
    NotAMirror(String),
    /// The delta holds nothing that vouches for the mirror it leads to.
    #[error(
        "the delta comes without target.json.sig and target.json.sigstore.json, so nobody would vouch for the new mirror"
    )]
    TargetUnsigned,
    /// There is nothing that a delta could change.
    #[error("the site is empty: a delta needs the mirror {0}, apply that first")]
    NoBase(Digest),
    /// The delta was made for another mirror than the one that is here.
    #[error(
        "the delta builds upon the mirror {wanted}, here is {found}; apply the deltas between them first, in their order"
    )]
    WrongBase {
        /// What the delta names.
        wanted: Digest,
        /// What is here.
        found: Digest,
    },
    /// What came in is older than what is here.
    #[error(
        "it is at ledger position {}, here is position {} already; an older mirror is not taken without --allow-rollback",
        .offered.0, .here.0
    )]
    Rollback {
        /// Position of what came in.
        offered: Sequence,
        /// Position of what is here.
        here: Sequence,
    },
    /// What came in is another mirror, not another state of this one.
    #[error("the site holds the mirror `{here}`, this is `{offered}`; a site holds one mirror")]
    AnotherMirror {
        /// Tenant and profile of what is here.
        here: String,
        /// Of what came in.
        offered: String,
    },
    /// There is no state to go back to.
    #[error("there is no earlier state to go back to")]
    NoEarlierState,
    /// Base and delta do not fit, though they should.
    #[error("the delta cannot be put into its base")]
    Mirror(#[source] MirrorError),
    /// A document of ours in the site cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// The file system does not do what it should.
    #[error("cannot {act} `{}`", path.display())]
    Io {
        /// What was tried.
        act: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl SiteError {
    /// The exit code of this fault (architecture, section 8).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Verify(fault) | Self::Result(fault) => fault.exit_code(),
            Self::NotAMirror(_) => 14,
            Self::TargetUnsigned => 11,
            Self::NoBase(_) | Self::WrongBase { .. } | Self::Rollback { .. } | Self::AnotherMirror { .. } => 16,
            Self::NoEarlierState => 4,
            Self::Mirror(fault) if fault.is_hostile() => 13,
            Self::Mirror(_) | Self::Document { .. } | Self::Io { .. } => 1,
        }
    }

    /// Whether what came in is to blame, so that it is put into quarantine.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Document { .. } | Self::NoEarlierState) && self.exit_code() != 1
    }
}

/// Names what was tried with which path.
pub(crate) trait Tried<T> {
    fn tried(self, act: &'static str, path: &std::path::Path) -> Result<T, SiteError>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, act: &'static str, path: &std::path::Path) -> Result<T, SiteError> {
        self.map_err(|cause| SiteError::Io { act, path: path.to_owned(), cause })
    }
}
