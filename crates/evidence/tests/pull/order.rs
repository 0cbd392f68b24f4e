//! `_id`s decide nothing but the order of reading.

use export_mongo::bson::oid::ObjectId;
use export_mongo::bson::{Bson, Document, doc};

use crate::bench::{Bench, advisory, member, superseding, wrapped};

/// Forty documents: some with ids of their own, some that share one, revisions of revisions, and doubles. `id` makes the `_id`s.
fn documents(id: impl Fn(usize) -> Bson) -> Vec<Document> {
    let mut documents: Vec<Document> = (0..20).map(|n| advisory(id(n), &format!("A-{n}"), "only")).collect();
    documents.extend((20..25).map(|n| advisory(id(n), "SHARED", &format!("reading {}", n % 4))));
    for n in 25..40 {
        let revision = advisory(id(n), "REVISED", &format!("revision {n}"));
        documents.push(if n == 25 { revision } else { superseding(revision, id(n - 1)) });
    }
    documents
}

fn object_id(n: usize) -> Bson {
    let mut bytes = [7; 12];
    bytes[11] = u8::try_from(n).unwrap();
    Bson::ObjectId(ObjectId::from_bytes(bytes))
}

/// Of several types.
fn mixed(n: usize) -> Bson {
    match n % 3 {
        0 => Bson::Int64(i64::try_from(n).unwrap()),
        1 => Bson::String(format!("{n}")),
        _ => object_id(n),
    }
}

#[tokio::test]
async fn the_same_documents_under_other_ids_give_the_same_lines() {
    let mut all: Vec<Vec<String>> = Vec::new();
    let makers: [fn(usize) -> Bson; 4] =
        [object_id, |n| Bson::from(format!("{:03}", 999 - n)), |n| Bson::from(format!("{}", n * 7919 % 101)), mixed];
    for id in makers {
        let Some(bench) = Bench::new().await else { return };
        bench.insert("advisory_raw", documents(id)).await;
        let summary = bench.pull().await;
        // Of five documents that share an id, two say the same.
        assert_eq!((summary.total.added, summary.total.unchanged, summary.total.skipped), (25, 1, 14), "{summary}");
        all.push(bench.lines().await);
    }
    let ids: Vec<String> =
        all[0].iter().map(|line| member(line, "/document_id").as_str().unwrap().to_owned()).collect();
    for id in ["SHARED", "SHARED#2", "SHARED#3", "SHARED#4", "REVISED"] {
        assert_eq!(ids.iter().filter(|found| *found == id).count(), 1, "{ids:?}");
    }
    let revised: Vec<&String> = all[0].iter().filter(|line| line.contains("revision")).collect();
    assert!(revised.len() == 1 && revised[0].contains("revision 39"), "{revised:?}");
    assert!(all.iter().all(|lines| *lines == all[0]));
}

#[tokio::test]
async fn pulling_twice_changes_nothing_and_a_revision_supersedes_wherever_its_id_sorts() {
    let Some(bench) = Bench::new().await else { return };
    bench.insert("advisory_raw", [advisory("m", "A-1", "first"), advisory("n", "A-2", "other")]).await;
    let first = bench.pull().await;
    assert!(bench.spool_is_gone());
    let lines = bench.lines().await;
    let second = bench.pull().await;
    assert_eq!((second.total.unchanged, second.watermark), (2, first.watermark), "{second}");
    assert_eq!(bench.lines().await, lines);
    // Its `_id` sorts before all that was read already.
    let revision = superseding(advisory("a", "A-1", "second"), "m");
    bench.insert("advisory_raw", [revision, advisory("b", "A-3", "new")]).await;
    let third = bench.pull().await;
    let total = third.total;
    assert_eq!((total.added, total.changed, total.unchanged, total.skipped), (1, 1, 1, 1), "{third}");
    let lines = bench.lines().await;
    assert!(lines.len() == 3 && lines[0].contains("second"), "{lines:?}");
}

#[tokio::test]
async fn a_reference_by_text_finds_an_object_id() {
    let Some(bench) = Bench::new().await else { return };
    let later = superseding(advisory("x", "A-1", "second"), object_id(1).as_object_id().unwrap().to_hex());
    bench.insert("advisory_raw", [advisory(object_id(1), "A-1", "first"), later]).await;
    let summary = bench.pull().await;
    assert_eq!((summary.total.added, summary.total.skipped), (1, 1), "{summary}");
}

#[tokio::test]
async fn a_revision_supersedes_where_the_document_has_no_id_or_another_one_than_before() {
    let Some(bench) = Bench::new().await else { return };
    let bom =
        |text: &str| doc! { "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": { "x": text } };
    bench.insert("advisory_raw", [wrapped("a", bom("first")), advisory("m", "OLD-1", "first")]).await;
    assert_eq!(bench.pull().await.total.added, 2);
    let second = [superseding(wrapped("b", bom("second")), "a"), superseding(advisory("n", "NEW-1", "second"), "m")];
    bench.insert("advisory_raw", second).await;
    bench.insert("advisory_raw", [superseding(wrapped("c", bom("third")), "b")]).await;
    let summary = bench.pull().await;
    assert_eq!((summary.total.added, summary.total.changed, summary.total.skipped), (0, 2, 3), "{summary}");
    let lines = bench.lines().await;
    assert!(lines.len() == 2 && lines[0].contains("second") && lines[1].contains("third"), "{lines:?}");
    assert_eq!((member(&lines[0], "/subject"), member(&lines[0], "/document_id")), ("NEW-1".into(), "OLD-1".into()));
}

#[tokio::test]
async fn two_revisions_of_one_document_are_both_kept() {
    let Some(bench) = Bench::new().await else { return };
    let fork = |id: &str, text: &str| superseding(advisory(id, "A-1", text), "a");
    bench.insert("advisory_raw", [advisory("a", "A-1", "first"), fork("b", "left"), fork("c", "right")]).await;
    let summary = bench.pull().await;
    assert_eq!((summary.total.added, summary.total.skipped), (2, 1), "{summary}");
}
