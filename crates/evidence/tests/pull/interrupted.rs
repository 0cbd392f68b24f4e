//! A pull that is stopped, by whatever means, goes on where it was.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use export_evidence::SqliteLedger;
use export_evidence::import::{ImportOptions, ImportProgress};
use export_evidence::pull::{PullError, pull};
use export_mongo::bson::oid::ObjectId;
use export_mongo::bson::{Bson, Document};
use export_mongo::ferretdb::FerretDb;
use tokio::sync::Notify;

use crate::bench::{Bench, Read, advisory, lines, member, peer, tenant};

/// More than three batches, under `_id`s of every usual type.
const DOCUMENTS: usize = 900;

fn documents() -> Vec<Document> {
    (0..DOCUMENTS)
        .map(|n| {
            let id = match n % 3 {
                0 => Bson::Int32(i32::try_from(n).unwrap()),
                1 => Bson::String(format!("{n:04}")),
                _ => Bson::ObjectId(ObjectId::parse_str(format!("{n:024}")).unwrap()),
            };
            let mut document = advisory(id, &format!("A-{n:04}"), &"x".repeat(200));
            if n == 0 {
                document.insert("severity", "high");
            }
            document
        })
        .collect()
}

/// Says when documents were read.
#[derive(Debug, Default)]
struct Stopper(Notify);

impl ImportProgress for Stopper {
    fn documents(&self, _: u64) {
        self.0.notify_one();
    }
}

async fn goes_on_without_loss_or_doubles(bench: &Bench) {
    let (summary, read) = bench.try_pull().await;
    let summary = summary.unwrap();
    let read = usize::try_from(read).unwrap();
    assert!(0 < read && read < DOCUMENTS, "{read} were read again");
    // The one that was refused before the interruption is named in the reject file too.
    assert_eq!((summary.total.added, summary.total.refused), (DOCUMENTS as u64 - 1, 1), "{summary}");
    assert_eq!(bench.rejects()[0]["code"], "aoc_violation");
    let found: Vec<_> =
        bench.lines().await.iter().map(|line| member(line, "/document_id").as_str().unwrap().to_owned()).collect();
    assert_eq!(found, (1..DOCUMENTS).map(|n| format!("A-{n:04}")).collect::<Vec<_>>());
    assert!(bench.spool_is_gone());
}

#[tokio::test]
async fn a_pull_that_is_dropped_midway_goes_on() {
    let Some(bench) = Bench::new().await else { return };
    bench.insert("advisory_raw", documents()).await;
    let stopper = Arc::new(Stopper::default());
    let spool = bench.spool();
    let pulling = pull(&bench.ledger, &bench.peer, &spool, bench.options.clone(), stopper.clone());
    tokio::select! {
        biased;
        () = stopper.0.notified() => {}
        pulled = pulling => panic!("it was done at once: {pulled:?}"),
    }
    assert!(bench.lines().await.is_empty(), "nothing is visible before the end");
    goes_on_without_loss_or_doubles(&bench).await;
}

/// In the child process: pulls, says so, and then waits to be killed.
struct Hang;

impl ImportProgress for Hang {
    fn documents(&self, documents: u64) {
        println!("\nread {documents}");
        std::thread::park();
    }
}

const URI: &str = "EXPORT_TESTS_PULL_URI";
const FOLDER: &str = "EXPORT_TESTS_PULL_FOLDER";

/// No test of its own: the child of the next one.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the child is told by the environment")]
async fn child() {
    let (Ok(uri), Ok(folder)) = (std::env::var(URI), std::env::var(FOLDER)) else { return };
    let folder = std::path::PathBuf::from(folder);
    let ledger = SqliteLedger::open(&folder.join("evidence.db")).unwrap();
    let database = export_mongo::connect(&uri, "peer").await.unwrap();
    let collections = vec![export_evidence::pull::PeerCollection {
        name: "advisory_raw".to_owned(),
        kind: export_contract::RecordKind::Advisory,
    }];
    let peer = export_evidence::pull::Peer { database, servers: "test".to_owned(), collections };
    let options = ImportOptions::new(tenant(), "2026-06-01T00:00:00Z".parse().unwrap());
    pull(&ledger, &peer, &folder.join("pull"), options, Arc::new(Hang)).await.unwrap();
}

#[tokio::test]
async fn a_process_that_is_killed_midway_leaves_what_it_read_to_the_next() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.peer.collections.truncate(1);
    bench.insert("advisory_raw", documents()).await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["interrupted::child", "--exact", "--nocapture"])
        .env(URI, bench.server.uri())
        .env(FOLDER, bench.folder())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let read = said.lines().map_while(Result::ok).find(|line| line.starts_with("read "));
    assert!(read.is_some(), "the child ended by itself");
    let busy = bench.try_pull().await.0.unwrap_err();
    assert!(matches!(busy, PullError::InProgress { .. }), "{busy}");
    child.kill().unwrap();
    child.wait().unwrap();
    goes_on_without_loss_or_doubles(&bench).await;
}

#[tokio::test]
async fn a_peer_that_fails_midway_is_gone_on_with() {
    let Some(bench) = Bench::new().await else { return };
    bench.insert("advisory_raw", documents()).await;
    let stopper = Arc::new(Stopper::default());
    let (spool, options) = (bench.spool(), bench.options.clone());
    let pulling = pull(&bench.ledger, &bench.peer, &spool, options, stopper.clone());
    tokio::pin!(pulling);
    tokio::select! {
        biased;
        () = stopper.0.notified() => {}
        pulled = &mut pulling => panic!("it was done at once: {pulled:?}"),
    }
    drop(bench.server);
    let error = pulling.await.unwrap_err();
    assert!(matches!(error, PullError::Peer(_)) && error.is_transient(), "{error}");

    // The same documents on another server, under the same name: the pull goes on.
    let server = FerretDb::start().await.unwrap().unwrap();
    let peer = peer(&server, "peer").await;
    peer.database.create_collection("vex_raw").await.unwrap();
    for some in documents().chunks(200) {
        peer.database.collection::<Document>("advisory_raw").insert_many(some).await.unwrap();
    }
    let read = Arc::new(Read::default());
    let summary = pull(&bench.ledger, &peer, &spool, bench.options.clone(), read.clone()).await.unwrap();
    assert!(read.0.load(Ordering::Relaxed) < DOCUMENTS as u64);
    assert_eq!(summary.total.added, DOCUMENTS as u64 - 1);
    assert_eq!(lines(&bench.ledger).await.len(), DOCUMENTS - 1);
}

#[tokio::test]
async fn the_spool_of_another_peer_is_not_gone_on_with() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.insert("advisory_raw", documents()).await;
    let stopper = Arc::new(Stopper::default());
    let spool = bench.spool();
    let pulling = pull(&bench.ledger, &bench.peer, &spool, bench.options.clone(), stopper.clone());
    tokio::select! {
        biased;
        () = stopper.0.notified() => {}
        pulled = pulling => panic!("it was done at once: {pulled:?}"),
    }
    bench.peer.servers = "another".to_owned();
    let (summary, read) = bench.try_pull().await;
    assert_eq!((summary.unwrap().total.read, read), (DOCUMENTS as u64, DOCUMENTS as u64));
}
