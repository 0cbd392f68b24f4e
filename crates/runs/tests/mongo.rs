//! The MongoDB run ledger keeps every promise of the port, on a FerretDB.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use export_mongo::ferretdb::FerretDb;
use export_runs::suite::Stores;
use export_runs::suite::entries::EntryStores;
use export_runs::{AuditStore, IdempotencyStore, MongoRuns, RetentionStore, RunStore, ScheduleStore, WebhookStore};

struct Server(FerretDb);

impl Server {
    async fn runs(&self) -> MongoRuns {
        MongoRuns::open(self.0.database("export").await.unwrap()).await.unwrap()
    }
}

#[async_trait]
impl Stores for Server {
    async fn open(&self) -> Arc<dyn RunStore> {
        Arc::new(self.runs().await)
    }

    async fn retention(&self) -> Arc<dyn RetentionStore> {
        Arc::new(self.runs().await)
    }
}

#[async_trait]
impl EntryStores for Server {
    async fn schedules(&self) -> Arc<dyn ScheduleStore> {
        Arc::new(self.runs().await)
    }

    async fn audit(&self) -> Arc<dyn AuditStore> {
        Arc::new(self.runs().await)
    }

    async fn webhooks(&self) -> Arc<dyn WebhookStore> {
        Arc::new(self.runs().await)
    }

    async fn idempotency(&self) -> Arc<dyn IdempotencyStore> {
        Arc::new(self.runs().await)
    }
}

async fn fresh() -> Option<Server> {
    FerretDb::start().await.unwrap().map(Server)
}

export_runs::conformance_tests!(fresh());
export_runs::entry_conformance_tests!(fresh());
