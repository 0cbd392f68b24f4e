//! A Findings Ledger over HTTP: the promises of a pull, whatever the server does.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use export_canon::zst::decompress_frame;
use export_contract::selectors::Selectors;
use export_contract::{RecordKind, TenantId};
use export_evidence::import::{ImportOptions, ImportProgress, ImportSummary};
use export_evidence::pull::{HttpPeer, PeerCollection, PullError, pull_http};
use export_evidence::remote::{RemoteError, RemoteSettings};
use export_evidence::{EvidenceLedger as _, ReadRange, Selection, SqliteLedger};
use futures::TryStreamExt as _;
use serde_json::Value;

use crate::server::{Fault, Server};

const ADVISORIES: &str = "ledger/export/advisories";
const VEX: &str = "ledger/export/vex";

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn peer(server: RemoteSettings) -> HttpPeer {
    let stream = |name: &str, kind| PeerCollection { name: name.to_owned(), kind };
    HttpPeer { server, streams: vec![stream("advisories", RecordKind::Advisory), stream("vex", RecordKind::Vex)] }
}

/// An advisory as the ledger gives it out.
fn advisory(id: &str, osv_id: &str, raw: &str) -> String {
    format!(
        r#"{{"_id":"{id}","tenant":"acme","source":{{"vendor":"example"}},"upstream":{{"fetched_at":"2026-05-01T00:00:00Z"}},"content":{{"format":"OSV","raw":{{"id":"{osv_id}","modified":"2026-01-01T00:00:00Z",{raw}}}}},"supersedes":null}}"#
    )
}

struct Bench {
    server: Server,
    ledger: SqliteLedger,
    folder: tempfile::TempDir,
}

/// Counts documents that were read.
#[derive(Default)]
struct Read(AtomicU64);

impl ImportProgress for Read {
    fn documents(&self, documents: u64) {
        self.0.fetch_add(documents, Ordering::Relaxed);
    }
}

impl Bench {
    /// A server with these advisories and no VEX documents.
    async fn new(advisories: Vec<String>) -> Self {
        let server = Server::start().await;
        server.put_rows("acme", ADVISORIES, advisories);
        server.put_rows("acme", VEX, Vec::new());
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("evidence.db")).unwrap();
        Self { server, ledger, folder }
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("pull")
    }

    async fn try_pull(&self) -> (Result<ImportSummary, PullError>, u64) {
        let read = Arc::new(Read::default());
        let peer = peer(self.server.settings());
        let pulled = pull_http(&self.ledger, &peer, &self.spool(), options(self.folder.path()), read.clone()).await;
        (pulled, read.0.load(Ordering::Relaxed))
    }

    async fn lines(&self) -> Vec<Value> {
        let watermark = self.ledger.watermark(&tenant()).await.unwrap().sequence;
        let selection = Selection { tenant: tenant(), watermark, selectors: Selectors::default() };
        let range = ReadRange { selection, kind: RecordKind::Advisory, first: None, last: None, after: None };
        let batches: Vec<_> = self.ledger.read(range).await.unwrap().try_collect().await.unwrap();
        let texts = batches.into_iter().flatten().map(|line| decompress_frame(&line.line, 64 << 20).unwrap());
        texts.map(|text| serde_json::from_slice(&text).unwrap()).collect()
    }

    async fn ids(&self) -> Vec<String> {
        self.lines().await.iter().map(|line| line["document_id"].as_str().unwrap().to_owned()).collect()
    }
}

fn options(folder: &Path) -> ImportOptions {
    let mut options = ImportOptions::new(tenant(), "2026-06-01T00:00:00Z".parse().unwrap());
    options.reject_file = Some(folder.join("rejects.jsonl"));
    options
}

#[tokio::test]
async fn what_the_ledger_gives_out_becomes_evidence_with_every_literal() {
    let newer = advisory("a2", "A-1", r#""summary":"new","n":1.0,"big":12345678901234567890"#)
        .replace(r#""supersedes":null"#, r#""supersedes":"a1""#);
    let concluding = advisory("a3", "A-3", r#""summary":"x""#).replacen('{', r#"{"severity":"high","#, 1);
    let rows =
        vec![advisory("a1", "A-1", r#""summary":"old""#), newer, concluding, advisory("a4", "A-4", r#""summary":"y""#)];
    let bench = Bench::new(rows).await;
    bench.server.pages_of(2);
    let summary = bench.try_pull().await.0.unwrap();
    assert_eq!((summary.total.added, summary.total.refused, summary.total.skipped), (2, 1, 1), "{summary}");
    let rejects = std::fs::read_to_string(bench.folder.path().join("rejects.jsonl")).unwrap();
    assert!(rejects.contains("aoc_violation") && rejects.contains("ledger/export.advisories"), "{rejects}");
    assert_eq!(bench.ids().await, ["A-1", "A-4"]);
    let line = bench.lines().await[0].clone();
    assert_eq!((&line["source"], &line["observed_at"]), (&"example".into(), &"2026-05-01T00:00:00Z".into()));
    let raw = serde_json::to_string(&line["content"]["raw"]["big"]).unwrap();
    assert_eq!(raw, "12345678901234567890");
    for request in bench.server.requests() {
        assert_eq!(request.headers["x-stella-tenant"], "acme");
        assert!(request.target.contains("shape=canonical"), "{}", request.target);
    }

    let again = bench.try_pull().await.0.unwrap();
    assert_eq!((again.total.added, again.total.changed, again.total.unchanged), (0, 0, 2), "{again}");
    assert!(std::fs::read_dir(bench.spool()).unwrap().count() == 1, "nothing but the lock is left");
}

fn many() -> Vec<String> {
    (0..900).map(|n| advisory(&format!("a{n}"), &format!("A-{n:04}"), r#""summary":"x""#)).collect()
}

/// All that is asked of a pull after one that was broken off.
async fn goes_on_without_loss_or_doubles(bench: &Bench) {
    assert!(bench.ids().await.is_empty(), "nothing is visible before the end");
    let (summary, read) = bench.try_pull().await;
    let summary = summary.unwrap();
    assert!(0 < read && read < 900, "{read} were read again");
    assert_eq!((summary.total.added, summary.total.refused), (900, 0), "{summary}");
    assert_eq!(bench.ids().await, (0..900).map(|n| format!("A-{n:04}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_pull_whose_peer_fails_midway_goes_on() {
    let bench = Bench::new(many()).await;
    bench.server.pages_of(100);
    bench.server.after(3, Fault::Answers(503, Some(0)));
    let (stopped, read) = bench.try_pull().await;
    assert_eq!(read, 300);
    let error = stopped.unwrap_err();
    assert!(error.is_transient(), "{error}");
    bench.server.always(None);
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

const BASE: &str = "EXPORT_TESTS_PULL_BASE";
const FOLDER: &str = "EXPORT_TESTS_PULL_FOLDER";

/// No test of its own: the child of the next one.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the child is told by the environment")]
async fn child() {
    let (Ok(base_url), Ok(folder)) = (std::env::var(BASE), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    let ledger = SqliteLedger::open(&folder.join("evidence.db")).unwrap();
    let token_file = Some(folder.join("token"));
    let timeout = std::time::Duration::from_secs(30);
    let server = RemoteSettings { base_url, token_file, bearer: None, ca_file: None, timeout };
    pull_http(&ledger, &peer(server), &folder.join("pull"), options(&folder), Arc::new(Hang)).await.unwrap();
}

#[tokio::test]
async fn a_process_that_is_killed_midway_leaves_what_it_read_to_the_next() {
    let bench = Bench::new(many()).await;
    bench.server.pages_of(100);
    std::fs::copy(bench.server.token_file(), bench.folder.path().join("token")).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["ledger::child", "--exact", "--nocapture"])
        .env(BASE, bench.server.settings().base_url)
        .env(FOLDER, bench.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = child.stdout.take().unwrap();
    let read = tokio::task::spawn_blocking(move || {
        BufReader::new(said).lines().map_while(Result::ok).find(|line| line.starts_with("read "))
    });
    assert!(read.await.unwrap().is_some(), "the child ended by itself");
    let busy = bench.try_pull().await.0.unwrap_err();
    assert!(matches!(busy, PullError::InProgress { .. }), "{busy}");
    child.kill().unwrap();
    child.wait().unwrap();
    goes_on_without_loss_or_doubles(&bench).await;
}

#[tokio::test]
async fn a_page_that_the_peer_no_longer_knows_is_begun_anew_and_nothing_is_taken_twice() {
    let bench = Bench::new(many()).await;
    bench.server.pages_of(100);
    bench.server.after(3, Fault::Answers(503, Some(0)));
    assert!(bench.try_pull().await.0.is_err());
    bench.server.always(None);
    bench.server.requests();
    bench.server.next([Fault::Answers(410, None)]);
    let summary = bench.try_pull().await.0.unwrap();
    assert_eq!((summary.total.read, summary.total.added), (900, 900), "{summary}");
    let requests = bench.server.requests();
    assert!(requests[0].target.contains("page_token=") && !requests[1].target.contains("page_token="), "{requests:?}");
}

#[tokio::test]
async fn a_peer_that_lies_brings_nothing_in() {
    let bench = Bench::new(many()).await;
    bench.server.pages_of(100);
    for (fault, what) in [
        (Fault::GoesRoundInCircles, "circles"),
        (Fault::SendsNothingForEver, "nothing"),
        (Fault::MixesTenantsUp, "tenants"),
        (Fault::LosesARow, "row"),
        (Fault::Html, "html"),
    ] {
        bench.server.always(Some(fault));
        let error = bench.try_pull().await.0.unwrap_err();
        let PullError::Remote { cause, .. } = &error else { panic!("{what}: {error}") };
        let is_named = match what {
            "circles" | "nothing" => matches!(cause, RemoteError::Endless(_)),
            "tenants" => matches!(cause, RemoteError::OtherTenant { .. }),
            "row" => matches!(cause, RemoteError::Manifest(_)),
            _ => matches!(cause, RemoteError::Media { .. }),
        };
        assert!(is_named && !error.is_transient(), "{what}: {cause}");
        assert!(bench.ids().await.is_empty(), "{what}");
        std::fs::remove_dir_all(bench.spool()).unwrap();
    }
}
