//! Indexes and keys on a server of the tests.

use export_mongo::bson::{Document, doc};
use export_mongo::ferretdb::FerretDb;
use export_mongo::mongodb::options::IndexOptions;
use export_mongo::mongodb::{Collection, IndexModel};
use export_mongo::{ensure_indexes, perform};

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_made_once_and_found_by_every_later_start() {
    let Some(server) = FerretDb::start().await.unwrap() else { return };
    let index = |name: &str, key: &str| {
        let options = IndexOptions::builder().name(name.to_owned()).build();
        IndexModel::builder().keys(doc! { key: 1 }).options(options).build()
    };
    let indexes = || vec![index("one", "a"), index("two", "b"), index("three", "c")];
    for _ in 0..3 {
        let collection: Collection<Document> = server.database("indexes").await.unwrap().collection("things");
        ensure_indexes("create the indexes of the test", &collection, indexes()).await.unwrap();
        assert_eq!(collection.list_index_names().await.unwrap(), ["_id_", "one", "three", "two"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_only_fault_is_a_duplicate_key_is_told_from_others() {
    let Some(server) = FerretDb::start().await.unwrap() else { return };
    let things: Collection<Document> = server.database("keys").await.unwrap().collection("things");
    let batch = |ids: [i32; 2]| ids.map(|id| doc! { "_id": id });
    perform("insert", things.insert_many(batch([1, 2]))).await.unwrap();
    let error = perform("insert", things.insert_many(batch([2, 3])).ordered(false)).await.unwrap_err();
    assert!(error.is_duplicate_key() && !error.is_transient());
    assert_eq!(things.count_documents(doc! {}).await.unwrap(), 3, "the others of an unordered batch are written");
    let error = perform("update", things.update_one(doc! {}, doc! { "$nonsense": 1 })).await.unwrap_err();
    assert!(!error.is_duplicate_key() && !error.is_transient());
}
