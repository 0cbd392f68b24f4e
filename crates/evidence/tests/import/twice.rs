//! Importing again, and documents that share names: nothing is doubled and nothing is lost.

use std::sync::Arc;

use export_evidence::generate::generate;
use export_evidence::import::{Class, NoProgress};

use crate::bench::{Bench, osv};

#[tokio::test]
async fn importing_twice_changes_nothing_and_a_changed_document_supersedes() {
    let bench = Bench::new();
    bench.file("a.json", osv("A-1", "first"));
    bench.file("b.json", osv("B-1", "first"));
    let first = bench.import().await;
    assert_eq!((first.total.added, first.total.unchanged), (2, 0));
    let second = bench.import().await;
    assert_eq!((second.total.added, second.total.changed, second.total.unchanged), (0, 0, 2));
    bench.file("b.json", osv("B-1", "second"));
    let third = bench.import().await;
    assert_eq!((third.total.added, third.total.changed, third.total.unchanged), (0, 1, 1));
    assert_eq!(bench.names(), ["given a.json#A-1", "given b.json#B-1"]);
    let summaries: Vec<bool> =
        bench.ledger.all().iter().map(|record| record.raw.windows(6).any(|w| w == b"second")).collect();
    assert_eq!(summaries, [false, true]);
}

#[tokio::test]
async fn one_id_in_two_files_stays_two_records() {
    let bench = Bench::new();
    bench.file("el8/A-1.json", osv("A-1", "for 8"));
    bench.file("el9/A-1.json", osv("A-1", "for 9"));
    bench.import().await;
    assert_eq!(bench.names(), ["given el8/A-1.json#A-1", "given el9/A-1.json#A-1"]);
    assert!(bench.ledger.all().iter().all(|record| record.key.subject == "A-1"));
}

#[tokio::test]
async fn one_id_on_two_lines_stays_two_records_and_the_same_line_twice_is_one() {
    let bench = Bench::new();
    let lines = [
        osv("A-1", "x"),
        osv("A-1", "y"),
        osv("A-1", "x"),
        osv("A-1", "z"),
        r#"{"modified":"m","id":"A-1","summary":"x"}"#.into(),
    ];
    bench.file("feed.jsonl", lines.join("\n"));
    let summary = bench.import().await;
    assert_eq!((summary.total.added, summary.total.unchanged, summary.total.changed), (4, 1, 0));
    assert_eq!(bench.names(), ["given/feed A-1", "given/feed A-1#2", "given/feed A-1#3", "given/feed A-1#4"]);
    let again = bench.import().await;
    assert_eq!((again.total.added, again.total.changed, again.total.unchanged), (0, 0, 5));
}

#[tokio::test]
async fn folders_of_one_name_given_together_lose_nothing() {
    let bench = Bench::new();
    bench.file("p/x/d.json", osv("A-1", "p"));
    bench.file("q/x/d.json", osv("A-1", "q"));
    let paths = [bench.folder().join("p/x"), bench.folder().join("q/x")];
    let summary = bench.try_import(&paths).await.unwrap();
    assert_eq!(summary.total.added, 2);
    assert_eq!(bench.names(), ["x d.json#A-1", "x d.json#A-1#2"]);
}

#[tokio::test]
async fn a_failing_ledger_ends_the_import_and_gives_the_lease_back() {
    let mut bench = Bench::new();
    bench.ledger.fail_on_put = Some(2);
    let lines: Vec<String> = (0..5_000).map(|n| osv(&format!("A-{n}"), "x")).collect();
    bench.file("feed.jsonl", lines.join("\n"));
    let error = bench.try_import(&[bench.folder()]).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot store what was read");
    assert!(bench.ledger.all().is_empty());
    assert_eq!(bench.ledger.abandoned.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_an_error_and_touches_nothing() {
    let bench = Bench::new();
    let error = bench.try_import(&[bench.folder().join("absent")]).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot read `"), "{error}");
    assert!(bench.ledger.all().is_empty());
}

#[tokio::test]
async fn a_name_for_the_source_replaces_all_others() {
    let mut bench = Bench::new();
    bench.options.source_name = Some("mine".to_owned());
    bench.file("a/docs.jsonl", osv("A-1", "x"));
    bench.file("broken.json", "{");
    let summary = bench.import().await;
    assert_eq!(bench.names(), ["mine A-1"]);
    assert!(summary.rows.iter().all(|row| row.source == "mine"), "{summary}");
}

#[tokio::test]
async fn synthetic_evidence_is_taken_whole_and_a_longer_run_only_adds() {
    let bench = Bench::new();
    let generate = async |records| {
        let (options, progress) = (bench.options.clone(), Arc::new(NoProgress));
        generate(&bench.ledger, &bench.policy, 42, records, options, progress).await.unwrap()
    };
    let first = generate(1_000).await;
    assert_eq!((first.total.added, first.total.refused), (1_000, 0), "{first}");
    let of = |kind| first.of(kind).added;
    assert_eq!((of(Class::Advisory), of(Class::Vex), of(Class::Sbom)), (850, 100, 50));
    let second = generate(1_500).await;
    assert_eq!((second.total.added, second.total.unchanged), (500, 1_000));
    let records = bench.ledger.all();
    assert!(records.iter().all(|record| !record.linkset.purls.is_empty() && !record.ecosystems.is_empty()));
}
