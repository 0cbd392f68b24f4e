//! The spool: what a pass has read so far, on disk, one file a tenant.
//!
//! It can be thrown away at any time: the peer has everything that is in it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use export_canon::digesting::Digester;
use export_contract::{LogEvent, Timestamp};
use export_mongo::bson::{Bson, Document, RawDocumentBuf, rawdoc};
use export_sqlite::rusqlite::{self, Connection, OptionalExtension as _, Transaction, params};
use export_sqlite::{Database, undecodable};

use super::take::{Staged, Taken};
use super::{PeerCollection, PullError};
use crate::import::{ImportOptions, Refusal};

/// `documents` holds what decides about a document, `texts` the document: the first is gone through several times.
const SCHEMA: &[&str] = &["
CREATE TABLE pass (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  fingerprint BLOB NOT NULL,     -- of what is read: servers, database, collections, name of the source
  begun       INTEGER NOT NULL   -- microseconds since 1970
) STRICT;

CREATE TABLE cursors (
  collection TEXT PRIMARY KEY,
  after      BLOB,               -- a BSON document with the last _id, or the token of the next page
  is_done    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
  number      INTEGER PRIMARY KEY,
  collection  TEXT NOT NULL,
  peer_id     BLOB NOT NULL,
  name        TEXT NOT NULL,     -- peer_id, as supersedes names it
  supersedes  TEXT,
  hint        TEXT NOT NULL,     -- kind of the collection
  kind        TEXT NOT NULL,
  source      TEXT NOT NULL,
  document_id TEXT NOT NULL,
  content     BLOB NOT NULL,     -- digest of the canonical text
  upstream_id TEXT,
  observed_at INTEGER NOT NULL,
  fate        INTEGER NOT NULL DEFAULT 0, -- 0: a record, 1: superseded, 2: in a ring of documents that supersede each other
  UNIQUE (collection, peer_id)
) STRICT;
CREATE INDEX documents_order ON documents (kind, source, document_id, content, number) WHERE fate = 0;
CREATE INDEX documents_name ON documents (collection, name);
CREATE INDEX documents_supersedes ON documents (collection, supersedes) WHERE supersedes IS NOT NULL;

CREATE TABLE texts (
  number INTEGER PRIMARY KEY,
  frame  BLOB NOT NULL
) STRICT;

CREATE TABLE refusals (
  number     INTEGER PRIMARY KEY,
  collection TEXT NOT NULL,
  peer_id    BLOB NOT NULL,
  refusal    TEXT NOT NULL,      -- a line of the reject file
  UNIQUE (collection, peer_id)
) STRICT;
"];

/// A walk through a peer from its first document to its last.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    tenant: String,
    fingerprint: [u8; 32],
    pub(super) begun: Timestamp,
    pub(super) is_resumed: bool,
}

impl Pass {
    /// A new one over collections of the peer that `names` name.
    pub(super) fn new(names: [&str; 2], collections: &[PeerCollection], options: &ImportOptions) -> Self {
        let mut digester = Digester::new();
        let mut part = |text: &str| {
            digester.update(&(text.len() as u64).to_le_bytes());
            digester.update(text.as_bytes());
        };
        for name in names {
            part(name);
        }
        part(options.source_name.as_deref().unwrap_or_default());
        for collection in collections {
            part(&collection.name);
            part(collection.kind.as_str());
        }
        let fingerprint = *digester.finish().sha256.as_bytes();
        Self { tenant: options.tenant.to_string(), fingerprint, begun: options.observed_at, is_resumed: false }
    }
}

/// Where the reading of a collection goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cursor {
    pub(super) after: Option<Bson>,
    pub(super) is_done: bool,
}

/// An open spool. Nobody else has it open.
#[derive(Debug)]
pub(super) struct Spool {
    database: Database,
    path: PathBuf,
    /// Held until the end: the file's lock.
    _lock: File,
}

impl Spool {
    /// Opens the spool of the tenant in `folder`. A pass over something else than `pass` is thrown away.
    pub(super) async fn open(folder: &Path, pass: &Pass) -> Result<(Self, Pass), PullError> {
        let (folder, pass) = (folder.to_owned(), pass.clone());
        let opened = tokio::task::spawn_blocking(move || open(&folder, &pass).map(|database| (database, pass))).await;
        let ((database, path, lock), mut pass) = opened.map_err(|_| PullError::Stopped("spool"))??;
        let (spool, new) = (Self { database, path, _lock: lock }, pass.clone());
        let found = spool.write("begin a pass", move |transaction| begin(transaction, &new)).await?;
        if let Some(begun) = found {
            (pass.begun, pass.is_resumed) = (begun, true);
        }
        Ok((spool, pass))
    }

    async fn write<T: Send + 'static>(
        &self,
        act: &str,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PullError> {
        self.database.write(act, work).await.map_err(PullError::Spool)
    }

    pub(super) async fn cursor(&self, collection: &str) -> Result<Cursor, PullError> {
        let collection = collection.to_owned();
        let read = self.database.read("read a cursor of the spool", move |connection| {
            let sql = "SELECT after, is_done FROM cursors WHERE collection = ?1";
            let found = connection.query_row(sql, [collection], |row| {
                let after = row.get::<_, Option<Vec<u8>>>(0)?.map(|bytes| id_of(0, bytes)).transpose()?;
                Ok(Cursor { after, is_done: row.get(1)? })
            });
            Ok(found.optional()?.unwrap_or_default())
        });
        read.await.map_err(PullError::Spool)
    }

    /// Keeps documents and the `_id` of the last of them, both or neither.
    pub(super) async fn keep(
        &self,
        collection: &PeerCollection,
        taken: Vec<Taken>,
        after: Option<Bson>,
        is_last: bool,
    ) -> Result<(), PullError> {
        let collection = collection.clone();
        let after = after.map(id_bytes).transpose();
        self.write("keep documents of the peer", move |transaction| {
            let after = after.map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))?;
            taken.iter().try_for_each(|taken| insert(transaction, &collection, taken))?;
            let sql = "INSERT INTO cursors (collection, after, is_done) VALUES (?1, ?2, ?3)
                       ON CONFLICT DO UPDATE SET after = coalesce(excluded.after, after), is_done = excluded.is_done";
            transaction.execute(sql, params![collection.name, after, is_last]).map(drop)
        })
        .await
    }

    /// Decides what becomes of every document: `documents.fate`. Deciding again changes nothing.
    pub(super) async fn decide(&self) -> Result<(), PullError> {
        self.write("find superseded documents", |transaction| {
            // First those of which another one says that it supersedes them. Then those of them to which no living revision
            // leads. Then the living ones get the name of the first revision that is there, so that a revision supersedes
            // in our ledger too where the document has no id of its own, or another one than before.
            transaction.execute_batch(
                "UPDATE documents AS d SET fate = 1
                   WHERE fate = 0 AND EXISTS (SELECT 1 FROM documents s
                     WHERE s.collection = d.collection AND s.supersedes = d.name AND s.number <> d.number);
                 WITH RECURSIVE alive (number, collection, supersedes) AS (
                   SELECT number, collection, supersedes FROM documents WHERE fate = 0 AND supersedes IS NOT NULL
                   UNION
                   SELECT d.number, d.collection, d.supersedes FROM alive a
                     JOIN documents d ON d.collection = a.collection AND d.name = a.supersedes)
                 UPDATE documents SET fate = 2 WHERE fate = 1 AND number NOT IN (SELECT number FROM alive);
                 WITH RECURSIVE chain (head, number, collection, supersedes) AS (
                   SELECT number, number, collection, supersedes FROM documents WHERE fate = 0 AND supersedes IS NOT NULL
                   UNION
                   SELECT c.head, d.number, d.collection, d.supersedes FROM chain c
                     JOIN documents d ON d.collection = c.collection AND d.name = c.supersedes)
                 UPDATE documents SET source = root.source, document_id = root.document_id
                   FROM (SELECT c.head, d.kind, d.source, d.document_id, min(d.content)
                     FROM chain c JOIN documents d ON d.number = c.number
                     WHERE NOT EXISTS (SELECT 1 FROM documents p
                       WHERE p.collection = c.collection AND p.name = c.supersedes)
                     GROUP BY c.head, d.kind) AS root
                   WHERE documents.number = root.head AND documents.kind = root.kind;",
            )
        })
        .await
    }

    /// A connection for a long read, for a blocking thread.
    pub(super) fn reader(&self) -> impl FnOnce() -> rusqlite::Result<Connection> + Send + 'static {
        let database = self.database.clone();
        move || database.dedicated_reader()
    }

    /// Removes the spool. The lock goes last, so that nobody opens what is about to go.
    pub(super) fn remove(self) -> Result<(), PullError> {
        let Self { database, path, _lock } = self;
        drop(database);
        remove_files(&path)
    }
}

type Opened = (Database, PathBuf, File);

fn open(folder: &Path, pass: &Pass) -> Result<Opened, PullError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| PullError::SpoolFile { path, cause }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let lock_path = folder.join(format!("{}.lock", pass.tenant));
    let lock = File::create(&lock_path).map_err(failed(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(PullError::InProgress { path: lock_path }),
        Err(TryLockError::Error(cause)) => return Err(failed(&lock_path)(cause)),
    }
    let path = folder.join(format!("{}.db", pass.tenant));
    let database = Database::open(&path, SCHEMA).map_err(PullError::Spool)?;
    if !is_of(&database, pass).map_err(spool_failed)? {
        tracing::info!(event = %LogEvent::EvidenceResumed, "the spool is of another pull and begins anew");
        drop(database);
        remove_files(&path)?;
        let database = Database::open(&path, SCHEMA).map_err(PullError::Spool)?;
        return Ok((database, path, lock));
    }
    Ok((database, path, lock))
}

fn spool_failed(cause: rusqlite::Error) -> PullError {
    PullError::Spool(export_sqlite::SqliteError::Failed { act: "open the spool".to_owned(), cause })
}

/// Whether the spool is new, or holds a part of `pass`.
fn is_of(database: &Database, pass: &Pass) -> rusqlite::Result<bool> {
    let connection = database.dedicated_reader()?;
    let found = connection.query_row("SELECT fingerprint FROM pass", [], |row| row.get::<_, [u8; 32]>(0)).optional()?;
    Ok(found.is_none_or(|fingerprint| fingerprint == pass.fingerprint))
}

fn remove_files(path: &Path) -> Result<(), PullError> {
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(&name) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(PullError::SpoolFile { path: name.into(), cause });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Begins a pass, or gives the time when the one at hand began. One that has read nothing begins now.
fn begin(transaction: &Transaction<'_>, pass: &Pass) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT begun FROM pass WHERE EXISTS (SELECT 1 FROM cursors)";
    let found = transaction.query_row(sql, [], |row| row.get(0)).optional()?;
    if let Some(micros) = found {
        return Timestamp::from_micros(micros).map(Some).map_err(|cause| undecodable(0, cause));
    }
    let sql = "INSERT OR REPLACE INTO pass (id, fingerprint, begun) VALUES (1, ?1, ?2)";
    transaction.execute(sql, params![pass.fingerprint, pass.begun.as_micros()])?;
    Ok(None)
}

fn insert(transaction: &Transaction<'_>, collection: &PeerCollection, taken: &Taken) -> rusqlite::Result<()> {
    let Staged { supersedes, kind, source, document_id, upstream_id, observed_at, content, frame } = match &taken.what {
        Ok(staged) => staged,
        Err(refusal) => return refuse(transaction, &collection.name, &taken.id, refusal),
    };
    let inserted = transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO documents (collection, peer_id, name, supersedes, hint, kind, source, document_id,
               content, upstream_id, observed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            collection.name,
            taken.id,
            taken.name,
            supersedes,
            collection.kind.as_str(),
            kind.as_str(),
            source,
            document_id,
            content,
            upstream_id,
            observed_at.as_micros(),
        ])?;
    if inserted == 1 {
        let number = transaction.last_insert_rowid();
        transaction.prepare_cached("INSERT INTO texts VALUES (?1, ?2)")?.execute(params![number, frame])?;
    }
    Ok(())
}

fn refuse(transaction: &Transaction<'_>, collection: &str, id: &[u8], refusal: &Refusal) -> rusqlite::Result<()> {
    let refusal =
        serde_json::to_string(refusal).map_err(|cause| rusqlite::Error::ToSqlConversionFailure(cause.into()))?;
    let sql = "INSERT OR IGNORE INTO refusals (collection, peer_id, refusal) VALUES (?1, ?2, ?3)";
    transaction.prepare_cached(sql)?.execute(params![collection, id, refusal]).map(drop)
}

fn id_bytes(id: Bson) -> Result<Vec<u8>, export_mongo::bson::raw::Error> {
    Ok(rawdoc! { "_id": export_mongo::bson::RawBson::try_from(id)? }.into_bytes())
}

fn id_of(column: usize, bytes: Vec<u8>) -> rusqlite::Result<Bson> {
    let document = RawDocumentBuf::from_bytes(bytes).map_err(|cause| undecodable(column, cause))?;
    let mut document = Document::try_from(document).map_err(|cause| undecodable(column, cause))?;
    Ok(document.remove("_id").unwrap_or(Bson::Null))
}
