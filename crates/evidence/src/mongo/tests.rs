use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use export_contract::selectors::Selectors;
use export_mongo::bson::Bson;
use export_mongo::ferretdb::FerretDb;
use futures::TryStreamExt as _;

use super::*;

#[tokio::test]
async fn keeps_the_promises_of_the_port() {
    let Some(server) = FerretDb::start().await.unwrap() else { return };
    let count = AtomicU32::new(0);
    crate::suite::conformance(async |terms| {
        let database = server.database(&format!("ledger_{}", count.fetch_add(1, Ordering::Relaxed))).await.unwrap();
        Arc::new(MongoLedger::open(database).await.unwrap().with_lease(terms)) as Arc<dyn EvidenceLedger>
    })
    .await;
}

#[tokio::test]
async fn indexes_are_there_after_open_and_opening_again_changes_nothing() {
    let Some(server) = FerretDb::start().await.unwrap() else { return };
    let database = server.database("indexes").await.unwrap();
    for _ in 0..2 {
        MongoLedger::open(database.clone()).await.unwrap().check().await.unwrap();
        let records: Collection<Document> = database.collection(RECORDS);
        let found: Vec<IndexModel> = records.list_indexes().await.unwrap().try_collect().await.unwrap();
        let mut keys: Vec<String> =
            found.iter().map(|index| index.keys.keys().cloned().collect::<Vec<_>>().join(" ")).collect();
        keys.sort();
        assert_eq!(
            keys,
            [
                "_id",
                "tenant kind source document_id sequence",
                "tenant kind subject document_id source sequence plain_bytes",
                "tenant observed_at",
                "tenant sequence",
            ]
        );
    }
}

/// MongoDB serves a sort from an index when the fields before those of the sort are compared for equality, and the
/// sort goes on with the next fields in the same direction. FerretDB sorts in memory, so the shape is all there is to test.
#[test]
fn filter_and_sort_have_the_shape_that_the_order_index_serves() {
    let tenant: TenantId = "acme".parse().unwrap();
    let order = query::indexes().remove(0).keys;
    let selection = Selection { tenant, watermark: Sequence(9), selectors: Selectors::default() };
    let state = imports::Entry::before_all(&selection.tenant);
    let filter = query::in_order(&state, &selection, RecordKind::Vex, Vec::new()).unwrap();
    let mut served: Vec<&str> = Vec::new();
    for field in order.keys() {
        match filter.get(field) {
            Some(Bson::String(_)) => served.push(field),
            _ => break,
        }
    }
    assert_eq!(served, ["tenant", "kind"], "equality");
    let sort = query::key_order();
    assert!(order.iter().skip(served.len()).zip(&sort).all(|(index, sort)| index == sort));
    assert_eq!(sort.len(), 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_worth_another_try() {
    let database = export_mongo::connect("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50", "none").await.unwrap();
    let error = MongoLedger::open(database).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { .. }) && error.is_transient());
    assert_eq!(
        error.to_string(),
        "the evidence ledger is unavailable: cannot create the indexes of `evidence_records`"
    );
}
