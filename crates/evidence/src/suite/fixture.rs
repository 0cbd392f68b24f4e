//! Records and shorthands of the suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use export_canon::digesting::sha256;
use export_canon::zst::decompress_frame;
use export_contract::evidence::{Envelope, Linkset};
use export_contract::selectors::Selectors;
use export_contract::{RecordKey, RecordKind, Sequence, TenantId, Timestamp};
use futures::StreamExt as _;

use crate::lease::LeaseTerms;
use crate::{EvidenceLedger, NewRecord, PutRecord, ReadRange, Selection, StoredLine, Watermark};

/// A clock that stands still until it is moved.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<AtomicI64>);

/// Length of a lease in the suite; long by the real clock, so that the timer of a session does not renew it.
const LEASE: Duration = Duration::from_hours(1);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_700_000_000_000_000)))
    }
}

impl TestClock {
    pub(super) fn terms(&self) -> LeaseTerms {
        let micros = Arc::clone(&self.0);
        let clock = Arc::new(move || Timestamp::from_micros(micros.load(Ordering::SeqCst)).unwrap());
        LeaseTerms { length: LEASE, clock }
    }

    /// Moves the clock by `percent` of the length of a lease.
    pub(super) fn pass(&self, percent: u32) {
        let micros = (LEASE * percent / 100).as_micros();
        self.0.fetch_add(i64::try_from(micros).unwrap(), Ordering::SeqCst);
    }
}

pub(super) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

pub(super) fn at(second: u32) -> Timestamp {
    Timestamp::from_micros(i64::from(second) * 1_000_000 + 123_456).unwrap()
}

pub(super) fn key(subject: &str, document_id: &str, source: &str) -> RecordKey {
    RecordKey { subject: subject.into(), document_id: document_id.into(), source: source.into() }
}

/// An advisory whose document says `version`.
pub(super) fn advisory(subject: &str, source: &str, version: u32) -> NewRecord {
    NewRecord {
        kind: RecordKind::Advisory,
        key: key(subject, &format!("{source}/{subject}"), source),
        ecosystems: vec!["npm".into()],
        observed_at: at(version),
        linkset: Linkset { purls: vec![format!("pkg:npm/{subject}")], ..Linkset::default() },
        format: "osv".into(),
        spec_version: "1.7.0".into(),
        raw: Bytes::from(format!(r#"{{"id":"x","version":{version}.0,"z":null}}"#)),
    }
}

pub(super) async fn import(
    ledger: &dyn EvidenceLedger,
    of: &TenantId,
    records: Vec<NewRecord>,
) -> (Vec<PutRecord>, Watermark) {
    let mut session = ledger.begin_import(of).await.unwrap();
    let outcomes = session.put(records).await.unwrap();
    (outcomes, session.commit().await.unwrap())
}

pub(super) fn selection(of: &TenantId, watermark: Sequence) -> Selection {
    Selection { tenant: of.clone(), watermark, selectors: Selectors::default() }
}

pub(super) fn all(of: &TenantId, watermark: Sequence, kind: RecordKind) -> ReadRange {
    ReadRange { selection: selection(of, watermark), kind, first: None, last: None, after: None }
}

/// The lines of a range, each checked against its envelope.
pub(super) async fn lines(ledger: &dyn EvidenceLedger, range: ReadRange) -> Vec<StoredLine> {
    let mut lines = Vec::new();
    let mut stream = ledger.read(range.clone()).await.unwrap();
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        assert!(!batch.is_empty(), "a batch is never empty");
        lines.extend(batch);
    }
    for line in &lines {
        check_line(line, &range);
    }
    lines
}

fn check_line(line: &StoredLine, range: &ReadRange) {
    let plain = decompress_frame(&line.line, 64 << 20).unwrap();
    assert_eq!(plain.len(), usize::try_from(line.plain_bytes).unwrap());
    assert_eq!(plain.last(), Some(&b'\n'), "a line ends with a line feed");
    let text = &plain[..plain.len() - 1];
    let envelope: Envelope<'_> = serde_json::from_slice(text).unwrap();
    assert_eq!(serde_json::to_vec(&envelope).unwrap(), text, "the line is canonical");
    let named = key(&envelope.subject, &envelope.document_id, &envelope.source);
    assert_eq!((named, envelope.kind, &envelope.tenant), (line.key.clone(), range.kind, &range.selection.tenant));
    let digest = export_contract::Digest::from_bytes(*sha256(envelope.content.raw.get().as_bytes()).as_bytes());
    assert_eq!((&envelope.content_hash, &line.content_hash), (&digest, &digest));
}

/// The text of the raw document of a line.
pub(super) fn raw(line: &StoredLine) -> String {
    let plain = decompress_frame(&line.line, 64 << 20).unwrap();
    let envelope: Envelope<'_> = serde_json::from_slice(&plain).unwrap();
    envelope.content.raw.get().to_owned()
}

/// Subject and version of each advisory that is visible.
pub(super) async fn seen(ledger: &dyn EvidenceLedger, of: &TenantId, watermark: Sequence) -> Vec<String> {
    let lines = lines(ledger, all(of, watermark, RecordKind::Advisory)).await;
    let version =
        |line: &StoredLine| raw(line).split("version\":").nth(1).unwrap().split('.').next().unwrap().to_owned();
    lines.iter().map(|line| format!("{} {}", line.key.subject, version(line))).collect()
}

/// Text that hardly gets smaller: hexadecimal digits would halve, these 64 characters lose a quarter.
pub(super) fn noise(bytes: usize, seed: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(2 * seed + 1);
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(DIGITS[usize::try_from(state >> 58).unwrap()])
        })
        .collect()
}
