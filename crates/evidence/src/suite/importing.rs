//! What becomes of records that are put.

use bytes::Bytes;
use export_contract::evidence::Linkset;
use export_contract::{RecordKind, Sequence};

use super::fixture::{TestClock, advisory, all, import, key, lines, raw, seen, tenant};
use crate::{EvidenceLedger, LedgerError, NewRecord, PutRecord};

pub(super) async fn same_content_is_not_written_again(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let record = advisory("a", "s", 1);
    let (_, first) = import(ledger, &acme, vec![record.clone()]).await;
    let again = NewRecord { observed_at: record.observed_at.plus_seconds(60), ..record.clone() };
    let (outcomes, second) = import(ledger, &acme, vec![again.clone(), again]).await;
    assert_eq!((outcomes, second), (vec![PutRecord::Unchanged; 2], first), "a later look at the same is no news");
    let changes = [
        NewRecord { ecosystems: vec!["npm".into(), "pypi".into()], ..record.clone() },
        NewRecord { linkset: Linkset { aliases: vec!["b".into()], ..Linkset::default() }, ..record.clone() },
        NewRecord { linkset: Linkset { cpes: vec!["b".into()], ..Linkset::default() }, ..record.clone() },
        NewRecord { spec_version: "1.7.1".into(), ..record.clone() },
        NewRecord { raw: Bytes::from_static(br#"{"id":"x","version":1.00,"z":null}"#), ..record.clone() },
        record.clone(),
    ];
    for (count, change) in changes.into_iter().enumerate() {
        let (outcomes, watermark) = import(ledger, &acme, vec![change]).await;
        assert_eq!(outcomes, [PutRecord::Changed], "change {count}");
        assert_eq!(seen(ledger, &acme, watermark.sequence).await, ["a 1"]);
    }
}

pub(super) async fn later_record_of_the_same_identity_wins(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let of_source = |source: &str| NewRecord { key: key("a", "doc", source), ..advisory("a", "s", 1) };
    let moved = NewRecord { key: key("other subject", "doc", "s"), ..advisory("a", "s", 2) };
    let of_kind = NewRecord { kind: RecordKind::Vex, ..of_source("s") };
    let mut session = ledger.begin_import(&acme).await.unwrap();
    let first =
        session.put(vec![of_source("s"), of_source("t"), of_kind, advisory("b", "s", 1), advisory("b", "s", 2)]);
    let [added, changed] = [PutRecord::Added, PutRecord::Changed];
    assert_eq!(first.await.unwrap(), [added, added, added, added, changed], "identity is kind, source and document id");
    assert_eq!(session.put(vec![advisory("b", "s", 3), moved]).await.unwrap(), [changed, changed]);
    let watermark = session.commit().await.unwrap();
    assert_eq!(seen(ledger, &acme, watermark.sequence).await, ["a 1", "b 3", "other subject 2"]);
    assert_eq!(lines(ledger, all(&acme, watermark.sequence, RecordKind::Vex)).await.len(), 1);
    let (outcomes, watermark) = import(ledger, &acme, vec![advisory("b", "s", 3), advisory("b", "s", 1)]).await;
    assert_eq!(outcomes, [PutRecord::Unchanged, changed]);
    assert_eq!(seen(ledger, &acme, watermark.sequence).await, ["a 1", "b 1", "other subject 2"]);
}

pub(super) async fn what_is_not_committed_is_never_seen(ledger: &dyn EvidenceLedger, clock: &TestClock) {
    let acme = tenant("acme");
    let (_, before) = import(ledger, &acme, vec![advisory("a", "s", 1), advisory("b", "s", 1)]).await;
    let stable = [String::from("a 1"), String::from("b 1")];
    for ends_well in [false, true] {
        let mut session = ledger.begin_import(&acme).await.unwrap();
        let never = (0..50).map(|n| advisory(&format!("never {n}"), "s", 7));
        session.put(never.chain([advisory("a", "s", 7)]).collect()).await.unwrap();
        session.put(vec![advisory("b", "s", 7), advisory("a", "s", 8)]).await.unwrap();
        assert_eq!(ledger.watermark(&acme).await.unwrap(), before);
        assert_eq!(seen(ledger, &acme, before.sequence).await, stable);
        if ends_well {
            session.abandon().await.unwrap();
        } else {
            drop(session);
            let refused = ledger.begin_import(&acme).await.err().unwrap();
            assert!(matches!(refused, LedgerError::ImportInProgress { .. }) && refused.is_transient());
            clock.pass(101);
        }
        assert_eq!(ledger.watermark(&acme).await.unwrap(), before);
        assert_eq!(seen(ledger, &acme, before.sequence).await, stable);
    }
    // The next import takes the place: nothing of the others appears with it, and what they superseded is still there.
    let next = vec![advisory("a", "s", 1), advisory("c", "s", 2)];
    let (outcomes, after) = import(ledger, &acme, next).await;
    assert_eq!(outcomes, [PutRecord::Unchanged, PutRecord::Added]);
    assert_eq!(seen(ledger, &acme, after.sequence).await, ["a 1", "b 1", "c 2"]);
    let (outcomes, last) = import(ledger, &acme, vec![advisory("b", "s", 7), advisory("never 1", "s", 7)]).await;
    assert_eq!(outcomes, [PutRecord::Changed, PutRecord::Added]);
    assert_eq!(seen(ledger, &acme, last.sequence).await, ["a 1", "b 7", "c 2", "never 1 7"]);
    assert_eq!(seen(ledger, &acme, before.sequence).await, stable, "the old watermark shows what it showed");
    assert_eq!(ledger.sources(&acme, last.sequence).await.unwrap()[0].records, 4);
    assert_eq!(ledger.as_of(&acme, last.sequence).await.unwrap(), last.as_of);
}

pub(super) async fn an_unreadable_document_is_refused_and_the_rest_goes_on(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let mut session = ledger.begin_import(&acme).await.unwrap();
    for bad in [&b"{\"open\":"[..], b"", b"{\"a\":\n1}"] {
        let broken = NewRecord { raw: Bytes::from_static(bad), ..advisory("broken", "s", 1) };
        let refused = session.put(vec![advisory("a", "s", 1), broken]).await.unwrap_err();
        assert!(matches!(&refused, LedgerError::Refused { .. }) && !refused.is_transient());
        assert!(refused.to_string().contains("`s/broken`"), "{refused}");
    }
    assert_eq!(session.put(vec![advisory("a", "s", 1)]).await.unwrap(), [PutRecord::Added], "a batch is one step");
    let watermark = session.commit().await.unwrap();
    assert_eq!(watermark.sequence, Sequence(1));
    let found = lines(ledger, all(&acme, watermark.sequence, RecordKind::Advisory)).await;
    assert_eq!(found.iter().map(raw).collect::<Vec<_>>(), [r#"{"id":"x","version":1.0,"z":null}"#]);
}
