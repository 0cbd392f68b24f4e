//! One part: from stored lines to frames, the hot path.
//!
//! Three actors work at once, joined by short channels: the *reader* takes stored lines from the ledger and cuts chunks by
//! their plain length, without decompressing one; the *compressor* is a thread with its own workers that decompress a
//! chunk's lines, check them, and compress them into one frame, delivered in order; the *writer* gathers frames into segments
//! and stages them. What is in flight is bounded by bytes, so one huge document takes the room of many small ones.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use export_blobs::BlobError;
use export_blobs::workspace::ArtefactWriter;
use export_canon::chunk::Chunker;
use export_canon::digesting::sha256;
use export_canon::zst::{FrameDecoder, FramesError, ParallelFrames, Workbenches};
use export_contract::Version;
use export_contract::event::ProgressStep;
use export_contract::message::{Frame, FrameMark, PartAdapted, Segment};
use export_contract::{Digest, PartIndex, RecordKind};
use export_evidence::{ReadRange, StoredLine};
use export_pipeline::stage::PartResolved;
use export_pipeline::{Cancelled, StageContext};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::adapter::Tools;
use crate::checkpoint::{self, Checkpoint, Progress};
use crate::error::AdaptError;
use crate::guard::{self, Breach};
use crate::parts;

/// Frames of one segment: 32 MiB of lines at the default chunk size, and one checkpoint.
pub(super) const SEGMENT_FRAMES: usize = 8;
/// Compressed bytes that close a segment earlier, where chunks are large or do not compress: what lies between two
/// checkpoints is lost with its worker.
pub(super) const SEGMENT_BYTES: usize = 8 << 20;
/// Bytes that wait to be compressed, stored and plain together. A chunk that is larger waits alone.
pub(super) const IN_FLIGHT: u32 = 40 << 20;

/// What the parts that a process writes share: room for what waits to be compressed, and the workbenches. Room always comes
/// free: who holds some waits for a thread that compresses, never for room.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    pub(super) room: Arc<Semaphore>,
    pub(super) benches: Workbenches,
}

impl Workshop {
    /// Waits for room for so many bytes; more than there can be waits for all of it.
    pub(crate) async fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        room_for(&self.room, bytes).await
    }
}

async fn room_for(room: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let wanted = u32::try_from(bytes).unwrap_or(IN_FLIGHT).min(IN_FLIGHT);
    room.clone().acquire_many_owned(wanted).await.ok()
}

impl Default for Workshop {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(IN_FLIGHT as usize)), benches: Workbenches::default() }
    }
}

/// The lines of one frame.
struct Chunk {
    lines: Vec<StoredLine>,
    plain: usize,
    /// Given back once the lines are unpacked. It must not be held until the frame is delivered: frames are delivered while
    /// the next chunk is submitted, and the reader would wait for room before it reads that one.
    room: Option<OwnedSemaphorePermit>,
}

/// A frame on its way to the writer, with the lines it was made from (their texts are gone).
struct Finished {
    bytes: Bytes,
    frame: Frame,
    lines: Vec<StoredLine>,
}

/// Writes a part; with `marked`, what an index needs of each frame is noted.
pub(crate) async fn write(
    tools: &Tools,
    workshop: &Workshop,
    input: PartResolved,
    marked: bool,
    cx: &StageContext,
) -> Result<PartAdapted, AdaptError> {
    let PartResolved { plan, part } = input;
    let (index, kind) = (part.index, part.kind);
    let staging = |cause| AdaptError::Stage { what: format!("part {index}"), cause };
    let checkpoint = Checkpoint::new(cx.workspace(), plan.adapter.clone(), index).map_err(staging)?;
    let progress = checkpoint.load(cx.workspace()).await.map_err(staging)?;
    cx.progress(ProgressStep::AdapterStart, progress.records, progress.plain_bytes);

    let range = parts::range(&plan, &part, progress.cursor.clone());
    let compression = plan.profile.config.compression;
    let (chunks, chunk_queue) = mpsc::channel(1);
    let (frames, frame_queue) = mpsc::channel(1);
    // A read that fails or is cancelled ends the row of frames early but in good order: what was read before is still staged
    // for the next worker, and nothing is on its way to staging when a cancelled part is destroyed.
    let target = u64::from(compression.chunk_bytes);
    let read = async { Ok(read(tools, &workshop.room, range, index, target, chunks, cx).await) };
    let (threads, benches) = (tools.threads, workshop.benches.clone());
    let compress = async move {
        let work = move || compress(threads, compression.level, &benches, index, chunk_queue, &frames);
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome,
            Err(panic) => Err(AdaptError::Compress { part: index, cause: Box::new(panic) }),
        }
    };
    let write = gather(progress, frame_queue, index, marked, &checkpoint, cx);
    // The first error ends all three: dropping a channel's end stops its other side.
    let written = match tokio::try_join!(read, compress, write) {
        Ok((Ok(()), (), gathered)) => gathered.finish(index, cx).await,
        Ok((Err(error), (), _)) | Err(error) => Err(error),
    };
    match written {
        Ok(progress) if progress.records == part.records => {
            checkpoint.remove(cx.workspace()).await.map_err(staging)?;
            Ok(adapted(progress, index, kind))
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

fn adapted(progress: Progress, part: PartIndex, kind: RecordKind) -> PartAdapted {
    PartAdapted {
        v: Version,
        part,
        kind,
        records: progress.records,
        plain_bytes: progress.plain_bytes,
        inputs: progress.inputs(kind, part),
        segments: progress.segments,
        documents: Vec::new(),
    }
}

/// Reads lines and cuts chunks.
async fn read(
    tools: &Tools,
    room: &Arc<Semaphore>,
    range: ReadRange,
    part: PartIndex,
    target: u64,
    chunks: mpsc::Sender<Chunk>,
    cx: &StageContext,
) -> Result<(), AdaptError> {
    let kind = range.kind;
    let unreadable = |cause| AdaptError::Read { part, kind, cause };
    let mut batches = tools.ledger.read(range).await.map_err(unreadable)?;
    let mut chunker = Chunker::new(target);
    let mut lines = Vec::new();
    let mut plain = 0;
    loop {
        let next = cx.cancellation().run_until_cancelled(batches.next()).await;
        let Some(batch) = next.ok_or(AdaptError::Cancelled(Cancelled))? else { break };
        for line in batch.map_err(unreadable)? {
            plain += line.plain_bytes as usize;
            let close = chunker.push(u64::from(line.plain_bytes));
            lines.push(line);
            if close && !send(&chunks, room, std::mem::take(&mut lines), std::mem::take(&mut plain)).await {
                return Ok(());
            }
        }
    }
    if !lines.is_empty() {
        send(&chunks, room, lines, plain).await;
    }
    Ok(())
}

/// Waits for room and hands a chunk over; `false` when the other side has stopped, which tells its reason itself.
async fn send(chunks: &mpsc::Sender<Chunk>, room: &Arc<Semaphore>, lines: Vec<StoredLine>, plain: usize) -> bool {
    let stored: usize = lines.iter().map(|line| line.line.len()).sum();
    let Some(room) = room_for(room, stored + plain).await else { return false };
    chunks.send(Chunk { lines, plain, room: Some(room) }).await.is_ok()
}

/// Turns chunks into frames, in order. Blocks.
fn compress(
    threads: std::num::NonZeroUsize,
    level: i32,
    benches: &Workbenches,
    part: PartIndex,
    mut chunks: mpsc::Receiver<Chunk>,
    frames: &mpsc::Sender<Finished>,
) -> Result<(), AdaptError> {
    let sink = |frame: export_canon::zst::Frame<'_, Chunk>| {
        let lines = frame.made.lines;
        let records = u32::try_from(lines.len()).unwrap_or(u32::MAX);
        let finished = Finished {
            bytes: Bytes::copy_from_slice(frame.bytes),
            frame: Frame { bytes: frame.info.compressed, plain: frame.info.plain, records },
            lines,
        };
        // The writer stops early only with an error of its own, which then is the part's.
        let _writer_stopped = frames.blocking_send(finished);
        Ok(())
    };
    let mut pool = ParallelFrames::with_benches(threads, level, benches, sink).map_err(|error| judged(part, error))?;
    while let Some(chunk) = chunks.blocking_recv() {
        if frames.is_closed() {
            return Ok(());
        }
        pool.submit(move |plain: &mut Vec<u8>| unpack(chunk, plain)).map_err(|error| judged(part, error))?;
    }
    pool.finish().map_err(|error| judged(part, error)).map(|_| ())
}

fn judged(part: PartIndex, error: FramesError<AdaptError>) -> AdaptError {
    match error {
        FramesError::Job { cause, .. } | FramesError::Sink { cause, .. } => cause,
        error @ (FramesError::Start(_) | FramesError::StartEncoder(_)) => {
            AdaptError::Workers { part, cause: Box::new(error) }
        }
        other => AdaptError::Compress { part, cause: Box::new(other) },
    }
}

thread_local! {
    /// Setting up a decoder costs more than decoding a typical line.
    static DECODER: RefCell<Option<FrameDecoder>> = const { RefCell::new(None) };
}

/// Appends a chunk's plain lines, each checked, and lets their stored texts go.
fn unpack(mut chunk: Chunk, plain: &mut Vec<u8>) -> Result<Chunk, AdaptError> {
    plain.reserve(chunk.plain);
    DECODER.with_borrow_mut(|slot| {
        for line in &mut chunk.lines {
            let damaged = |cause| AdaptError::Line {
                document_id: line.key.document_id.clone(),
                source_name: line.key.source.clone(),
                cause,
            };
            let decoder = match slot {
                Some(decoder) => decoder,
                None => slot.insert(FrameDecoder::new().map_err(|cause| damaged(Some(cause)))?),
            };
            let length = line.plain_bytes as usize;
            let before = plain.len();
            let found = decoder.decode_into(&line.line, length, plain).map_err(|cause| damaged(Some(cause)))?;
            if found != length {
                return Err(damaged(None));
            }
            guard::check(plain.get(before..).unwrap_or_default()).map_err(|breach| match breach {
                Breach::Forbidden(member) => AdaptError::Aoc { document_id: line.key.document_id.clone(), member },
                Breach::NotALine => damaged(None),
            })?;
            line.line = Bytes::new();
        }
        chunk.room = None;
        Ok(chunk)
    })
}

/// Gathers frames into segments, stages them, and keeps the checkpoint. The last segment stays open: it is staged only once
/// it is known that the part was read to its end.
async fn gather(
    mut progress: Progress,
    mut frames: mpsc::Receiver<Finished>,
    part: PartIndex,
    marked: bool,
    checkpoint: &Checkpoint,
    cx: &StageContext,
) -> Result<Gathered, AdaptError> {
    let mut open = OpenSegment { marked, ..OpenSegment::default() };
    while let Some(Finished { bytes, frame, lines }) = frames.recv().await {
        cx.check().map_err(AdaptError::Cancelled)?;
        open.take(bytes, frame, lines, part, cx).await?;
        let plain: u64 = open.frames.iter().map(|frame| u64::from(frame.plain)).sum();
        cx.progress(
            ProgressStep::AdapterChunk,
            progress.records + open.lines.len() as u64,
            progress.plain_bytes + plain,
        );
        if open.frames.len() == SEGMENT_FRAMES || open.compressed >= SEGMENT_BYTES {
            open.stage(&mut progress, part).await?;
            let saved = checkpoint.save(cx.workspace(), &progress).await;
            saved.map_err(|cause| AdaptError::Stage { what: format!("the checkpoint of part {part}"), cause })?;
        }
    }
    Ok(Gathered { progress, open })
}

/// What was staged, and the segment that is still open.
struct Gathered {
    progress: Progress,
    open: OpenSegment,
}

impl Gathered {
    async fn finish(mut self, part: PartIndex, cx: &StageContext) -> Result<Progress, AdaptError> {
        cx.check().map_err(AdaptError::Cancelled)?;
        self.open.stage(&mut self.progress, part).await?;
        Ok(self.progress)
    }
}

/// A segment that is being written: its frames go to staging as they come, and are visible once it is whole.
#[derive(Default)]
struct OpenSegment {
    marked: bool,
    marks: Vec<FrameMark>,
    writer: Option<ArtefactWriter>,
    compressed: usize,
    frames: Vec<Frame>,
    lines: Vec<StoredLine>,
}

impl OpenSegment {
    async fn take(
        &mut self,
        bytes: Bytes,
        frame: Frame,
        lines: Vec<StoredLine>,
        part: PartIndex,
        cx: &StageContext,
    ) -> Result<(), AdaptError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let opened = cx.workspace().artefact_writer().await;
                self.writer.insert(opened.map_err(|cause| of_segment(part, cause))?)
            }
        };
        self.compressed += bytes.len();
        if let Some(first) = lines.first().filter(|_| self.marked) {
            let digest = Digest::from_bytes(*sha256(&bytes).as_bytes());
            self.marks.push(FrameMark { first: first.key.clone(), digest });
        }
        writer.write(bytes).await.map_err(|cause| of_segment(part, cause))?;
        self.frames.push(frame);
        self.lines.extend(lines);
        Ok(())
    }

    /// Makes the segment visible and counts it in.
    async fn stage(&mut self, progress: &mut Progress, part: PartIndex) -> Result<(), AdaptError> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let artefact = writer.finish().await.map_err(|cause| of_segment(part, cause))?;
        self.compressed = 0;
        let frames = std::mem::take(&mut self.frames);
        progress.plain_bytes += frames.iter().map(|frame| u64::from(frame.plain)).sum::<u64>();
        let marks = std::mem::take(&mut self.marks);
        progress.segments.push(Segment { artefact, frames, marks });
        for line in self.lines.drain(..) {
            progress.take(&line.key, &line.content_hash);
        }
        Ok(())
    }
}

fn of_segment(part: PartIndex, cause: BlobError) -> AdaptError {
    AdaptError::Stage { what: format!("a segment of part {part}"), cause }
}
