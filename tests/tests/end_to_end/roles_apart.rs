//! Every role a process of its own, on one broker: what `exportd all` shows, over both kinds of store.

use export_tests::{Deployment, Store, light};

#[tokio::test(flavor = "multi_thread")]
async fn roles_in_processes_of_their_own_over_mongodb_do_what_one_process_does() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Ferret, 2).await.unwrap();
    crate::json_raw::check(&mut deployment).await;
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_in_processes_of_their_own_over_sqlite_do_what_one_process_does() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Sqlite, 2).await.unwrap();
    crate::json_raw::check(&mut deployment).await;
    deployment.stop_all().await.unwrap();
}
