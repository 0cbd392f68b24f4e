//! From the spool into the ledger, in an order that the documents alone decide.

use std::io;

use export_canon::zst::FrameDecoder;
use export_contract::{RecordKind, Timestamp};
use export_sqlite::rusqlite::{self, Connection, Row};
use export_sqlite::{SqliteError, undecodable};
use tokio::sync::mpsc;

use super::PullError;
use super::spool::Spool;
use crate::import::convert::Converter;
use crate::import::refusal::RejectFile;
use crate::import::summary::{Class, Tally};
use crate::import::{ImportOptions, ImportSummary, Position, Refusal, RefusalCode};
use crate::{EvidenceLedger, ImportSession, NewRecord};

/// A batch of records ends when it reaches one of these; import's batches are as large.
const BATCH_RECORDS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

/// Imports what the spool holds. `place` is what refused documents are named by: the peer's database.
pub(super) async fn settle(
    ledger: &dyn EvidenceLedger,
    place: &str,
    spool: &Spool,
    options: &ImportOptions,
) -> Result<ImportSummary, PullError> {
    spool.decide().await?;
    let reject_failed = |cause| reject_failed(options, cause);
    let mut rejects = RejectFile::create(options.reject_file.as_deref()).map_err(reject_failed)?;
    let mut session = ledger.begin_import(&options.tenant).await.map_err(PullError::Store)?;
    let mut tally = Tally::default();
    let walk = Walk { places: Places { database: place.to_owned() }, options: options.clone() };
    let outcome = match carry(walk, spool, &mut *session, &mut rejects, &mut tally).await {
        Ok(()) => rejects.finish().map_err(reject_failed),
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        // What made the pull fail matters more; the lease runs out by itself.
        if let Err(error) = session.abandon().await {
            tracing::warn!(%error, "the lease of a failed pull runs out by itself");
        }
        return Err(error);
    }
    let watermark = session.commit().await.map_err(PullError::Store)?;
    Ok(tally.finish(watermark))
}

/// Something that comes out of the spool.
enum Found {
    Refused(Class, Refusal),
    Superseded(Class, String, u64),
    Records(Vec<NewRecord>),
}

fn reject_failed(options: &ImportOptions, cause: io::Error) -> PullError {
    PullError::RejectFile { path: options.reject_file.clone().unwrap_or_default(), cause }
}

async fn carry(
    walk: Walk,
    spool: &Spool,
    session: &mut dyn ImportSession,
    rejects: &mut RejectFile,
    tally: &mut Tally,
) -> Result<(), PullError> {
    let (sender, mut found) = mpsc::channel(1);
    let (connect, options) = (spool.reader(), walk.options.clone());
    let walk = tokio::task::spawn_blocking(move || walk.walk(&connect()?, &sender));
    while let Some(found) = found.recv().await {
        match found {
            Found::Refused(class, refusal) => {
                tally.refused(class, &refusal);
                rejects.write(&refusal).map_err(|cause| reject_failed(&options, cause))?;
            }
            Found::Superseded(class, source, count) => tally.skipped(class, &source, count),
            Found::Records(records) => {
                let names: Vec<_> = records.iter().map(|record| (record.kind, record.key.source.clone())).collect();
                let puts = session.put(records).await.map_err(PullError::Store)?;
                for ((kind, source), put) in names.into_iter().zip(puts) {
                    tally.put(kind.into(), &source, put);
                }
            }
        }
    }
    let walked = walk.await.map_err(|_| PullError::Stopped("reader of the spool"))?;
    walked.map_err(|cause| PullError::Spool(SqliteError::Failed { act: "read the spool".to_owned(), cause }))
}

/// Goes through the spool, on a blocking thread.
struct Walk {
    places: Places,
    options: ImportOptions,
}

/// Whether the other end of the channel still listens. If it does not, nobody wants to know more.
type Listens = rusqlite::Result<bool>;

type Sender = mpsc::Sender<Found>;

fn send(sender: &Sender, found: Found) -> bool {
    sender.blocking_send(found).is_ok()
}

impl Walk {
    fn walk(&self, connection: &Connection, sender: &Sender) -> rusqlite::Result<()> {
        if refused(connection, sender)? && self.circular(connection, sender)? && superseded(connection, sender)? {
            self.records(connection, sender)?;
        }
        Ok(())
    }

    /// Documents that supersede each other in a ring: none of them is the last, so none of them can stand.
    fn circular(&self, connection: &Connection, sender: &Sender) -> Listens {
        let sql = "SELECT collection, name, kind, source FROM documents WHERE fate = 2 ORDER BY number";
        let mut select = connection.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let position = self.places.of(row, 0)?;
            let reason = "it stands in a ring of documents that supersede each other".to_owned();
            let refusal = Refusal { position, code: RefusalCode::BrokenChain, reason, source: row.get(3)? };
            if !send(sender, Found::Refused(kind(row, 2)?.into(), refusal)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Records in the order of their identity and content. Of several that share an identity without superseding each
    /// other, the second and every further one get a number, as in import; those with the same content are one.
    fn records(&self, connection: &Connection, sender: &Sender) -> Listens {
        let mut select = connection.prepare(RECORDS)?;
        let mut rows = select.query([])?;
        let mut builder = Builder::new(&self.options)?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let record = match builder.build(row)? {
                Ok(record) => record,
                // It was a record when it came into the spool; another version of this program may see it otherwise.
                Err((code, reason)) => {
                    let refusal = Refusal { position: self.places.of(row, 8)?, code, reason, source: row.get(1)? };
                    if !send(sender, Found::Refused(kind(row, 0)?.into(), refusal)) {
                        return Ok(false);
                    }
                    continue;
                }
            };
            bytes += record.raw.len();
            batch.push(record);
            if bytes >= BATCH_BYTES || batch.len() >= BATCH_RECORDS {
                bytes = 0;
                if !send(sender, Found::Records(std::mem::take(&mut batch))) {
                    return Ok(false);
                }
            }
        }
        Ok(batch.is_empty() || send(sender, Found::Records(batch)))
    }
}

fn refused(connection: &Connection, sender: &Sender) -> Listens {
    let mut select = connection.prepare("SELECT refusal FROM refusals ORDER BY number")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let text = row.get_ref(0)?.as_str().map_err(|cause| undecodable(0, cause))?;
        let refusal = serde_json::from_str(text).map_err(|cause| undecodable(0, cause))?;
        if !send(sender, Found::Refused(Class::Unknown, refusal)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn superseded(connection: &Connection, sender: &Sender) -> Listens {
    let sql = "SELECT kind, source, count(*) FROM documents WHERE fate = 1 GROUP BY kind, source";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let count = row.get::<_, i64>(2)?.unsigned_abs();
        if !send(sender, Found::Superseded(kind(row, 0)?.into(), row.get(1)?, count)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The index is the external sort.
pub(super) const RECORDS: &str =
    "SELECT d.kind, d.source, d.document_id, d.content, d.hint, d.upstream_id, d.observed_at, t.frame, d.collection, d.name
   FROM documents d INDEXED BY documents_order CROSS JOIN texts t ON t.number = d.number
   WHERE d.fate = 0 ORDER BY d.kind, d.source, d.document_id, d.content, d.number";

/// Builds records from rows of [`RECORDS`].
struct Builder {
    converter: Converter,
    decoder: FrameDecoder,
    max_bytes: usize,
    before: Option<((RecordKind, String, String), [u8; 32])>,
    number: u32,
}

impl Builder {
    fn new(options: &ImportOptions) -> rusqlite::Result<Self> {
        Ok(Self {
            converter: Converter::new(&options.limits, options.observed_at, None),
            decoder: FrameDecoder::new().map_err(|cause| undecodable(7, cause))?,
            max_bytes: usize::try_from(options.limits.document_bytes).unwrap_or(usize::MAX),
            before: None,
            number: 1,
        })
    }

    fn build(&mut self, row: &Row<'_>) -> rusqlite::Result<Result<NewRecord, (RefusalCode, String)>> {
        let identity = (kind(row, 0)?, row.get(1)?, row.get(2)?);
        let content: [u8; 32] = row.get(3)?;
        self.number = match &self.before {
            Some((before, same)) if *before == identity => self.number + u32::from(*same != content),
            _ => 1,
        };
        let frame = row.get_ref(7)?.as_blob().map_err(|cause| undecodable(7, cause))?;
        let text = self.decoder.decode(frame, self.max_bytes).map_err(|cause| undecodable(7, cause))?;
        let upstream_id: Option<String> = row.get(5)?;
        let source = identity.1.clone();
        let converted = self.converter.pulled(text.into(), upstream_id.as_deref(), source, kind(row, 4)?);
        let mut record = match converted {
            Ok(record) => record,
            Err(refused) => return Ok(Err(refused)),
        };
        record.observed_at = Timestamp::from_micros(row.get(6)?).map_err(|cause| undecodable(6, cause))?;
        // The name that the spool has decided on, which may be that of an earlier revision.
        (record.key.source, record.key.document_id) = (identity.1.clone(), identity.2.clone());
        if self.number > 1 {
            record.key.document_id = format!("{}#{}", identity.2, self.number);
        }
        self.before = Some((identity, content));
        Ok(Ok(record))
    }
}

/// How documents of a database are named in the reject file.
#[derive(Clone, Debug)]
struct Places {
    database: String,
}

impl Places {
    /// `column` holds the collection, the next one the document's name.
    fn of(&self, row: &Row<'_>, column: usize) -> rusqlite::Result<Position> {
        let collection = row.get_ref(column)?.as_str().map_err(|cause| undecodable(column, cause))?;
        let path = format!("{}.{collection}", self.database);
        Ok(Position { path, entry: Some(row.get(column + 1)?), line: None, upstream_path: None })
    }
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<RecordKind> {
    let text = row.get_ref(column)?.as_str().map_err(|cause| undecodable(column, cause))?;
    text.parse().map_err(|cause| undecodable(column, cause))
}
