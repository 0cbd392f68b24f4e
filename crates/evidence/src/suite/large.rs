//! Documents past the limits that stores have (design D13).

use bytes::Bytes;
use export_contract::RecordKind;
use export_contract::evidence::Linkset;
use export_contract::selectors::Selectors;

use super::fixture::{advisory, all, import, lines, noise, raw, selection, tenant};
use crate::{EvidenceLedger, NewRecord, ReadRange, Selection};

const BYTES: usize = 18 << 20;

pub(super) async fn large_documents_come_back_whole(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let document = |text: String| Bytes::from(format!(r#"{{"csaf":"{text}"}}"#));
    let dense = document(noise(BYTES, 1));
    let loose = document("all work and no play ".repeat(BYTES / 21));
    let purls: Vec<String> =
        (0..80_000).map(|n| format!("pkg:maven/org.example.of.some.group/artifact@{n:06}")).collect();
    let many = NewRecord {
        kind: RecordKind::Vex,
        raw: dense.clone(),
        linkset: Linkset { purls, ..Linkset::default() },
        ..advisory("c many", "s", 1)
    };
    let records = vec![
        NewRecord { kind: RecordKind::Vex, raw: dense.clone(), ..advisory("a dense", "s", 1) },
        NewRecord { kind: RecordKind::Vex, raw: loose.clone(), ..advisory("b loose", "s", 1) },
        many,
        NewRecord { kind: RecordKind::Vex, ..advisory("d small", "s", 1) },
    ];
    let (_, watermark) = import(ledger, &acme, records).await;
    let found = lines(ledger, all(&acme, watermark.sequence, RecordKind::Vex)).await;
    let subjects: Vec<_> = found.iter().map(|line| line.key.subject.as_str()).collect();
    assert_eq!(subjects, ["a dense", "b loose", "c many", "d small"]);
    for (line, document) in found.iter().zip([&dense, &loose, &dense]) {
        assert!(raw(line).as_bytes() == &document[..], "{} came back changed", line.key.subject);
    }
    assert!(
        found[0].line.len() > 12 << 20,
        "{} bytes: the case needs a stored line that is large",
        found[0].line.len()
    );

    let selectors = Selectors {
        products: ["pkg:maven/org.example.of.some.group/artifact@079999".to_owned()].into(),
        ..Selectors::default()
    };
    let selection = Selection { selectors, ..selection(&acme, watermark.sequence) };
    let range = ReadRange { selection, ..all(&acme, watermark.sequence, RecordKind::Vex) };
    let chosen: Vec<_> = lines(ledger, range).await.into_iter().map(|line| line.key.subject).collect();
    assert_eq!(chosen, ["c many"], "the last of many purls is looked at too");

    // A large document that changes and is superseded leaves nothing of itself in the new one.
    let smaller = NewRecord { kind: RecordKind::Vex, ..advisory("a dense", "s", 2) };
    let (_, later) = import(ledger, &acme, vec![smaller]).await;
    let found = lines(ledger, all(&acme, later.sequence, RecordKind::Vex)).await;
    assert_eq!(raw(&found[0]), r#"{"id":"x","version":2.0,"z":null}"#);
    let before = lines(ledger, all(&acme, watermark.sequence, RecordKind::Vex)).await;
    assert!(raw(&before[0]).as_bytes() == &dense[..]);
}
