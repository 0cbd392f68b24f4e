//! Cutting and reading.

use bytes::{Bytes, BytesMut};
use export_contract::message::Part;
use export_mongo::bson::{Document, RawDocumentBuf, doc};
use export_mongo::mongodb::{Collection, Cursor, Database};
use export_mongo::{MongoError, perform};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::record::{self, CHUNKS, Place, RECORDS};
use super::{query, store_failed, undecodable};
use crate::cutter::Cutter;
use crate::{LedgerError, LineStream, StoredLine};

/// A batch ends with the record that brings it to one of these.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 512;
/// Batches that may wait for the reader.
const AHEAD: usize = 2;
/// Documents in one answer of the server. With lines of up to [`record::INLINE_BYTES`] an answer stays below 32 MiB
/// even where the server does not bound it.
const LINES_PER_ANSWER: u32 = 128;
/// The same for documents that hold a key only.
const KEYS_PER_ANSWER: u32 = 10_000;

/// Documents in key order.
async fn find(
    database: &Database,
    act: &str,
    filter: Document,
    projection: Document,
    per_answer: u32,
) -> Result<Cursor<RawDocumentBuf>, MongoError> {
    let records: Collection<RawDocumentBuf> = database.collection(RECORDS);
    // A sort that no index serves may not fit the server's memory; then it goes to disk rather than fail.
    let found = records
        .find(filter)
        .sort(query::key_order())
        .projection(projection)
        .batch_size(per_answer)
        .allow_disk_use(true);
    perform(act, found).await
}

/// The server is read as the channel is emptied; a closed channel ends it.
pub(super) fn stream(database: Database, filter: Document, act: String) -> LineStream {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(error) = send_all(&database, filter, &act, &sender).await {
            // Nobody listens any more: nobody wants to know.
            drop(sender.send(Err(error)).await);
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

type Sender = mpsc::Sender<Result<Vec<StoredLine>, LedgerError>>;

async fn send_all(database: &Database, filter: Document, act: &str, sender: &Sender) -> Result<(), LedgerError> {
    let mut cursor =
        find(database, act, filter, record::stored_projection(), LINES_PER_ANSWER).await.map_err(store_failed)?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    while perform(act, cursor.advance()).await.map_err(store_failed)? {
        let stored = record::stored(cursor.current())?;
        let line = match stored.line {
            Place::Here(line) => line,
            Place::Chunks(ids) => long_line(database, act, &ids).await?,
        };
        bytes += line.len();
        let record::Stored { key, content_hash, plain_bytes, .. } = stored;
        batch.push(StoredLine { key, content_hash, plain_bytes, line });
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_RECORDS {
            bytes = 0;
            if sender.send(Ok(std::mem::take(&mut batch))).await.is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // As above: a closed channel is a reader that has seen enough.
        drop(sender.send(Ok(batch)).await);
    }
    Ok(())
}

/// Chunks are fetched one by one: by `_id` alone every server has an index.
async fn long_line(database: &Database, act: &str, ids: &[String]) -> Result<Bytes, LedgerError> {
    let chunks: Collection<RawDocumentBuf> = database.collection(CHUNKS);
    let mut line = BytesMut::new();
    for id in ids {
        let chunk = perform(act, chunks.find_one(doc! { "_id": id })).await.map_err(store_failed)?;
        let Some(chunk) = chunk else {
            return Err(undecodable(act, format!("chunk `{id}` is missing")));
        };
        line.extend_from_slice(chunk.get_binary("bytes").map_err(|cause| undecodable(act, cause))?.bytes);
    }
    Ok(line.freeze())
}

/// Walks keys and lengths alone.
pub(super) async fn cut(
    database: &Database,
    filter: Document,
    act: &str,
    mut cutter: Cutter,
) -> Result<Vec<Part>, LedgerError> {
    let mut cursor =
        find(database, act, filter, record::cut_projection(), KEYS_PER_ANSWER).await.map_err(store_failed)?;
    while perform(act, cursor.advance()).await.map_err(store_failed)? {
        let document = cursor.current();
        cutter.take(u64::from(record::plain_bytes(document)?), |key| {
            *key = record::key(document)?;
            Ok(())
        })?;
    }
    Ok(cutter.finish())
}
