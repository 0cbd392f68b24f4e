//! Cutting and reading, on a blocking thread with a connection of its own.

use bytes::Bytes;
use export_contract::message::Part;
use export_contract::{Digest, RecordKey};
use export_sqlite::rusqlite::{Connection, Row, params_from_iter};
use export_sqlite::{Database, undecodable};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{failed, query};
use crate::compile::sql::Clause;
use crate::cutter::Cutter;
use crate::{LedgerError, LineStream, ReadRange, Selection, StoredLine};

/// A batch ends with the record that brings it to one of these.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 512;
/// Batches that may wait for the reader.
const AHEAD: usize = 2;

/// The connection is read as the channel is emptied; a closed channel ends it.
pub(super) fn stream(database: Database, range: &ReadRange) -> LineStream {
    let statement = query::in_order(query::LINE, &range.selection, range.kind, query::bounds(range));
    let act = format!("read {} of tenant `{}`", range.kind.file_stem(), range.selection.tenant);
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let outcome = database.dedicated_reader().and_then(|connection| send_all(&connection, &statement, &sender));
        if let Err(cause) = outcome {
            // Nobody listens any more: nobody wants to know.
            drop(sender.blocking_send(Err(failed(act, cause))));
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

type Sender = mpsc::Sender<Result<Vec<StoredLine>, LedgerError>>;

fn send_all(connection: &Connection, statement: &Clause, sender: &Sender) -> export_sqlite::rusqlite::Result<()> {
    let mut prepared = connection.prepare(&statement.text)?;
    let mut rows = prepared.query(params_from_iter(&statement.values))?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let line = stored_line(row)?;
        bytes += line.line.len();
        batch.push(line);
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_RECORDS {
            bytes = 0;
            if sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // As above: a closed channel is a reader that has seen enough.
        drop(sender.blocking_send(Ok(batch)));
    }
    Ok(())
}

fn stored_line(row: &Row<'_>) -> export_sqlite::rusqlite::Result<StoredLine> {
    let hash: [u8; 32] = row.get(3)?;
    Ok(StoredLine {
        key: RecordKey { subject: row.get(0)?, document_id: row.get(1)?, source: row.get(2)? },
        content_hash: Digest::from_bytes(hash),
        plain_bytes: row.get(4)?,
        line: Bytes::copy_from_slice(row.get_ref(5)?.as_blob().map_err(|cause| undecodable(5, cause))?),
    })
}

/// Walks the index alone.
pub(super) fn cut(
    connection: &Connection,
    selection: &Selection,
    mut cutter: Cutter,
) -> export_sqlite::rusqlite::Result<Vec<Part>> {
    let columns = format!("{}, e.plain_bytes", query::KEY);
    let statement = query::in_order(&columns, selection, cutter.kind(), Clause::new("1", []));
    let mut prepared = connection.prepare(&statement.text)?;
    let mut rows = prepared.query(params_from_iter(&statement.values))?;
    while let Some(row) = rows.next()? {
        cutter.take(u64::from(row.get::<_, u32>(3)?), |key| {
            let fields = [&mut key.subject, &mut key.document_id, &mut key.source];
            fields.into_iter().enumerate().try_for_each(|(index, text)| {
                let column = row.get_ref(index)?.as_str().map_err(|cause| undecodable(index, cause))?;
                text.clear();
                text.push_str(column);
                Ok::<(), export_sqlite::rusqlite::Error>(())
            })
        })?;
    }
    Ok(cutter.finish())
}
