//! What readers see.

use export_contract::message::LedgerSource;
use export_contract::{RecordKind, Sequence};
use futures::StreamExt as _;

use super::fixture::{advisory, all, at, import, key, lines, noise, raw, seen, selection, tenant};
use crate::{EvidenceLedger, NewRecord, PartSize, PutRecord, ReadRange, Watermark};

pub(super) async fn nothing_is_there_at_first(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    ledger.check().await.unwrap();
    ledger.check().await.unwrap();
    let nothing = Watermark::default();
    assert_eq!(ledger.watermark(&acme).await.unwrap(), nothing);
    assert_eq!(ledger.as_of(&acme, Sequence(7)).await.unwrap(), None);
    assert_eq!(ledger.sources(&acme, Sequence(0)).await.unwrap(), []);
    assert_eq!(
        ledger.cut(&selection(&acme, Sequence(0)), RecordKind::Vex, PartSize::records(10), 0).await.unwrap(),
        []
    );
    assert_eq!(lines(ledger, all(&acme, Sequence(0), RecordKind::Vex)).await, []);
    assert_eq!(import(ledger, &acme, Vec::new()).await, (Vec::new(), nothing), "an import of nothing moves nothing");
    assert_eq!(ledger.watermark(&acme).await.unwrap(), nothing);
}

pub(super) async fn each_watermark_shows_its_own_state(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let vex = NewRecord { kind: RecordKind::Vex, ..advisory("v", "s", 1) };
    let first = vec![advisory("b", "s", 1), advisory("a", "s", 9), vex];
    let (outcomes, one) = import(ledger, &acme, first).await;
    assert_eq!(outcomes, [PutRecord::Added; 3]);
    assert_eq!(one, Watermark { sequence: Sequence(3), as_of: Some(at(9)) });
    let second = vec![advisory("a", "s", 4), advisory("b", "s", 1), advisory("c", "t", 5)];
    let (outcomes, two) = import(ledger, &acme, second).await;
    assert_eq!(outcomes, [PutRecord::Changed, PutRecord::Unchanged, PutRecord::Added]);
    assert_eq!(two, Watermark { sequence: Sequence(5), as_of: Some(at(9)) }, "the greatest of all, not of the last");
    assert_eq!(ledger.watermark(&acme).await.unwrap(), two);

    assert_eq!(seen(ledger, &acme, Sequence(0)).await, [""; 0]);
    assert_eq!(seen(ledger, &acme, one.sequence).await, ["a 9", "b 1"]);
    assert_eq!(seen(ledger, &acme, two.sequence).await, ["a 4", "b 1", "c 5"]);

    assert_eq!(ledger.as_of(&acme, Sequence(1)).await.unwrap(), Some(at(1)));
    assert_eq!(ledger.as_of(&acme, one.sequence).await.unwrap(), one.as_of);
    assert_eq!(ledger.as_of(&acme, two.sequence).await.unwrap(), two.as_of);
    let source = |kind, name: &str, records| LedgerSource { kind, name: name.into(), records };
    let (advisory, vex) = (RecordKind::Advisory, RecordKind::Vex);
    assert_eq!(ledger.sources(&acme, one.sequence).await.unwrap(), [source(advisory, "s", 2), source(vex, "s", 1)]);
    assert_eq!(
        ledger.sources(&acme, two.sequence).await.unwrap(),
        [source(advisory, "s", 2), source(advisory, "t", 1), source(vex, "s", 1)]
    );
}

pub(super) async fn order_is_that_of_the_bytes(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let long = "lang-".repeat(600);
    // U+FFFD and U+10000 order one way by UTF-8 bytes and the other way by UTF-16 units.
    let mut texts = ["Z", "a", "a b", "a'\"\\$", "a.b", "é", "e\u{301}", "z", "\u{FFFD}", "\u{10000}", "10", "9", "_"]
        .map(str::to_owned)
        .to_vec();
    texts.extend([long.clone(), format!("{long}a"), format!("{long}B"), format!("{long}ä")]);
    let record = |subject: &str, document_id: &str, source: &str| NewRecord {
        key: key(subject, document_id, source),
        ..advisory("x", "s", 1)
    };
    let mut records: Vec<_> = texts.iter().map(|text| record(text, "d", "s")).collect();
    for record in &mut records {
        record.key.document_id = format!("id of {}", record.key.subject);
    }
    records.extend(texts.iter().map(|text| record("m", text, "s")));
    records.extend(texts.iter().map(|text| record("m", "m", text)));
    records.reverse();
    let mut expected: Vec<_> = records.iter().map(|record| record.key.clone()).collect();
    expected.sort();
    let (_, watermark) = import(ledger, &acme, records).await;
    let found = lines(ledger, all(&acme, watermark.sequence, RecordKind::Advisory)).await;
    assert_eq!(found.into_iter().map(|line| line.key).collect::<Vec<_>>(), expected);
    let parts =
        ledger.cut(&selection(&acme, watermark.sequence), RecordKind::Advisory, PartSize::records(1), 0).await.unwrap();
    assert_eq!(parts.into_iter().map(|part| part.first).collect::<Vec<_>>(), expected);
}

pub(super) async fn bounds_are_inside_and_a_cursor_gives_exactly_the_rest(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    // The same subject and document id under two sources, so that bounds differ in their last part only.
    let record = |subject: &str, document_id: &str, source: &str| NewRecord {
        key: key(subject, document_id, source),
        ..advisory("x", "s", 1)
    };
    let mut records = Vec::new();
    for subject in ["a", "b", "c"] {
        for document_id in ["1", "2"] {
            let document_id = format!("{subject}{document_id}");
            records.extend(["s", "t"].map(|source| record(subject, &document_id, source)));
        }
    }
    let keys: Vec<_> = records.iter().map(|record| record.key.clone()).collect();
    let (_, watermark) = import(ledger, &acme, records).await;
    let whole = all(&acme, watermark.sequence, RecordKind::Advisory);
    let read = async |range: ReadRange| -> Vec<_> { lines(ledger, range).await.into_iter().map(|l| l.key).collect() };
    for (from, first) in keys.iter().enumerate() {
        let begins = ReadRange { first: Some(first.clone()), ..whole.clone() };
        assert_eq!(read(begins.clone()).await, keys[from..]);
        let resumes = ReadRange { after: Some(first.clone()), ..whole.clone() };
        assert_eq!(read(resumes).await, keys[from + 1..]);
        for (to, last) in keys.iter().enumerate().skip(from) {
            let range = ReadRange { last: Some(last.clone()), ..begins.clone() };
            assert_eq!(read(range.clone()).await, keys[from..=to]);
            let middle = usize::midpoint(from, to);
            let resumed = ReadRange { after: Some(keys[middle].clone()), ..range };
            assert_eq!(read(resumed).await, keys[middle + 1..=to]);
        }
    }
    let absent = ReadRange { first: Some(key("b", "b1", "sz")), last: Some(key("b", "b9", "")), ..whole.clone() };
    assert_eq!(read(absent.clone()).await, keys[5..8], "bounds need not be keys");
    let before = ReadRange { after: Some(key("a", "", "")), ..absent };
    assert_eq!(read(before).await, keys[5..8], "a cursor before the range changes nothing");
    let crossed = ReadRange { first: Some(keys[3].clone()), last: Some(keys[2].clone()), ..whole };
    assert_eq!(read(crossed).await, []);
}

pub(super) async fn batches_are_bounded_and_never_empty(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let records: Vec<_> = (0..1_300).map(|n| advisory(&format!("{n:04}"), "s", n)).collect();
    let (_, watermark) = import(ledger, &acme, records).await;
    let whole = all(&acme, watermark.sequence, RecordKind::Advisory);
    assert_eq!(lines(ledger, whole.clone()).await.len(), 1_300);
    let mut stream = ledger.read(whole.clone()).await.unwrap();
    let mut after = None;
    let mut count = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        assert!(batch.len() <= 1_000, "a batch of {} records is too large to be one", batch.len());
        count += batch.len();
        after = batch.last().map(|line| line.key.clone());
        if count >= 500 {
            break;
        }
    }
    drop(stream);
    let rest = lines(ledger, ReadRange { after, ..whole }).await;
    assert_eq!(count + rest.len(), 1_300, "an interrupted read goes on after its cursor");
}

pub(super) async fn a_read_is_not_disturbed_by_an_import(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    // Together more than is read ahead, so that the import comes in the middle of the read.
    let state = |version: u32| -> Vec<_> {
        let document = |n| format!(r#"{{"noise":"{}","version":{version}.0}}"#, noise(150_000, n));
        let record = |n| NewRecord { raw: document(n).into(), ..advisory(&format!("{n:02}"), "s", version) };
        (0..60).map(record).collect()
    };
    let (_, before) = import(ledger, &acme, state(1)).await;
    let mut stream = ledger.read(all(&acme, before.sequence, RecordKind::Advisory)).await.unwrap();
    let mut found = stream.next().await.unwrap().unwrap();
    let (outcomes, after) = import(ledger, &acme, state(2)).await;
    assert!(outcomes.iter().all(|outcome| *outcome == PutRecord::Changed));
    assert!(found.len() < 30, "{} records came at once: too many for the test to say anything", found.len());
    while let Some(batch) = stream.next().await {
        found.extend(batch.unwrap());
    }
    assert_eq!(found.len(), 60);
    assert!(found.iter().all(|line| raw(line).ends_with("\"version\":1.0}")));
    let expect = |version: u32| (0..60).map(|n| format!("{n:02} {version}")).collect::<Vec<_>>();
    assert_eq!(seen(ledger, &acme, before.sequence).await, expect(1), "a later read at the old watermark too");
    assert_eq!(seen(ledger, &acme, after.sequence).await, expect(2));
}

pub(super) async fn tenants_do_not_see_each_other(ledger: &dyn EvidenceLedger) {
    let (acme, other) = (tenant("acme"), tenant("acme-2"));
    let (_, mine) = import(ledger, &acme, vec![advisory("a", "s", 1), advisory("b", "s", 1)]).await;
    assert_eq!(ledger.watermark(&other).await.unwrap(), Watermark::default());
    let (outcomes, theirs) = import(ledger, &other, vec![advisory("a", "s", 2)]).await;
    assert_eq!(outcomes, [PutRecord::Added], "the same identity of another tenant is another record");
    assert_eq!((mine.sequence, theirs.sequence), (Sequence(2), Sequence(1)), "each counts for itself");
    assert_eq!(ledger.as_of(&other, Sequence(9)).await.unwrap(), Some(at(2)));
    assert_eq!(seen(ledger, &acme, Sequence(9)).await, ["a 1", "b 1"]);
    assert_eq!(seen(ledger, &other, Sequence(9)).await, ["a 2"]);
    assert_eq!(ledger.sources(&other, Sequence(9)).await.unwrap().iter().map(|s| s.records).sum::<u64>(), 1);
    assert_eq!(
        ledger.cut(&selection(&other, Sequence(9)), RecordKind::Advisory, PartSize::records(9), 0).await.unwrap()[0]
            .records,
        1
    );
}
