//! The SQLite run ledger keeps every promise of the port.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use export_runs::suite::Stores;
use export_runs::suite::entries::EntryStores;
use export_runs::{AuditStore, IdempotencyStore, RetentionStore, RunStore, ScheduleStore, SqliteRuns, WebhookStore};

struct File {
    // Removed when the test ends.
    _folder: tempfile::TempDir,
    path: PathBuf,
}

#[async_trait]
impl Stores for File {
    async fn open(&self) -> Arc<dyn RunStore> {
        Arc::new(SqliteRuns::open(&self.path).unwrap())
    }

    async fn retention(&self) -> Arc<dyn RetentionStore> {
        Arc::new(SqliteRuns::open(&self.path).unwrap())
    }
}

#[async_trait]
impl EntryStores for File {
    async fn schedules(&self) -> Arc<dyn ScheduleStore> {
        Arc::new(SqliteRuns::open(&self.path).unwrap())
    }

    async fn audit(&self) -> Arc<dyn AuditStore> {
        Arc::new(SqliteRuns::open(&self.path).unwrap())
    }

    async fn webhooks(&self) -> Arc<dyn WebhookStore> {
        Arc::new(SqliteRuns::open(&self.path).unwrap())
    }

    async fn idempotency(&self) -> Arc<dyn IdempotencyStore> {
        Arc::new(SqliteRuns::open(&self.path).unwrap())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the suite takes drivers that may be absent")]
fn fresh() -> Option<File> {
    let folder = tempfile::tempdir().unwrap();
    Some(File { path: folder.path().join("runs.db"), _folder: folder })
}

export_runs::conformance_tests!(std::future::ready(fresh()));
export_runs::entry_conformance_tests!(std::future::ready(fresh()));
