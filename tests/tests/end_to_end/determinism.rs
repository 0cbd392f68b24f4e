//! The same evidence and the same request give the same bytes, whoever makes them and how often.

use export_tests::{Deployment, LOCAL_TENANT, Setup, Store, heavy};

use crate::evidence::{own_documents, small_parts};

/// Records of the synthetic evidence: nine parts of [`small_parts`]. FerretDB takes a few hundred in a second.
const RECORDS: u64 = 4_000;

/// A deployment with the evidence of these tests.
async fn filled(setup: Setup) -> Deployment {
    let deployment = Deployment::start(setup).await.unwrap();
    deployment.generate(LOCAL_TENANT, 7, RECORDS).unwrap();
    let own = own_documents(deployment.folder());
    deployment.import(&[own.as_path()]).unwrap();
    small_parts(&deployment.client().unwrap()).await;
    deployment
}

/// Digest and bytes of one more bundle.
async fn export(deployment: &mut Deployment) -> (String, Vec<u8>) {
    let finished = deployment.run("small-parts").await.unwrap();
    finished.assert_once();
    let digest = finished.digest().to_string();
    let bundle = deployment.download(&finished).await.unwrap();
    (digest, std::fs::read(bundle.tar()).unwrap())
}

fn assert_same(one: &(String, Vec<u8>), other: &(String, Vec<u8>), what: &str) {
    assert_eq!(one.0, other.0, "{what}");
    assert!(one.1 == other.1, "{what}: the digests are equal and the bytes are not");
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_repetition_and_restarts_do_not_change_a_byte() {
    let _turn = heavy().await;
    let together = |adapt_threads| Setup { adapt_threads, ..Setup::together() };
    let mut deployment = filled(together(1)).await;
    let first = export(&mut deployment).await;
    assert_same(&first, &export(&mut deployment).await, "second run over the same watermark");
    deployment.stop_all().await.unwrap();
    deployment.start_all().await.unwrap();
    assert_same(&first, &export(&mut deployment).await, "after a restart of everything");
    deployment.kill("all").await.unwrap();
    deployment.restart().await.unwrap();
    assert_same(&first, &export(&mut deployment).await, "after kill -9 of everything");
    // More evidence makes another bundle: the comparison can fail.
    deployment.generate(LOCAL_TENANT, 8, 10).unwrap();
    assert_ne!(first.0, export(&mut deployment).await.0);
    drop(deployment);
    let mut four = filled(together(4)).await;
    assert_same(&first, &export(&mut four).await, "four threads instead of one, and another import");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_and_stores_do_not_change_a_byte() {
    let _turn = heavy().await;
    let mut one = filled(Setup::apart(Store::Sqlite, 1)).await;
    let first = export(&mut one).await;
    drop(one);
    let mut four = filled(Setup::apart(Store::Sqlite, 4)).await;
    assert_same(&first, &export(&mut four).await, "four processes of adapt instead of one");
    drop(four);
    let mut served = filled(Setup::served(2)).await;
    assert_same(&first, &export(&mut served).await, "MongoDB's protocol instead of SQLite, S3 instead of a folder");
}
