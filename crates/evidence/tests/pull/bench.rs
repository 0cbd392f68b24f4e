//! A peer on FerretDB, a ledger on SQLite, and pulls from one into the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use export_canon::zst::decompress_frame;
use export_contract::selectors::Selectors;
use export_contract::{RecordKind, TenantId};
use export_evidence::import::{ImportOptions, ImportProgress, ImportSummary};
use export_evidence::pull::{Peer, PeerCollection, PullError, pull};
use export_evidence::{EvidenceLedger, ReadRange, Selection, SqliteLedger};
use export_mongo::bson::{Bson, Document, doc};
use export_mongo::ferretdb::FerretDb;
use export_mongo::mongodb::Collection;
use futures::TryStreamExt as _;
use serde_json::Value;

/// Counts documents that were read from the peer.
#[derive(Debug, Default)]
pub(crate) struct Read(pub(crate) AtomicU64);

impl ImportProgress for Read {
    fn documents(&self, documents: u64) {
        self.0.fetch_add(documents, Ordering::Relaxed);
    }
}

pub(crate) struct Bench {
    pub(crate) server: FerretDb,
    pub(crate) peer: Peer,
    pub(crate) ledger: SqliteLedger,
    pub(crate) options: ImportOptions,
    folder: tempfile::TempDir,
}

pub(crate) fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

pub(crate) async fn peer(server: &FerretDb, database: &str) -> Peer {
    let collection = |name: &str, kind| PeerCollection { name: name.to_owned(), kind };
    Peer {
        database: server.database(database).await.unwrap(),
        servers: "test".to_owned(),
        collections: vec![collection("advisory_raw", RecordKind::Advisory), collection("vex_raw", RecordKind::Vex)],
    }
}

impl Bench {
    /// None where the tests are to do without FerretDB. Both collections are there, empty.
    pub(crate) async fn new() -> Option<Self> {
        let server = FerretDb::start().await.unwrap()?;
        let peer = peer(&server, "peer").await;
        for collection in &peer.collections {
            peer.database.create_collection(&collection.name).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("evidence.db")).unwrap();
        let mut options = ImportOptions::new(tenant(), "2026-06-01T00:00:00Z".parse().unwrap());
        options.reject_file = Some(folder.path().join("rejects.jsonl"));
        Some(Self { server, peer, ledger, options, folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.folder().join("pull")
    }

    pub(crate) async fn insert(&self, collection: &str, documents: impl IntoIterator<Item = Document>) {
        let documents: Vec<Document> = documents.into_iter().collect();
        let collection: Collection<Document> = self.peer.database.collection(collection);
        for some in documents.chunks(200) {
            collection.insert_many(some).await.unwrap();
        }
    }

    /// Pulls, and gives the number of documents read beside the summary.
    pub(crate) async fn try_pull(&self) -> (Result<ImportSummary, PullError>, u64) {
        let read = Arc::new(Read::default());
        let pulled = pull(&self.ledger, &self.peer, &self.spool(), self.options.clone(), read.clone()).await;
        (pulled, read.0.load(Ordering::Relaxed))
    }

    pub(crate) async fn pull(&self) -> ImportSummary {
        self.try_pull().await.0.unwrap()
    }

    pub(crate) async fn lines(&self) -> Vec<String> {
        lines(&self.ledger).await
    }

    pub(crate) fn rejects(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.options.reject_file.as_ref().unwrap()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whether nothing but the lock is left of a pull.
    pub(crate) fn spool_is_gone(&self) -> bool {
        let names = std::fs::read_dir(self.spool()).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<Vec<_>>() == ["acme.lock"]
    }
}

/// All export lines, in canonical order.
pub(crate) async fn lines(ledger: &dyn EvidenceLedger) -> Vec<String> {
    let watermark = ledger.watermark(&tenant()).await.unwrap().sequence;
    let mut lines = Vec::new();
    for kind in RecordKind::ALL {
        let selection = Selection { tenant: tenant(), watermark, selectors: Selectors::default() };
        let range = ReadRange { selection, kind, first: None, last: None, after: None };
        let batches: Vec<_> = ledger.read(range).await.unwrap().try_collect().await.unwrap();
        for line in batches.into_iter().flatten() {
            lines.push(String::from_utf8(decompress_frame(&line.line, 64 << 20).unwrap()).unwrap());
        }
    }
    lines
}

/// A peer's advisory as published: the OSV document in `content.raw`.
pub(crate) fn advisory(id: impl Into<Bson>, osv_id: &str, summary: &str) -> Document {
    let raw = doc! { "id": osv_id, "modified": "2026-01-01T00:00:00Z", "summary": summary };
    wrapped(id, raw)
}

pub(crate) fn wrapped(id: impl Into<Bson>, raw: impl Into<Bson>) -> Document {
    doc! {
        "_id": id.into(),
        "tenant": "acme",
        "source": { "vendor": "example" },
        "upstream": { "fetched_at": "2026-05-01T00:00:00Z" },
        "content": { "format": "OSV", "spec_version": "1.6.0", "raw": raw.into() },
        "identifiers": { "aliases": [] },
        "linkset": { "purls": [] },
        "supersedes": Bson::Null,
    }
}

pub(crate) fn superseding(mut document: Document, earlier: impl Into<Bson>) -> Document {
    document.insert("supersedes", earlier.into());
    document
}

pub(crate) fn member(line: &str, pointer: &str) -> Value {
    serde_json::from_str::<Value>(line).unwrap().pointer(pointer).cloned().unwrap_or(Value::Null)
}
