//! From a new record to what a ledger keeps: its finished export line, built once, so that every export is a copy (D13).

use bytes::Bytes;
use export_canon::digesting::{Digester, sha256};
use export_canon::jsonl::JsonlError;
use export_canon::zst::FrameEncoder;
use export_contract::evidence::{Content, Envelope};
use export_contract::{Digest, TenantId};
use serde_json::value::RawValue;

use crate::{LedgerError, NewRecord};

/// Level of the stored frames. Level 3 is where the measured chain is fastest per byte saved.
const LEVEL: i32 = 3;

/// Digest of everything in a record that makes it a different one, that is of all but `observed_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) [u8; 32]);

/// Digests of a record, taken before it is known whether it needs to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digests {
    pub(crate) content: [u8; 32],
    pub(crate) fingerprint: Fingerprint,
}

impl Digests {
    pub(crate) fn of(record: &NewRecord) -> Self {
        let content = *sha256(&record.raw).as_bytes();
        let mut digester = Digester::new();
        digester.update(&content);
        let mut list = |texts: &mut dyn Iterator<Item = &String>| {
            // Lengths keep `["ab"]` and `["a","b"]` apart, and one list from the next.
            for text in texts {
                digester.update(&(text.len() as u64 + 1).to_le_bytes());
                digester.update(text.as_bytes());
            }
            digester.update(&0_u64.to_le_bytes());
        };
        let linkset = &record.linkset;
        list(&mut [&record.key.subject, &record.format, &record.spec_version].into_iter());
        for texts in [&record.ecosystems, &linkset.aliases, &linkset.cpes, &linkset.purls, &linkset.references] {
            list(&mut texts.iter());
        }
        Self { content, fingerprint: Fingerprint(*digester.finish().sha256.as_bytes()) }
    }
}

/// A finished export line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) plain_bytes: u32,
    pub(crate) frame: Bytes,
}

fn refused(record: &NewRecord, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LedgerError {
    let act = format!("store {} `{}` of `{}`", record.kind, record.key.document_id, record.key.source);
    LedgerError::Refused { act, cause: cause.into() }
}

/// Builds the lines of `records`, on as many threads as there are cores. Blocks.
pub(crate) fn build_lines(tenant: &TenantId, records: &[(&NewRecord, Digests)]) -> Result<Vec<Line>, LedgerError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(records.len().div_ceil(16)).max(1);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut builder = LineBuilder::new()?;
        let mut built = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some((record, digests)) = records.get(index) else {
                return Ok(built);
            };
            built.push((index, builder.build(tenant, record, digests)?));
        }
    };
    let mut lines: Vec<(usize, Line)> = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut lines = work()?;
        for helper in helpers {
            lines.extend(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok::<_, LedgerError>(lines)
    })?;
    lines.sort_unstable_by_key(|(index, _)| *index);
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

struct LineBuilder {
    encoder: FrameEncoder,
    line: Vec<u8>,
}

/// Room for all of an envelope but its document and its lists, so that a document of many megabytes is not copied to grow
/// its line.
const ENVELOPE_BYTES: usize = 4 << 10;

impl LineBuilder {
    fn new() -> Result<Self, LedgerError> {
        let encoder = FrameEncoder::new(LEVEL)
            .map_err(|cause| LedgerError::Unavailable { act: "set up zstd".to_owned(), cause: cause.into() })?;
        Ok(Self { encoder, line: Vec::new() })
    }

    fn build(&mut self, tenant: &TenantId, record: &NewRecord, digests: &Digests) -> Result<Line, LedgerError> {
        let raw: &RawValue = serde_json::from_slice(&record.raw).map_err(|cause| refused(record, cause))?;
        let envelope = Envelope {
            content: Content { format: record.format.clone(), raw, spec_version: record.spec_version.clone() },
            content_hash: Digest::from_bytes(digests.content),
            document_id: record.key.document_id.clone(),
            kind: record.kind,
            linkset: record.linkset.clone(),
            observed_at: record.observed_at,
            source: record.key.source.clone(),
            subject: record.key.subject.clone(),
            tenant: tenant.clone(),
        };
        self.line.clear();
        self.line.reserve(record.raw.len() + ENVELOPE_BYTES);
        serde_json::to_writer(&mut self.line, &envelope).map_err(|cause| refused(record, cause))?;
        if let Some(offset) = self.line.iter().position(|byte| *byte == b'\n') {
            return Err(refused(record, JsonlError::LineFeedInDocument { offset }));
        }
        self.line.push(b'\n');
        let mut frame = Vec::new();
        let info = self.encoder.encode(&self.line, &mut frame).map_err(|cause| refused(record, cause))?;
        // Compression reserves for the worst case, which for small lines is a multiple of the result.
        frame.shrink_to_fit();
        Ok(Line { plain_bytes: info.plain, frame: frame.into() })
    }
}
