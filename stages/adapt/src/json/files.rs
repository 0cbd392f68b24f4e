//! The join: one `.jsonl.zst` file per kind from the parts' segments, the policy files, and the README.

use std::sync::Arc;

use bytes::Bytes;
use export_blobs::{BlobError, workspace::ArtefactWriter};
use export_canon::digesting::{Digester, sha256};
use export_canon::zst::{FrameEncoder, FrameInfo, StreamEncoder, ZstError, decompress_frame, seek_table};
use export_contract::event::ProgressStep;
use export_contract::message::{BundleFile, Frame, Part, PartAdapted, PartsResolved, RunAdapted, Segment};
use export_contract::profile::{Compression, Frames};
use export_contract::{Digest, PartIndex, Version};
use export_pipeline::StageContext;
use futures::TryStreamExt as _;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::policy::Exported;
use super::readme;
use crate::error::AdaptError;
use crate::parts::{self, Sources};

/// Largest segment that is read whole, for files of a single frame: a few frames, of which the last may hold a large record.
const MAX_SEGMENT: u64 = 2 << 30;

/// Joins the parts of a run; `policy` is what stands beside them.
pub(crate) async fn join(
    input: PartsResolved,
    policy: Option<Exported>,
    cx: &StageContext,
) -> Result<RunAdapted, AdaptError> {
    let PartsResolved { plan, parts, .. } = input;
    let mut sources = Sources::default();
    let mut joins = Vec::new();
    let plan = Arc::new(plan);
    for kind in plan.selectors.kinds.iter().copied() {
        let adapted = parts::results(parts.iter().filter(|part| part.kind == kind), keeps_its_promise, cx).await?;
        sources.take(None, &adapted);
        // The files are read, hashed and written side by side.
        let (compression, cx) = (plan.profile.config.compression, cx.clone());
        let path = format!("data/raw/{}.jsonl.zst", kind.file_stem());
        let adapted = adapted.into_iter().map(Lines::from).collect();
        joins.push(AbortOnDropHandle::new(tokio::spawn(async move { file(path, compression, adapted, &cx).await })));
    }
    let mut files = Vec::new();
    for join in joins {
        let written = join.await;
        files.push(written.map_err(|cause| AdaptError::Join { path: "data/raw".to_owned(), cause })??);
    }
    files.extend(policy.iter().flat_map(|exported| exported.files.clone()));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let text = readme::text(&plan, &files, policy.as_ref());
    let staged = cx.workspace().put_artefact(Bytes::from(text)).await;
    files.push(BundleFile {
        path: "README.md".to_owned(),
        artefact: staged.map_err(|cause| staging("README.md", cause))?,
        content_type: "text/markdown".to_owned(),
        records: None,
        plain_bytes: None,
        frames: None,
    });
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let sources = sources.finish();
    Ok(RunAdapted { v: Version, plan: Arc::unwrap_or_clone(plan), files, sources, target: None })
}

/// Whether a part's record is of that part, and its frames add up to what it says.
pub(crate) fn keeps_its_promise(adapted: &PartAdapted, part: &Part) -> bool {
    let frames = || adapted.segments.iter().flat_map(|segment| &segment.frames);
    let sum = |of: fn(&Frame) -> u32| frames().map(|frame| u64::from(of(frame))).sum::<u64>();
    (adapted.part, adapted.kind, adapted.records) == (part.index, part.kind, part.records)
        && sum(|frame| frame.records) == adapted.records
        && sum(|frame| frame.plain) == adapted.plain_bytes
        && adapted.segments.iter().all(|segment| {
            segment.frames.iter().map(|frame| u64::from(frame.bytes)).sum::<u64>() == segment.artefact.bytes
        })
}

/// Lines in frames, staged in segments.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The part that wrote them.
    pub(crate) part: PartIndex,
    /// How many.
    pub(crate) records: u64,
    /// Their bytes, before compression.
    pub(crate) plain_bytes: u64,
    /// The frames.
    pub(crate) segments: Vec<Segment>,
}

impl From<PartAdapted> for Lines {
    fn from(adapted: PartAdapted) -> Self {
        let PartAdapted { part, records, plain_bytes, segments, .. } = adapted;
        Self { part, records, plain_bytes, segments }
    }
}

/// Joins lines to one file.
pub(crate) async fn file(
    path: String,
    compression: Compression,
    parts: Vec<Lines>,
    cx: &StageContext,
) -> Result<BundleFile, AdaptError> {
    let mut joined = Joined {
        writer: cx.workspace().artefact_writer().await.map_err(|cause| staging(&path, cause))?,
        path: path.clone(),
    };
    let records = parts.iter().map(|part| part.records).sum();
    let plain_bytes = parts.iter().map(|part| part.plain_bytes).sum();
    let written = match compression.frames {
        // Many frames, and one where there is nothing: an empty kind is a valid file that says "no records", not an absent one.
        Frames::Multi if records > 0 => joined.copy(&parts, cx).await,
        Frames::Multi | Frames::Single => joined.recompress(&parts, compression.level, plain_bytes, cx).await,
    };
    let frames = match written {
        Ok(frames) => frames,
        Err(error) => {
            joined.writer.abort().await.map_err(|cause| staging(&path, cause))?;
            return Err(error);
        }
    };
    let artefact = joined.writer.finish().await.map_err(|cause| staging(&path, cause))?;
    Ok(BundleFile {
        path,
        artefact,
        content_type: "application/zstd".to_owned(),
        records: Some(records),
        plain_bytes: Some(plain_bytes),
        frames: Some(frames),
    })
}

/// A file that is being joined.
struct Joined {
    writer: ArtefactWriter,
    path: String,
}

impl Joined {
    /// Copies the parts' frames as they are and adds the seek table.
    async fn copy(&mut self, parts: &[Lines], cx: &StageContext) -> Result<u64, AdaptError> {
        let mut frames = Vec::new();
        let (mut records, mut plain) = (0, 0);
        for part in parts {
            for segment in &part.segments {
                self.copy_segment(part.part, segment, cx).await?;
                frames.extend(
                    segment.frames.iter().map(|frame| FrameInfo { compressed: frame.bytes, plain: frame.plain }),
                );
            }
            records += part.records;
            plain += part.plain_bytes;
            cx.progress(ProgressStep::StageProgress, records, plain);
        }
        let table = seek_table(&frames).map_err(|cause| self.frames_error(cause))?;
        self.write(Bytes::from(table)).await?;
        Ok(frames.len() as u64)
    }

    async fn copy_segment(&mut self, part: PartIndex, segment: &Segment, cx: &StageContext) -> Result<(), AdaptError> {
        let read = cx.workspace().read_artefact(&segment.artefact.digest).await;
        let mut pieces = read.map_err(|cause| staging(&self.path, cause))?;
        let mut digester = Digester::new();
        while let Some(piece) = pieces.try_next().await.map_err(|cause| staging(&self.path, cause))? {
            cx.check().map_err(AdaptError::Cancelled)?;
            digester.update(&piece);
            self.write(piece).await?;
        }
        if Digest::from_bytes(*digester.finish().sha256.as_bytes()) == segment.artefact.digest {
            Ok(())
        } else {
            Err(AdaptError::Segment { part })
        }
    }

    /// Compresses all lines into one frame, for readers that stop after the first. The encoder is fed frame by frame, so its
    /// output depends on the data alone.
    async fn recompress(
        &mut self,
        parts: &[Lines],
        level: i32,
        plain_bytes: u64,
        cx: &StageContext,
    ) -> Result<u64, AdaptError> {
        if plain_bytes == 0 {
            let mut empty = Vec::new();
            FrameEncoder::new(level)
                .and_then(|mut encoder| encoder.encode(b"", &mut empty))
                .map_err(|cause| self.frames_error(cause))?;
            self.write(Bytes::from(empty)).await?;
            return Ok(1);
        }
        let mut encoder = StreamEncoder::new(level, plain_bytes).map_err(|cause| self.frames_error(cause))?;
        let (mut records, mut plain) = (0, 0);
        for part in parts {
            for segment in &part.segments {
                let bytes = cx
                    .workspace()
                    .get_artefact(&segment.artefact.digest, MAX_SEGMENT)
                    .await
                    .map_err(|cause| staging(&self.path, cause))?;
                if Digest::from_bytes(*sha256(&bytes).as_bytes()) != segment.artefact.digest {
                    return Err(AdaptError::Segment { part: part.part });
                }
                let mut rest = bytes;
                for frame in &segment.frames {
                    cx.check().map_err(AdaptError::Cancelled)?;
                    if rest.len() < frame.bytes as usize {
                        return Err(AdaptError::Segment { part: part.part });
                    }
                    let compressed = rest.split_to(frame.bytes as usize);
                    let length = frame.plain as usize;
                    // High levels take seconds for a frame: not on a thread that others wait for.
                    let work = tokio::task::spawn_blocking(move || {
                        let out = encoder.write(&decompress_frame(&compressed, length)?)?;
                        Ok((encoder, out))
                    });
                    let done = work.await;
                    let out;
                    (encoder, out) = self.unless_it_panics(done)?;
                    self.write(Bytes::from(out)).await?;
                    records += u64::from(frame.records);
                    plain += u64::from(frame.plain);
                    cx.progress(ProgressStep::StageProgress, records, plain);
                }
            }
        }
        let done = tokio::task::spawn_blocking(move || encoder.finish()).await;
        let rest = self.unless_it_panics(done)?;
        self.write(Bytes::from(rest)).await?;
        Ok(1)
    }

    fn unless_it_panics<T>(&self, outcome: Result<Result<T, ZstError>, JoinError>) -> Result<T, AdaptError> {
        match outcome {
            Ok(done) => done.map_err(|cause| self.frames_error(cause)),
            Err(panic) => Err(AdaptError::Join { path: self.path.clone(), cause: panic }),
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), AdaptError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.writer.write(bytes).await.map_err(|cause| staging(&self.path, cause))
    }

    fn frames_error(&self, cause: ZstError) -> AdaptError {
        AdaptError::Frames { path: self.path.clone(), cause }
    }
}

pub(super) fn staging(what: &str, cause: BlobError) -> AdaptError {
    AdaptError::Stage { what: what.to_owned(), cause }
}
