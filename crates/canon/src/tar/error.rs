//! What can go wrong with an archive.

use std::io;

/// An archive could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The path may not stand in an archive.
    #[error("path `{path}` is not allowed in an archive: {problem}")]
    Path {
        /// The path, shortened, with control characters escaped.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Entries must come in strictly ascending byte order.
    #[error("path `{path}` does not come after `{before}`")]
    Order {
        /// The entry's path.
        path: String,
        /// The path of the entry before.
        before: String,
    },
    /// The body has fewer bytes than its header says.
    #[error("body of `{path}` ends after {got} of {size} bytes")]
    ShortBody {
        /// The entry's path.
        path: String,
        /// Bytes announced.
        size: u64,
        /// Bytes there are.
        got: u64,
    },
    /// The body has more bytes than its header says.
    #[error("body of `{path}` goes on after {size} bytes")]
    LongBody {
        /// The entry's path.
        path: String,
        /// Bytes announced.
        size: u64,
    },
    /// The body's source failed.
    #[error("cannot read the body of `{path}`")]
    ReadBody {
        /// The entry's path.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// An earlier call failed, so the archive is incomplete for good.
    #[error("the archive is broken by an earlier error")]
    Broken,
    /// The archive could not be read.
    #[error("cannot read the archive at byte {offset}")]
    Read {
        /// Bytes read before.
        offset: u64,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The archive is malformed, hostile or over a limit.
    #[error("archive refused at byte {offset}: {refusal}")]
    Refused {
        /// Where the entry's header or the damage starts.
        offset: u64,
        /// Why.
        refusal: Refusal,
    },
}

/// Why the reader refuses an archive.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The archive ends inside an entry or before its end marker.
    #[error("it is cut off")]
    Truncated,
    /// A header that is no `ustar` header, or a damaged one.
    #[error("invalid header: {0}")]
    Header(&'static str),
    /// Something other than a regular file.
    #[error("entry `{path}` is {kind}; only regular files are allowed")]
    Kind {
        /// The entry's path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A path that could leave the target folder or differ between systems.
    #[error("path `{path}` is not allowed: {problem}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The same path twice.
    #[error("path `{0}` occurs twice")]
    Duplicate(String),
    /// Two paths that are one on a system that ignores case.
    #[error("paths `{path}` and `{other}` differ in case only")]
    CaseCollision {
        /// The later path.
        path: String,
        /// The earlier path.
        other: String,
    },
    /// A path that is a file and a folder at once.
    #[error("path `{file}` is a file, but `{inside}` is inside it")]
    FileIsFolder {
        /// The file.
        file: String,
        /// The path that needs it to be a folder.
        inside: String,
    },
    /// Entries are not in ascending order.
    #[error("path `{path}` does not come after `{before}`")]
    Unsorted {
        /// The entry's path.
        path: String,
        /// The path of the entry before.
        before: String,
    },
    /// An extended header that is damaged or changes what an entry is.
    #[error("invalid extended header: {0}")]
    Pax(&'static str),
    /// A limit of [`TarLimits`](super::TarLimits) is exceeded.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Bytes other than zero where an archive has none: padding, or after the end.
    #[error("unexpected data {0}")]
    HiddenData(&'static str),
}
