//! How mirrors are unfit.

use std::io;

use export_canon::zst::ZstError;

/// Why a mirror or a delta cannot be read, compared or put together.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// A document of ours is not one.
    #[error("`{path}` cannot be read")]
    Document {
        /// Which.
        path: String,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// It is of another schema or a later major version.
    #[error("`{path}` is of schema `{schema}` version `{version}`, which this build does not read")]
    Version {
        /// Which.
        path: String,
        /// Its schema.
        schema: String,
        /// Its version.
        version: String,
    },
    /// It contradicts itself or what was signed.
    #[error("`{path}`: {rule}")]
    Rule {
        /// Which file.
        path: String,
        /// What does not hold.
        rule: &'static str,
    },
    /// A line is not one of its file's form.
    #[error("line {number} of `{path}` has no key")]
    Line {
        /// Which file.
        path: String,
        /// Which line, from 1.
        number: u64,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
    /// Lines do not rise.
    #[error("line {number} of `{path}` is not behind the line before it")]
    Order {
        /// Which file.
        path: String,
        /// Which line, from 1.
        number: u64,
    },
    /// A frame is not the one that the index names.
    #[error("the frame at byte {offset} of `{path}` is not the one that its index names")]
    Frame {
        /// Which file.
        path: String,
        /// Where it begins.
        offset: u64,
    },
    /// Compressed bytes cannot be read or made.
    #[error("cannot process a frame of `{path}`")]
    Zstd {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        cause: ZstError,
    },
    /// Reading or writing failed.
    #[error("cannot {act} `{path}`")]
    Io {
        /// What was tried.
        act: &'static str,
        /// With which file.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl MirrorError {
    pub(crate) fn rule(path: &str, rule: &'static str) -> Self {
        Self::Rule { path: path.to_owned(), rule }
    }

    /// Whether the bytes are to blame, and not the machine.
    pub fn is_hostile(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}
