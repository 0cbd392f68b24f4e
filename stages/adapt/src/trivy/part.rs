//! One part: from stored lines to sorted runs.
//!
//! The *reader* takes stored lines from the ledger, the *mapper* is a thread that unpacks them, maps them and sorts rows into runs,
//! the *writer* stages each run and keeps the checkpoint. A run closes after the record that fills it, so a part that another worker
//! goes on with has the same runs.

use bytes::Bytes;
use export_blobs::BlobError;
use export_canon::zst::FrameDecoder;
use export_contract::event::ProgressStep;
use export_contract::evidence::Envelope;
use export_contract::message::{Frame, PartAdapted, Segment};
use export_contract::{Digest, PartIndex, RecordKey, Version};
use export_evidence::{ReadRange, StoredLine};
use export_pipeline::stage::PartResolved;
use export_pipeline::{Cancelled, StageContext};
use export_trivy::Record;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::Map;
use super::run::{Encoded, FrameWriter};
use crate::adapter::Tools;
use crate::checkpoint::{self, Checkpoint, Progress};
use crate::error::AdaptError;
use crate::guard::{self, Breach};
use crate::parts;

/// Bytes of rows that close a run, keys and values together.
const RUN_BYTES: usize = 16 << 20;

/// A sorted run, and the records that it was made of.
struct Run {
    frames: Vec<(Bytes, Frame)>,
    records: Vec<(RecordKey, Digest)>,
    plain: u64,
}

pub(crate) async fn write(
    tools: &Tools,
    map: Map,
    input: PartResolved,
    cx: &StageContext,
) -> Result<PartAdapted, AdaptError> {
    let PartResolved { plan, part } = input;
    let (index, kind) = (part.index, part.kind);
    let staging = |cause| AdaptError::Stage { what: format!("part {index}"), cause };
    let checkpoint = Checkpoint::new(cx.workspace(), plan.adapter.clone(), index).map_err(staging)?;
    let progress = checkpoint.load(cx.workspace()).await.map_err(staging)?;
    cx.progress(ProgressStep::AdapterStart, progress.records, progress.plain_bytes);
    let range = parts::range(&plan, &part, progress.cursor.clone());
    let (lines, line_queue) = mpsc::channel(2);
    let (runs, run_queue) = mpsc::channel(1);
    let before = (progress.records, progress.plain_bytes);
    let read = async { Ok(read(tools, range, index, before, lines, cx).await) };
    let map = async move {
        match tokio::task::spawn_blocking(move || map_all(map, index, line_queue, &runs)).await {
            Ok(outcome) => outcome,
            Err(panic) => Err(AdaptError::Compress { part: index, cause: Box::new(panic) }),
        }
    };
    let written = match tokio::try_join!(read, map, stage(progress, run_queue, index, &checkpoint, cx)) {
        Ok((Ok(()), last, progress)) => finish(progress, last, index, cx).await,
        Ok((Err(error), ..)) | Err(error) => Err(error),
    };
    match written {
        Ok(progress) if progress.records == part.records => {
            checkpoint.remove(cx.workspace()).await.map_err(staging)?;
            Ok(PartAdapted {
                v: Version,
                part: index,
                kind,
                records: progress.records,
                plain_bytes: progress.plain_bytes,
                inputs: progress.inputs(kind, index),
                segments: progress.segments,
                documents: Vec::new(),
            })
        }
        Ok(progress) => Err(AdaptError::Count { part: index, expected: part.records, found: progress.records }),
        Err(error) => {
            if matches!(error, AdaptError::Cancelled(_)) && cx.run_is_cancelled() {
                checkpoint::destroy(cx.workspace(), &checkpoint).await;
            }
            Err(error)
        }
    }
}

/// Hands lines to the mapper, and tells of each batch; `before` are the records and plain bytes that were mapped before.
async fn read(
    tools: &Tools,
    range: ReadRange,
    part: PartIndex,
    before: (u64, u64),
    lines: mpsc::Sender<Vec<StoredLine>>,
    cx: &StageContext,
) -> Result<(), AdaptError> {
    let kind = range.kind;
    let (mut records, mut plain) = before;
    let unreadable = |cause| AdaptError::Read { part, kind, cause };
    let mut batches = tools.ledger.read(range).await.map_err(unreadable)?;
    loop {
        let next = cx.cancellation().run_until_cancelled(batches.next()).await;
        let Some(batch) = next.ok_or(AdaptError::Cancelled(Cancelled))? else { return Ok(()) };
        let batch = batch.map_err(unreadable)?;
        records += batch.len() as u64;
        plain += batch.iter().map(|line| u64::from(line.plain_bytes)).sum::<u64>();
        if lines.send(batch).await.is_err() {
            // The mapper has stopped, and tells its reason itself.
            return Ok(());
        }
        cx.progress(ProgressStep::AdapterChunk, records, plain);
    }
}

/// Maps all lines; gives the last run, which is staged only once it is known that the part was read to its end. Blocks.
fn map_all(
    map: Map,
    part: PartIndex,
    mut lines: mpsc::Receiver<Vec<StoredLine>>,
    runs: &mpsc::Sender<Run>,
) -> Result<Option<Run>, AdaptError> {
    let mut decoder = FrameDecoder::new().map_err(|cause| AdaptError::Compress { part, cause: Box::new(cause) })?;
    let mut open = OpenRun::default();
    let mut plain = Vec::new();
    while let Some(batch) = lines.blocking_recv() {
        for line in batch {
            unpack(&mut decoder, &line, &mut plain)?;
            let damaged = |_| AdaptError::Line {
                document_id: line.key.document_id.clone(),
                source_name: line.key.source.clone(),
                cause: None,
            };
            let envelope: Envelope<'_> = serde_json::from_slice(&plain).map_err(damaged)?;
            let record = Record {
                source: &envelope.source,
                document_id: &envelope.document_id,
                subject: &envelope.subject,
                format: &envelope.content.format,
                raw: envelope.content.raw.get().as_bytes(),
            };
            map(&record, &mut |row| open.take(row.into()));
            open.plain += plain.len() as u64;
            open.records.push((line.key, line.content_hash));
            plain.clear();
            plain.shrink_to(1 << 20);
            if open.bytes >= RUN_BYTES && runs.blocking_send(std::mem::take(&mut open).close()?).is_err() {
                return Ok(None);
            }
        }
    }
    if open.records.is_empty() { Ok(None) } else { open.close().map(Some) }
}

fn unpack(decoder: &mut FrameDecoder, line: &StoredLine, plain: &mut Vec<u8>) -> Result<(), AdaptError> {
    let damaged = |cause| AdaptError::Line {
        document_id: line.key.document_id.clone(),
        source_name: line.key.source.clone(),
        cause,
    };
    let length = line.plain_bytes as usize;
    let found = decoder.decode_into(&line.line, length, plain).map_err(|cause| damaged(Some(cause)))?;
    if found != length {
        return Err(damaged(None));
    }
    guard::check(plain).map_err(|breach| match breach {
        Breach::Forbidden(member) => AdaptError::Aoc { document_id: line.key.document_id.clone(), member },
        Breach::NotALine => damaged(None),
    })
}

/// Rows that are gathered until they fill a run.
#[derive(Default)]
struct OpenRun {
    rows: Vec<Encoded>,
    bytes: usize,
    records: Vec<(RecordKey, Digest)>,
    plain: u64,
}

impl OpenRun {
    fn take(&mut self, row: Encoded) {
        self.bytes += row.len();
        self.rows.push(row);
    }

    fn close(mut self) -> Result<Run, AdaptError> {
        self.rows.sort_unstable();
        let mut writer = FrameWriter::new()?;
        let mut frames = Vec::new();
        for row in self.rows {
            frames.extend(writer.push(&row)?);
        }
        frames.extend(writer.close()?);
        let frames = frames.into_iter().map(|(bytes, frame)| (Bytes::from(bytes), frame)).collect();
        Ok(Run { frames, records: self.records, plain: self.plain })
    }
}

async fn stage(
    mut progress: Progress,
    mut runs: mpsc::Receiver<Run>,
    part: PartIndex,
    checkpoint: &Checkpoint,
    cx: &StageContext,
) -> Result<Progress, AdaptError> {
    while let Some(run) = runs.recv().await {
        cx.check().map_err(AdaptError::Cancelled)?;
        put(&mut progress, run, part, cx).await?;
        let saved = checkpoint.save(cx.workspace(), &progress).await;
        saved.map_err(|cause| AdaptError::Stage { what: format!("the checkpoint of part {part}"), cause })?;
    }
    Ok(progress)
}

async fn finish(
    mut progress: Progress,
    last: Option<Run>,
    part: PartIndex,
    cx: &StageContext,
) -> Result<Progress, AdaptError> {
    cx.check().map_err(AdaptError::Cancelled)?;
    if let Some(run) = last {
        put(&mut progress, run, part, cx).await?;
    }
    Ok(progress)
}

/// Makes a run visible and counts it in.
async fn put(progress: &mut Progress, run: Run, part: PartIndex, cx: &StageContext) -> Result<(), AdaptError> {
    let failed = |cause: BlobError| AdaptError::Stage { what: format!("a run of part {part}"), cause };
    let mut writer = cx.workspace().artefact_writer().await.map_err(failed)?;
    let mut frames = Vec::with_capacity(run.frames.len());
    for (bytes, frame) in run.frames {
        writer.write(bytes).await.map_err(failed)?;
        frames.push(frame);
    }
    let artefact = writer.finish().await.map_err(failed)?;
    progress.segments.push(Segment { artefact, frames, marks: Vec::new() });
    progress.plain_bytes += run.plain;
    for (key, hash) in &run.records {
        progress.take(key, hash);
    }
    Ok(())
}
