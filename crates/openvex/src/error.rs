//! How documents are refused.

use export_canon::CanonError;
use export_canon::tar::TarError;
use export_canon::zst::ZstError;

/// Why a repository cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenVexError {
    /// A document is no JSON object.
    #[error("an OpenVEX document cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// All statements together are more than is held.
    #[error("the OpenVEX statements have more than {limit} bytes")]
    TooMuch {
        /// How many are held.
        limit: u64,
    },
    /// A document cannot be written as canonical JSON.
    #[error("a document of the VEX repository cannot be written")]
    Write(#[source] CanonError),
    /// The archive cannot be written.
    #[error("the VEX repository cannot be packed")]
    Pack(#[source] TarError),
    /// The archive cannot be compressed.
    #[error("the VEX repository cannot be compressed")]
    Compress(#[source] ZstError),
}
