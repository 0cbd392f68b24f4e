//! The findings: from the policy source to staged frames, in one pass.
//!
//! As in a part of raw evidence three actors work at once: the *reader* takes findings, digests every one and cuts chunks of the lines of
//! those that are chosen; the *compressor* makes frames of them; the *writer* stages frames in segments.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use export_blobs::workspace::ArtefactWriter;
use export_canon::chunk::Chunker;
use export_canon::digesting::sha256;
use export_canon::zst::{FramesError, ParallelFrames, Workbenches};
use export_contract::event::ProgressStep;
use export_contract::message::{Artefact, Frame, FrameMark, PolicySnapshotRef, RunPlanned, Segment};
use export_contract::{Digest, PartIndex, RecordKey};
use export_evidence::policy::{FindingKey, Findings, FindingsDigester, Tally};
use export_evidence::predicate::selects_finding;
use export_pipeline::{Cancelled, StageContext};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::error::PolicyExportError;
use super::{EVALUATIONS, files};
use crate::adapter::Tools;
use crate::error::AdaptError;
use crate::json::files::Lines;
use crate::json::part::{IN_FLIGHT, SEGMENT_BYTES, SEGMENT_FRAMES, Workshop};

/// What was written, and what was read.
pub(super) struct Written {
    /// The lines of the findings that were chosen.
    pub(super) lines: Lines,
    /// All findings of the snapshot.
    pub(super) whole: Findings,
    /// Those that were chosen.
    pub(super) chosen: Tally,
}

/// The lines of one frame.
struct Chunk {
    plain: Vec<u8>,
    records: u32,
    /// Key of the first line, its parts in the places of a record's.
    first: Option<RecordKey>,
    /// Given back once the lines are copied; see the module of parts.
    room: Option<OwnedSemaphorePermit>,
}

/// A frame on its way to the writer.
struct Finished {
    bytes: Bytes,
    frame: Frame,
    first: Option<RecordKey>,
}

/// Reads all findings of the snapshot that is pinned, and stages the lines of those that the plan's selectors choose.
pub(super) async fn write(
    tools: &Tools,
    workshop: &Workshop,
    plan: &RunPlanned,
    pinned: &PolicySnapshotRef,
    cx: &StageContext,
) -> Result<Written, AdaptError> {
    let (chunks, chunk_queue) = mpsc::channel(1);
    let (frames, frame_queue) = mpsc::channel(1);
    let (threads, benches, level) = (tools.threads, workshop.benches.clone(), plan.profile.config.compression.level);
    let compress = async move {
        let work = move || compress(threads, level, &benches, chunk_queue, &frames);
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome,
            Err(panic) => Err(PolicyExportError::Compress(Box::new(panic)).into()),
        }
    };
    let read = read(tools, &workshop.room, plan, pinned, chunks, cx);
    // The first error ends all three: dropping a channel's end stops its other side.
    let ((whole, chosen, plain_bytes), (), segments) = tokio::try_join!(read, compress, gather(frame_queue, cx))?;
    let lines = Lines { part: PartIndex(0), records: chosen.count, plain_bytes, segments };
    Ok(Written { lines, whole, chosen })
}

/// Reads findings and cuts chunks. Gives what was read, what was chosen of it, and the bytes of the latter.
async fn read(
    tools: &Tools,
    room: &Arc<Semaphore>,
    plan: &RunPlanned,
    pinned: &PolicySnapshotRef,
    chunks: mpsc::Sender<Chunk>,
    cx: &StageContext,
) -> Result<(Findings, Tally, u64), AdaptError> {
    let unreadable = |cause| PolicyExportError::Read { id: pinned.id.clone(), cause };
    let tenant = &plan.run.tenant;
    let cancelled = || AdaptError::Cancelled(Cancelled);
    let begun = cx.cancellation().run_until_cancelled(tools.policy.findings(tenant, &pinned.id)).await;
    let mut batches = begun.ok_or_else(cancelled)?.map_err(unreadable)?;
    let mut digester = FindingsDigester::new(tenant.clone(), &pinned.id);
    let mut chunker = Chunker::new(u64::from(plan.profile.config.compression.chunk_bytes));
    let mut chosen = Tally::default();
    let mut bytes = 0;
    let mut chunk = Chunk { plain: Vec::new(), records: 0, first: None, room: None };
    loop {
        let next = cx.cancellation().run_until_cancelled(batches.next()).await;
        let Some(batch) = next.ok_or_else(cancelled)? else { break };
        for finding in batch.map_err(unreadable)? {
            let line = digester.take(&finding).map_err(unreadable)?;
            if !selects_finding(&plan.selectors, &finding) {
                continue;
            }
            chosen.take(&finding);
            bytes += line.len() as u64;
            chunk.plain.extend_from_slice(line);
            chunk.records += 1;
            chunk.first.get_or_insert_with(|| key(&finding.key));
            if chunker.push(line.len() as u64) && !send(&chunks, room, &mut chunk).await {
                // The other side tells its own reason.
                return Ok((digester.finish(), chosen, bytes));
            }
        }
        let (findings, read) = digester.progress();
        cx.progress(ProgressStep::StageProgress, findings, read);
        // Where few findings are chosen nothing else lets others have the thread.
        tokio::task::yield_now().await;
    }
    if chunk.records > 0 {
        send(&chunks, room, &mut chunk).await;
    }
    Ok((digester.finish(), chosen, bytes))
}

/// Waits for room and hands the chunk over, leaving an empty one; `false` when the other side has stopped.
async fn send(chunks: &mpsc::Sender<Chunk>, room: &Arc<Semaphore>, chunk: &mut Chunk) -> bool {
    // Once as a chunk and once in the frame's own buffer.
    let wanted = u32::try_from(chunk.plain.len() * 2).unwrap_or(IN_FLIGHT).min(IN_FLIGHT);
    let Ok(room) = room.clone().acquire_many_owned(wanted).await else { return false };
    let empty = Chunk { plain: Vec::with_capacity(chunk.plain.len()), records: 0, first: None, room: None };
    let full = Chunk { room: Some(room), ..std::mem::replace(chunk, empty) };
    chunks.send(full).await.is_ok()
}

/// Turns chunks into frames, in order. Blocks.
fn compress(
    threads: NonZeroUsize,
    level: i32,
    benches: &Workbenches,
    mut chunks: mpsc::Receiver<Chunk>,
    frames: &mpsc::Sender<Finished>,
) -> Result<(), AdaptError> {
    let sink = |frame: export_canon::zst::Frame<'_, (u32, Option<RecordKey>)>| {
        let (records, first) = frame.made;
        let finished = Finished {
            bytes: Bytes::copy_from_slice(frame.bytes),
            frame: Frame { bytes: frame.info.compressed, plain: frame.info.plain, records },
            first,
        };
        // The writer stops early only with an error of its own, which then is everybody's.
        let _writer_stopped = frames.blocking_send(finished);
        Ok(())
    };
    let mut pool = ParallelFrames::with_benches(threads, level, benches, sink).map_err(judged)?;
    while let Some(Chunk { plain: lines, records, first, room }) = chunks.blocking_recv() {
        if frames.is_closed() {
            return Ok(());
        }
        let job = move |plain: &mut Vec<u8>| {
            plain.extend_from_slice(&lines);
            drop((lines, room));
            Ok((records, first))
        };
        pool.submit(job).map_err(judged)?;
    }
    pool.finish().map_err(judged).map(|_| ())
}

fn judged(error: FramesError<AdaptError>) -> AdaptError {
    match error {
        FramesError::Job { cause, .. } | FramesError::Sink { cause, .. } => cause,
        error @ (FramesError::Start(_) | FramesError::StartEncoder(_)) => {
            PolicyExportError::Workers(Box::new(error)).into()
        }
        other => PolicyExportError::Compress(Box::new(other)).into(),
    }
}

/// The key of a finding as an index has it: its parts in the places of a record's.
fn key(finding: &FindingKey) -> RecordKey {
    let FindingKey { subject, advisory, finding_id } = finding.clone();
    RecordKey { subject, document_id: advisory, source: finding_id }
}

/// Frames of a segment that is being written, and what an index says of them.
#[derive(Default)]
struct Segmented {
    frames: Vec<Frame>,
    marks: Vec<FrameMark>,
}

impl Segmented {
    fn take(&mut self, frame: Frame, first: Option<RecordKey>, bytes: &[u8]) {
        self.frames.push(frame);
        let digest = Digest::from_bytes(*sha256(bytes).as_bytes());
        self.marks.extend(first.map(|first| FrameMark { first, digest }));
    }

    fn staged(self, artefact: Artefact) -> Segment {
        Segment { artefact, frames: self.frames, marks: self.marks }
    }
}

/// Gathers frames into segments and stages them.
async fn gather(mut queue: mpsc::Receiver<Finished>, cx: &StageContext) -> Result<Vec<Segment>, AdaptError> {
    let staging = |cause| files::staging(EVALUATIONS, cause);
    let mut segments = Vec::new();
    let mut open: Option<(ArtefactWriter, Segmented, usize)> = None;
    while let Some(Finished { bytes, frame, first }) = queue.recv().await {
        cx.check().map_err(AdaptError::Cancelled)?;
        let (mut writer, mut segment, mut compressed) = match open.take() {
            Some(open) => open,
            None => (cx.workspace().artefact_writer().await.map_err(staging)?, Segmented::default(), 0),
        };
        compressed += bytes.len();
        segment.take(frame, first, &bytes);
        writer.write(bytes).await.map_err(staging)?;
        if segment.frames.len() == SEGMENT_FRAMES || compressed >= SEGMENT_BYTES {
            segments.push(segment.staged(writer.finish().await.map_err(staging)?));
        } else {
            open = Some((writer, segment, compressed));
        }
    }
    if let Some((writer, segment, _)) = open {
        segments.push(segment.staged(writer.finish().await.map_err(staging)?));
    }
    Ok(segments)
}
