//! Every role a process of its own, on one broker: what `exportd all` shows, over both kinds of store.

use std::fmt::Write as _;

use export_tests::{Bundle, Deployment, Setup, Store, light};

use crate::{bad_input, json_raw};

#[tokio::test(flavor = "multi_thread")]
async fn roles_in_processes_of_their_own_over_mongodb_do_what_one_process_does() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Ferret, 2).await.unwrap();
    json_raw::check(&mut deployment).await;
    // A second start finds collections and indexes there.
    deployment.stop_all().await.unwrap();
    deployment.start_all().await.unwrap();
    deployment.run("json:raw").await.unwrap().bundle();
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_over_mongodb_and_s3_do_what_one_process_does() {
    let _turn = light().await;
    let mut deployment = Deployment::start(Setup::served(2)).await.unwrap();
    json_raw::check(&mut deployment).await;
    assert!(!deployment.data().join("staging").exists(), "something was staged in a folder all the same");
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_in_processes_of_their_own_over_sqlite_do_what_one_process_does() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Sqlite, 2).await.unwrap();
    json_raw::check(&mut deployment).await;
    deployment.stop_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_in_processes_of_their_own_over_mongodb_refuse_what_one_process_refuses() {
    let _turn = light().await;
    bad_input::check(&Deployment::apart(Store::Ferret, 2).await.unwrap()).await;
}

/// MongoDB takes 16 MiB in one document (design D13).
#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_18_mb_goes_into_mongodb_and_out_again() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Ferret, 1).await.unwrap();
    let folder = deployment.folder().join("large");
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = String::from(r#"{"bomFormat":"CycloneDX","specVersion":"1.5","version":1.0,"components":["#);
    for number in 0..180_000 {
        let comma = if number == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"type":"library","name":"library-{number}","version":"{number}.0","purl":"pkg:npm/library-{number}@{number}.0"}}"#
        )
        .unwrap();
    }
    text.push_str("]}");
    assert!(text.len() > 18_000_000, "{}", text.len());
    std::fs::write(folder.join("large.cdx.json"), text).unwrap();
    deployment.import(&[folder.as_path()]).unwrap();
    let finished = deployment.run("json:raw").await.unwrap();
    let unpacked = deployment.download(&finished).await.unwrap().unpack().unwrap();
    let report = Bundle::read_with_python(&unpacked, &[folder]).unwrap();
    assert_eq!((&report["compared"], &report["originals"]), (&1.into(), &1.into()), "{report:#}");
}
