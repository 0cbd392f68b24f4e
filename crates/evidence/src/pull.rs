//! Pull: evidence that a peer keeps as BSON in MongoDB comes into our ledger (design D13; docs/decisions/0006).
//!
//! A peer's collections promise nothing but their `_id` index. A *pass* reads them in `_id` order, brings every document
//! into the canonical text that import would give it, and puts it aside in a *spool*, a SQLite file, together with the last
//! `_id`: one transaction a batch, so a pass that is interrupted goes on where it was, without loss or doubles. When all is read,
//! the spool's index is the external sort: documents are taken in an order that does not depend on `_id`, those that a later
//! revision supersedes are passed over, and the rest goes into the ledger as one import, visible all at once.
//!
//! The next pull begins at the first `_id` again: a peer may add documents anywhere in that order. What is there already
//! changes nothing.
//!
//! A peer may also be a Findings Ledger that is read over HTTP, page by page: the same passes, the same spool, the same promises, with
//! the token of the next page in the place of the last `_id`.

mod fields;
mod filter;
mod http;
mod line;
mod read;
mod settle;
mod spool;
mod take;
mod text;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use export_contract::{LogEvent, RecordKind};
use export_mongo::MongoError;
use export_mongo::mongodb::Database;
use export_sqlite::SqliteError;

use self::spool::{Pass, Spool};
use crate::LedgerError;
use crate::import::{ImportOptions, ImportProgress, ImportSummary};
use crate::remote::{Remote, RemoteError, RemoteSettings};

/// A Findings Ledger of somebody else, which is read over HTTP.
#[derive(Clone, Debug)]
pub struct HttpPeer {
    /// How it is reached; `ledger/export/<stream>` comes behind the address.
    pub server: RemoteSettings,
    /// Its streams, in the order in which they are read.
    pub streams: Vec<PeerCollection>,
}

/// A ledger of somebody else, which is only ever read.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its database, see [`export_mongo::connect`].
    pub database: Database,
    /// The servers that hold it, see [`export_mongo::servers`]: a pass is not continued on another one.
    pub servers: String,
    /// Its collections, in the order in which they are read.
    pub collections: Vec<PeerCollection>,
}

/// A collection of raw documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCollection {
    /// Its name.
    pub name: String,
    /// What it holds. Decides where a format serves two kinds, as a folder's name does in an import.
    pub kind: RecordKind,
}

/// A pull that could not be finished. What was read is kept and the next pull goes on from there; nothing of it is visible.
/// Refused documents are no errors.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The peer does not answer, or refuses.
    #[error("cannot read the peer's evidence; what was read is kept, pull again to go on")]
    Peer(#[source] MongoError),
    /// The peer's server does not answer, or gives what it must not give.
    #[error("cannot read the peer's `{stream}`; what was read is kept, pull again to go on")]
    Remote {
        /// Which stream.
        stream: String,
        /// Why.
        #[source]
        cause: RemoteError,
    },
    /// A collection that was named is not there; an empty one would be.
    #[error("the peer's database `{database}` has no collection `{collection}`")]
    NoCollection {
        /// The database.
        database: String,
        /// The collection.
        collection: String,
    },
    /// A document of the peer has no `_id` by which the reading could go on.
    #[error("a document in `{collection}` of the peer cannot be read")]
    Document {
        /// The collection.
        collection: String,
        /// Why.
        #[source]
        cause: export_mongo::bson::raw::Error,
    },
    /// Another pull of this tenant is at work with the same spool.
    #[error("another pull is at work with `{}`", .path.display())]
    InProgress {
        /// Its lock.
        path: PathBuf,
    },
    /// The spool's files cannot be made or removed.
    #[error("cannot use the spool `{}`", .path.display())]
    SpoolFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The spool fails.
    #[error("cannot keep what was read")]
    Spool(#[source] SqliteError),
    /// The reject file cannot be written.
    #[error("cannot write the reject file `{}`", .path.display())]
    RejectFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The ledger fails.
    #[error("cannot store what was read")]
    Store(#[source] LedgerError),
    /// A thread of the pull ended before its time.
    #[error("the {0} of the pull stopped unexpectedly")]
    Stopped(&'static str),
}

impl PullError {
    /// Whether the same pull may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Peer(cause) => cause.is_transient(),
            Self::Remote { cause, .. } => cause.is_transient(),
            Self::Spool(cause) => cause.is_transient(),
            Self::Store(cause) => cause.is_transient(),
            Self::InProgress { .. } => true,
            _ => false,
        }
    }
}

/// Pulls everything that `peer` holds for the tenant of `options`, or goes on with the pass that `folder` keeps for it.
///
/// `options.observed_at` counts for documents that do not say when they were fetched, and no document counts as observed
/// after it; a pass that goes on keeps the time of its beginning. Everything becomes visible at once at the end. The
/// reject file names all that was refused in the whole pass. Documents that a later revision supersedes count as skipped.
///
/// # Errors
/// [`PullError`]; refused documents are counted in the summary instead.
pub async fn pull(
    ledger: &dyn crate::EvidenceLedger,
    peer: &Peer,
    folder: &Path,
    options: ImportOptions,
    progress: Arc<dyn ImportProgress>,
) -> Result<ImportSummary, PullError> {
    let place = peer.database.name();
    let pass = Pass::new([&peer.servers, place], &peer.collections, &options);
    let (spool, pass) = begin(folder, &pass).await?;
    let options = ImportOptions { observed_at: pass.begun, ..options };
    read::check(peer).await?;
    for collection in &peer.collections {
        read::collection(peer, collection, &spool, &options, &*progress).await?;
    }
    settle(ledger, place, spool, &pass, &options).await
}

/// The same from a Findings Ledger over HTTP.
///
/// # Errors
/// As [`pull`].
pub async fn pull_http(
    ledger: &dyn crate::EvidenceLedger,
    peer: &HttpPeer,
    folder: &Path,
    options: ImportOptions,
    progress: Arc<dyn ImportProgress>,
) -> Result<ImportSummary, PullError> {
    let unusable = |cause| PullError::Remote { stream: "ledger/export".to_owned(), cause };
    let remote = Remote::new(&peer.server).map_err(unusable)?;
    let pass = Pass::new([remote.base(), http::PLACE], &peer.streams, &options);
    let (spool, pass) = begin(folder, &pass).await?;
    let options = ImportOptions { observed_at: pass.begun, ..options };
    for stream in &peer.streams {
        http::stream(&remote, stream, &spool, &options, &*progress).await?;
    }
    settle(ledger, http::PLACE, spool, &pass, &options).await
}

async fn begin(folder: &Path, pass: &Pass) -> Result<(Spool, Pass), PullError> {
    let (spool, pass) = Spool::open(folder, pass).await?;
    if pass.is_resumed {
        tracing::info!(event = %LogEvent::EvidenceResumed, begun = %pass.begun, "going on with the pull that was interrupted");
    }
    Ok((spool, pass))
}

async fn settle(
    ledger: &dyn crate::EvidenceLedger,
    place: &str,
    spool: Spool,
    pass: &Pass,
    options: &ImportOptions,
) -> Result<ImportSummary, PullError> {
    let summary = settle::settle(ledger, place, &spool, options).await?;
    tracing::info!(event = %LogEvent::EvidencePulled, begun = %pass.begun, "pulled all that the peer held when the pull began");
    spool.remove()?;
    Ok(summary)
}
