//! Reading a peer's collections in `_id` order.

use std::time::Duration;

use export_mongo::bson::{Bson, RawDocumentBuf, doc};
use export_mongo::mongodb::Collection;
use export_mongo::perform;

use super::spool::Spool;
use super::take::{Taken, Taker};
use super::{Peer, PeerCollection, PullError, filter};
use crate::import::{ImportOptions, ImportProgress};

/// A batch goes into the spool when it reaches one of these.
const BATCH_BYTES: usize = 4 << 20;
const BATCH_DOCUMENTS: usize = 256;

/// Documents in one answer of the server. MongoDB itself ends an answer at 16 MiB; a server that does not, and gives an
/// answer that is too long, is asked for fewer.
const DOCUMENTS_PER_ANSWER: u32 = 64;

/// How often in a row a read that got nowhere is begun again, and the wait before the first time; it doubles.
const ROUNDS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Makes sure that the peer answers and has every collection that was named.
pub(super) async fn check(peer: &Peer) -> Result<(), PullError> {
    let act = format!("list the collections of `{}`", peer.database.name());
    let names = perform(&act, peer.database.list_collection_names()).await.map_err(PullError::Peer)?;
    match peer.collections.iter().find(|collection| !names.contains(&collection.name)) {
        None => Ok(()),
        Some(collection) => Err(PullError::NoCollection {
            database: peer.database.name().to_owned(),
            collection: collection.name.clone(),
        }),
    }
}

/// Reads one collection to its end, from where the spool says.
pub(super) async fn collection(
    peer: &Peer,
    collection: &PeerCollection,
    spool: &Spool,
    options: &ImportOptions,
    progress: &dyn ImportProgress,
) -> Result<(), PullError> {
    let (mut failures, mut wait, mut per_answer) = (0, FIRST_WAIT, DOCUMENTS_PER_ANSWER);
    let mut before = spool.cursor(&collection.name).await?;
    while !before.is_done {
        let outcome =
            Reader { peer, collection, spool, options, progress, per_answer }.read(before.after.clone()).await;
        let now = spool.cursor(&collection.name).await?;
        match outcome {
            Err(PullError::Peer(cause)) if cause.is_invalid_answer() && per_answer > 1 => per_answer /= 8,
            Err(PullError::Peer(cause)) if cause.is_transient() => {
                if now.after != before.after {
                    (failures, wait) = (0, FIRST_WAIT);
                }
                failures += 1;
                if failures > ROUNDS {
                    return Err(PullError::Peer(cause));
                }
                tracing::warn!(
                    error = &cause as &dyn std::error::Error,
                    "the peer failed, going on from the last `_id`"
                );
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            outcome => outcome?,
        }
        before = now;
    }
    Ok(())
}

struct Reader<'a> {
    peer: &'a Peer,
    collection: &'a PeerCollection,
    spool: &'a Spool,
    options: &'a ImportOptions,
    progress: &'a dyn ImportProgress,
    per_answer: u32,
}

impl Reader<'_> {
    async fn read(&self, after: Option<Bson>) -> Result<(), PullError> {
        let name = &self.collection.name;
        let act = format!("read `{name}` of `{}`", self.peer.database.name());
        let documents: Collection<RawDocumentBuf> = self.peer.database.collection(name);
        let find = documents
            .find(filter::behind(&self.options.tenant, after.as_ref()))
            .sort(doc! { "_id": 1 })
            .batch_size(self.per_answer);
        let mut cursor = perform(&act, find).await.map_err(PullError::Peer)?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let is_more = perform(&act, cursor.advance()).await.map_err(PullError::Peer)?;
            if is_more {
                let document = cursor.current().to_raw_document_buf();
                bytes += document.as_bytes().len();
                batch.push(document);
            }
            if !is_more || bytes >= BATCH_BYTES || batch.len() >= BATCH_DOCUMENTS {
                self.keep(std::mem::take(&mut batch), !is_more).await?;
                self.progress.bytes_read(bytes as u64);
                bytes = 0;
            }
            if !is_more {
                return Ok(());
            }
        }
    }

    /// Puts a batch aside, with the place from which to go on.
    async fn keep(&self, batch: Vec<RawDocumentBuf>, is_last: bool) -> Result<(), PullError> {
        let unreadable = |cause| PullError::Document { collection: self.collection.name.clone(), cause };
        let after = batch.last().map(last_id).transpose().map_err(unreadable)?;
        let documents = batch.len() as u64;
        let (database, collection, options) =
            (self.peer.database.name().to_owned(), self.collection.clone(), self.options.clone());
        let taken = tokio::task::spawn_blocking(move || take(&database, &collection, &options, &batch)).await;
        let taken = taken.map_err(|_| PullError::Stopped("converter"))??;
        self.spool.keep(self.collection, taken, after, is_last).await?;
        self.progress.documents(documents);
        Ok(())
    }
}

fn last_id(document: &RawDocumentBuf) -> Result<Bson, export_mongo::bson::raw::Error> {
    let id = document.get("_id")?.map(TryInto::try_into).transpose()?;
    Ok(id.unwrap_or(Bson::Null))
}

fn take(
    database: &str,
    collection: &PeerCollection,
    options: &ImportOptions,
    batch: &[RawDocumentBuf],
) -> Result<Vec<Taken>, PullError> {
    let mut taker = Taker::new(database, collection, options).map_err(|_| PullError::Stopped("compression"))?;
    let mut taken = Vec::with_capacity(batch.len());
    for document in batch {
        let id = document.get("_id");
        let id = id.map_err(|cause| PullError::Document { collection: collection.name.clone(), cause })?;
        taken.push(taker.take(document, id.unwrap_or(export_mongo::bson::raw::RawBsonRef::Null)));
    }
    Ok(taken)
}
