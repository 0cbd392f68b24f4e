use std::collections::BTreeMap;

use bytes::Bytes;
use export_contract::evidence::Linkset;
use export_contract::selectors::{Pattern, Selectors, Window};
use export_contract::{RecordKey, RecordKind, TenantId, Timestamp};
use export_mongo::ferretdb::FerretDb;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use super::after_prefix;
use crate::batch::Identity;
use crate::predicate::{Subject, selects};
use crate::{EvidenceLedger, MongoLedger, NewRecord, PartSize, Selection, SqliteLedger};

#[test]
fn range_of_a_prefix_holds_exactly_the_texts_that_start_with_it() {
    let texts =
        ["", "a", "ab", "a\u{D7FF}", "a\u{E000}", "a\u{10FFFF}", "a\u{10FFFF}z", "b", "\u{10FFFF}", "\u{10FFFF}b"];
    for prefix in texts {
        let end = after_prefix(prefix);
        for text in texts {
            let inside = text >= prefix && end.as_deref().is_none_or(|end| text < end);
            assert_eq!(inside, text.starts_with(prefix), "{text:?} and {prefix:?}");
        }
    }
}

/// Short texts that meet each other often, of what `LIKE`, regular expressions and careless ranges trip over.
fn text() -> impl Strategy<Value = String> {
    vec(
        select(vec![
            "a",
            "A",
            "ab",
            "é",
            "%",
            "_",
            ".",
            "$^",
            "'",
            "\\",
            "[{(",
            "*+?|",
            "\n",
            "\u{E000}",
            "\u{10FFFF}",
        ]),
        0..3,
    )
    .prop_map(|pieces| pieces.concat())
}

fn kind() -> impl Strategy<Value = RecordKind> {
    select(RecordKind::ALL.to_vec())
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (0_i64..6).prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

fn record() -> impl Strategy<Value = NewRecord> {
    let key = (text(), text(), text());
    (kind(), key, vec(text(), 0..3), instant(), btree_set(text(), 0..4)).prop_map(
        |(kind, (subject, document_id, source), ecosystems, observed_at, purls)| NewRecord {
            kind,
            key: RecordKey { subject, document_id, source },
            ecosystems,
            observed_at,
            linkset: Linkset { purls: purls.into_iter().collect(), ..Linkset::default() },
            format: "osv".into(),
            spec_version: String::new(),
            raw: Bytes::from_static(b"{}"),
        },
    )
}

fn selectors() -> impl Strategy<Value = Selectors> {
    let texts = || prop_oneof![2 => btree_set(text(), 0..=0), 1 => btree_set(text(), 1..5)];
    let pattern = || (text(), any::<bool>()).prop_map(|(text, prefix)| Pattern(text + if prefix { "*" } else { "" }));
    let patterns = || prop_oneof![2 => btree_set(pattern(), 0..=0), 1 => btree_set(pattern(), 1..5)];
    let window = prop::option::weighted(
        0.3,
        (prop::option::of(instant()), prop::option::of(instant())).prop_map(|(from, until)| Window { from, until }),
    );
    let sets = (texts(), texts(), texts(), texts());
    (window, btree_set(kind(), 0..3), sets, patterns(), patterns()).prop_map(
        |(window, kinds, (sources, ecosystems, products, sbom_subjects), include, exclude)| Selectors {
            window,
            kinds,
            sources,
            ecosystems,
            products,
            sbom_subjects,
            include,
            exclude,
            ..Selectors::default()
        },
    )
}

/// Puts random records into `ledger` and asks it with random selectors; the predicate says what must come.
fn agrees_with_the_predicate(runtime: &tokio::runtime::Runtime, ledger: &dyn EvidenceLedger, cases: u32) {
    let mut runner = TestRunner::new(Config::default());
    let records = vec(record(), 250).new_tree(&mut runner).unwrap().current();
    let by_identity: BTreeMap<_, _> = records.into_iter().map(|record| (Identity::of(&record), record)).collect();
    let records: Vec<NewRecord> = by_identity.into_values().collect();
    let tenant: TenantId = "acme".parse().unwrap();
    let watermark = runtime.block_on(async {
        let mut session = ledger.begin_import(&tenant).await.unwrap();
        session.put(records.clone()).await.unwrap();
        session.commit().await.unwrap()
    });
    let chosen = |selectors: &Selectors, kind: RecordKind| {
        let subject = |record: &NewRecord| {
            let NewRecord { kind, key, ecosystems, observed_at, linkset, .. } = record;
            let subject = Subject { kind: *kind, key, ecosystems, purls: &linkset.purls, observed_at: *observed_at };
            selects(selectors, subject)
        };
        let mut keys: Vec<_> =
            records.iter().filter(|record| record.kind == kind && subject(record)).map(|r| r.key.clone()).collect();
        keys.sort();
        keys
    };
    let mut some = 0;
    for _ in 0..cases {
        let selectors = selectors().new_tree(&mut runner).unwrap().current();
        let selection = Selection { tenant: tenant.clone(), watermark: watermark.sequence, selectors };
        for kind in RecordKind::ALL {
            let parts = runtime.block_on(ledger.cut(&selection, kind, PartSize::records(1), 0)).unwrap();
            let found: Vec<_> = parts.into_iter().map(|part| part.first).collect();
            let expected = chosen(&selection.selectors, kind);
            some += usize::from(!expected.is_empty() && !selection.selectors.include.is_empty());
            assert_eq!(found, expected, "{kind} by {:?}", selection.selectors);
        }
    }
    assert!(some > 5, "the selectors are so narrow that the test says nothing");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn sql_chooses_what_the_predicate_chooses() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("a.db")).unwrap();
    agrees_with_the_predicate(&runtime(), &ledger, 1_000);
}

#[test]
fn mongodb_filter_chooses_what_the_predicate_chooses() {
    let runtime = runtime();
    let Some(server) = runtime.block_on(FerretDb::start()).unwrap() else { return };
    let database = runtime.block_on(server.database("selectors")).unwrap();
    let ledger = runtime.block_on(MongoLedger::open(database)).unwrap();
    agrees_with_the_predicate(&runtime, &ledger, 100);
}
