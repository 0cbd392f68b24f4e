//! Where a run's parts are cut.

use export_contract::message::Part;
use export_contract::selectors::{Pattern, Selectors};
use export_contract::{PartIndex, RecordKind};

use super::fixture::{advisory, all, import, lines, selection, tenant};
use crate::{Cut, EvidenceLedger, LONGEST, NewRecord, PartSize, ReadRange, Selection};

pub(super) async fn cut_depends_on_the_data_alone(one: &dyn EvidenceLedger, two: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let records: Vec<_> = (0..25).map(|n| advisory(&format!("{n:02}"), "s", n)).collect();
    let (_, watermark) = import(one, &acme, records.clone()).await;
    // The same state by another road: other order, several imports, a detour.
    let (late, early) = records.split_at(10);
    import(two, &acme, early.iter().rev().cloned().collect()).await;
    import(two, &acme, vec![advisory("03", "s", 99), NewRecord { kind: RecordKind::Sbom, ..advisory("x", "s", 1) }])
        .await;
    let (_, later) = import(two, &acme, late.to_vec()).await;
    assert_ne!(watermark.sequence, later.sequence);

    let parts =
        one.cut(&selection(&acme, watermark.sequence), RecordKind::Advisory, PartSize::records(10), 3).await.unwrap();
    let bounds =
        |part: &Part| (part.index, part.kind, part.first.subject.clone(), part.last.subject.clone(), part.records);
    let part = |index, first: &str, last: &str, records| {
        (PartIndex(index), RecordKind::Advisory, first.to_owned(), last.to_owned(), records)
    };
    let expected = [part(3, "00", "09", 10), part(4, "10", "19", 10), part(5, "20", "24", 5)];
    assert_eq!(parts.iter().map(bounds).collect::<Vec<_>>(), expected);
    assert_eq!(
        two.cut(&selection(&acme, later.sequence), RecordKind::Advisory, PartSize::records(10), 3).await.unwrap(),
        parts
    );
    let even =
        one.cut(&selection(&acme, watermark.sequence), RecordKind::Advisory, PartSize::records(5), 0).await.unwrap();
    assert_eq!(even.iter().map(|part| part.records).collect::<Vec<_>>(), [5; 5], "no empty last part");
    assert_eq!(
        one.cut(&selection(&acme, watermark.sequence), RecordKind::Sbom, PartSize::records(10), 0).await.unwrap(),
        []
    );

    let whole = all(&acme, watermark.sequence, RecordKind::Advisory);
    let mut by_parts = Vec::new();
    for part in parts {
        let range = ReadRange { first: Some(part.first), last: Some(part.last), ..whole.clone() };
        let found = lines(one, range).await;
        assert_eq!(found.len() as u64, part.records);
        by_parts.extend(found);
    }
    assert_eq!(by_parts, lines(one, whole).await, "the parts are the whole");
}

pub(super) async fn cut_obeys_the_selectors(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let records = (0..20).map(|n| advisory(&format!("{n:02}"), if n % 2 == 0 { "even" } else { "odd" }, n)).collect();
    let (_, watermark) = import(ledger, &acme, records).await;
    let selectors = Selectors {
        sources: ["even".to_owned()].into(),
        products: ["pkg:npm/0".to_owned(), "pkg:npm/12".to_owned()].into(),
        exclude: [Pattern("04".to_owned())].into(),
        ..Selectors::default()
    };
    let selection = Selection { selectors, ..selection(&acme, watermark.sequence) };
    let parts = ledger.cut(&selection, RecordKind::Advisory, PartSize::records(3), 0).await.unwrap();
    let bounds: Vec<_> = parts.iter().map(|p| (p.first.subject.as_str(), p.last.subject.as_str(), p.records)).collect();
    assert_eq!(bounds, [("00", "06", 3), ("08", "12", 2)]);
    let range = ReadRange { selection, ..all(&acme, watermark.sequence, RecordKind::Advisory) };
    let found: Vec<_> = lines(ledger, range).await.into_iter().map(|line| line.key.subject).collect();
    assert_eq!(found, ["00", "02", "06", "08", "12"]);
}

pub(super) async fn a_part_of_large_records_closes_by_their_bytes(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let sized = |n: u32, bytes: usize| NewRecord {
        raw: format!(r#"{{"filler":"{}"}}"#, "x".repeat(bytes)).into(),
        ..advisory(&format!("{n:02}"), "s", n)
    };
    let sizes = [100_000, 10, 10, 100_000, 100_000, 10, 10, 10];
    let records = sizes.into_iter().zip(0..).map(|(bytes, n)| sized(n, bytes)).collect();
    let (_, watermark) = import(ledger, &acme, records).await;
    let size = PartSize { bytes: 100_000, ..PartSize::records(4) };
    let parts = ledger.cut(&selection(&acme, watermark.sequence), RecordKind::Advisory, size, 0).await.unwrap();
    let bounds: Vec<_> = parts.iter().map(|p| (p.first.subject.as_str(), p.last.subject.as_str(), p.records)).collect();
    assert_eq!(bounds, [("00", "00", 1), ("01", "03", 3), ("04", "04", 1), ("05", "07", 3)]);
}

pub(super) async fn a_cut_by_keys_moves_only_where_records_come_and_go(ledger: &dyn EvidenceLedger) {
    let acme = tenant("acme");
    let size = PartSize { cut: Cut::Key, ..PartSize::records(8) };
    let records = (0..400).filter(|n| n % 50 != 7).map(|n| advisory(&format!("{n:03}"), "s", n)).collect();
    let (_, before) = import(ledger, &acme, records).await;
    let (_, after) = import(ledger, &acme, vec![advisory("207", "s", 207)]).await;
    let mut cuts = Vec::new();
    for watermark in [before, after] {
        let parts = ledger.cut(&selection(&acme, watermark.sequence), RecordKind::Advisory, size, 0).await.unwrap();
        assert!(parts.iter().all(|part| part.records <= u64::from(8 * LONGEST)));
        assert!((25..100).contains(&parts.len()), "{} parts", parts.len());
        cuts.push(parts.into_iter().map(|part| (part.first, part.last, part.records)).collect::<Vec<_>>());
    }
    let moved = cuts[1].iter().filter(|part| !cuts[0].contains(part)).count();
    assert!((1..=3).contains(&moved), "{moved} parts moved");
}
