//! Indexes on a server of the tests.

use export_mongo::bson::{Document, doc};
use export_mongo::ensure_indexes;
use export_mongo::ferretdb::FerretDb;
use export_mongo::mongodb::options::IndexOptions;
use export_mongo::mongodb::{Collection, IndexModel};

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
