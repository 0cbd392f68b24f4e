//! Parts whose records become files of their own.
//!
//! Such a part has no checkpoint: its files are named by their content, and writing one again writes nothing.

use bytes::Bytes;
use export_canon::digesting::sha256;
use export_canon::zst::FrameDecoder;
use export_contract::event::ProgressStep;
use export_contract::evidence::Envelope;
use export_contract::message::{Document, PartAdapted};
use export_contract::{Digest, Version};
use export_evidence::StoredLine;
use export_pipeline::stage::PartResolved;
use export_pipeline::{Cancelled, StageContext};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::adapter::Tools;
use crate::checkpoint::Progress;
use crate::error::AdaptError;
use crate::guard::{self, Breach};
use crate::json::part::Workshop;
use crate::parts;

/// Documents that are written at once: a durable write mostly waits for the disk.
const AT_ONCE: usize = 8;

pub(super) async fn write(
    tools: &Tools,
    workshop: &Workshop,
    input: PartResolved,
    cx: &StageContext,
) -> Result<PartAdapted, AdaptError> {
    let PartResolved { plan, part } = input;
    let (index, kind) = (part.index, part.kind);
    let unreadable = |cause| AdaptError::Read { part: index, kind, cause };
    let batches = tools.ledger.read(parts::range(&plan, &part, None)).await.map_err(unreadable)?;
    let mut written = batches
        .map_err(unreadable)
        .map_ok(|batch| stream::iter(batch.into_iter().map(Ok)))
        .try_flatten()
        .map_ok(|line| stage(workshop, line, cx))
        .try_buffered(AT_ONCE)
        .boxed();
    let mut progress = Progress::default();
    let mut documents = Vec::new();
    cx.progress(ProgressStep::AdapterStart, 0, 0);
    loop {
        let next = cx.cancellation().run_until_cancelled(written.try_next()).await;
        let Some((document, content_hash)) = next.ok_or(AdaptError::Cancelled(Cancelled))?? else { break };
        progress.take(&document.key, &content_hash);
        progress.plain_bytes += document.artefact.bytes;
        documents.push(document);
        cx.progress(ProgressStep::AdapterChunk, progress.records, progress.plain_bytes);
    }
    if progress.records != part.records {
        return Err(AdaptError::Count { part: index, expected: part.records, found: progress.records });
    }
    Ok(PartAdapted {
        v: Version,
        part: index,
        kind,
        records: progress.records,
        plain_bytes: progress.plain_bytes,
        inputs: progress.inputs(kind, index),
        segments: Vec::new(),
        documents,
    })
}

/// Stages the document of a line.
async fn stage(workshop: &Workshop, line: StoredLine, cx: &StageContext) -> Result<(Document, Digest), AdaptError> {
    cx.check().map_err(AdaptError::Cancelled)?;
    let (key, content_hash) = (line.key.clone(), line.content_hash.clone());
    // The line, and the document that is copied from it.
    let _room = workshop.room_for(line.line.len() + 2 * line.plain_bytes as usize).await;
    let name = key.document_id.clone();
    let unpacked = tokio::task::spawn_blocking(move || unpack(&line)).await;
    let (raw, observed_at, format, spec_version) =
        unpacked.map_err(|cause| AdaptError::Join { path: name.clone(), cause })??;
    let staged = cx.workspace().put_artefact(raw).await;
    let artefact = staged.map_err(|cause| AdaptError::Stage { what: format!("document `{name}`"), cause })?;
    Ok((Document { key, artefact, observed_at, format, spec_version }, content_hash))
}

type Unpacked = (Bytes, export_contract::Timestamp, String, String);

/// The document of a stored line and what is known of it. Blocks.
fn unpack(line: &StoredLine) -> Result<Unpacked, AdaptError> {
    let damaged = |cause| AdaptError::Line {
        document_id: line.key.document_id.clone(),
        source_name: line.key.source.clone(),
        cause,
    };
    let plain = FrameDecoder::new()
        .and_then(|mut decoder| decoder.decode(&line.line, line.plain_bytes as usize))
        .map_err(|cause| damaged(Some(cause)))?;
    guard::check(&plain).map_err(|breach| match breach {
        Breach::Forbidden(member) => AdaptError::Aoc { document_id: line.key.document_id.clone(), member },
        Breach::NotALine => damaged(None),
    })?;
    let envelope: Envelope<'_> = serde_json::from_slice(&plain).map_err(|_| damaged(None))?;
    let raw = envelope.content.raw.get().as_bytes();
    if Digest::from_bytes(*sha256(raw).as_bytes()) != line.content_hash {
        return Err(damaged(None));
    }
    Ok((Bytes::copy_from_slice(raw), envelope.observed_at, envelope.content.format, envelope.content.spec_version))
}
