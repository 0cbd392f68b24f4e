//! The MongoDB run ledger keeps every promise of the port, on a FerretDB.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use export_mongo::ferretdb::FerretDb;
use export_runs::suite::Stores;
use export_runs::{MongoRuns, RetentionStore, RunStore};

struct Server(FerretDb);

#[async_trait]
impl Stores for Server {
    async fn open(&self) -> Arc<dyn RunStore> {
        let database = self.0.database("export").await.unwrap();
        Arc::new(MongoRuns::open(database).await.unwrap())
    }

    async fn retention(&self) -> Arc<dyn RetentionStore> {
        let database = self.0.database("export").await.unwrap();
        Arc::new(MongoRuns::open(database).await.unwrap())
    }
}

async fn fresh() -> Option<Server> {
    FerretDb::start().await.unwrap().map(Server)
}

export_runs::conformance_tests!(fresh());
