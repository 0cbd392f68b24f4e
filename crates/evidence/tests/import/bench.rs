//! A folder of documents and an import of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use export_contract::TenantId;
use export_evidence::NewRecord;
use export_evidence::import::{ImportError, ImportOptions, ImportSummary, NoProgress, import};
use serde_json::Value;
use tempfile::TempDir;

use crate::memory::{MemoryLedger, MemoryPolicy};

/// A work bench: a folder to fill, and stores that start empty.
pub(crate) struct Bench {
    scratch: TempDir,
    pub(crate) ledger: MemoryLedger,
    pub(crate) policy: MemoryPolicy,
    pub(crate) options: ImportOptions,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("given")).unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let mut options = ImportOptions::new(tenant, "2026-01-31T12:00:00Z".parse().unwrap());
        options.reject_file = Some(scratch.path().join("rejects.jsonl"));
        Self { scratch, ledger: MemoryLedger::default(), policy: MemoryPolicy::default(), options }
    }

    /// The folder that is imported, called `given`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.scratch.path().join("given")
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) async fn try_import(&self, paths: &[PathBuf]) -> Result<ImportSummary, ImportError> {
        import(&self.ledger, &self.policy, paths, self.options.clone(), Arc::new(NoProgress)).await
    }

    /// Imports the whole folder.
    pub(crate) async fn import(&self) -> ImportSummary {
        self.try_import(&[self.folder()]).await.unwrap()
    }

    /// The one record of the ledger.
    pub(crate) fn only(&self) -> NewRecord {
        let mut all = self.ledger.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    /// Identities in the ledger, as `source document_id`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.ledger.all().iter().map(|record| format!("{} {}", record.key.source, record.key.document_id)).collect()
    }

    pub(crate) fn rejects(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.options.reject_file.as_ref().unwrap()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Where each refused document stood and its code: `entry or file name, line, code`.
    pub(crate) fn refusals(&self) -> Vec<(String, Option<u64>, String)> {
        let name = |reject: &Value| {
            let path = reject["path"].as_str().unwrap();
            let name = Path::new(path).file_name().unwrap().to_str().unwrap();
            reject["entry"].as_str().unwrap_or(name).to_owned()
        };
        self.rejects()
            .iter()
            .map(|reject| (name(reject), reject["line"].as_u64(), reject["code"].as_str().unwrap().to_owned()))
            .collect()
    }
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A small OSV document.
pub(crate) fn osv(id: &str, summary: &str) -> String {
    format!(r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","summary":"{summary}"}}"#)
}
