//! A lines file that is written line by line on a blocking thread.

use bytes::Bytes;
use export_blobs::workspace::ArtefactWriter;
use export_canon::chunk::Chunker;
use export_canon::zst::{FrameEncoder, FrameInfo, seek_table};
use export_contract::message::{BundleFile, RunPlanned};
use export_contract::profile::Compression;
use export_pipeline::StageContext;
use tokio::runtime::Handle;

use crate::error::AdaptError;

/// Lines on their way to staging, compressed as the profile says.
pub(super) struct LinesOutput {
    path: String,
    runtime: Handle,
    writer: ArtefactWriter,
    encoder: FrameEncoder,
    chunker: Chunker,
    plain: Vec<u8>,
    frames: Vec<FrameInfo>,
    records: u64,
    bytes: u64,
}

impl LinesOutput {
    /// Begins a file. Blocks, as all of this does.
    pub(super) fn new(
        path: String,
        plan: &RunPlanned,
        runtime: &Handle,
        cx: &StageContext,
    ) -> Result<Self, AdaptError> {
        let Compression { level, chunk_bytes, .. } = plan.profile.config.compression;
        let opened = runtime.block_on(cx.workspace().artefact_writer());
        Ok(Self {
            writer: opened.map_err(|cause| AdaptError::Stage { what: path.clone(), cause })?,
            encoder: FrameEncoder::new(level).map_err(|cause| AdaptError::Frames { path: path.clone(), cause })?,
            chunker: Chunker::new(u64::from(chunk_bytes)),
            runtime: runtime.clone(),
            path,
            plain: Vec::new(),
            frames: Vec::new(),
            records: 0,
            bytes: 0,
        })
    }

    /// Lines so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Appends a line, its line feed included.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), AdaptError> {
        self.plain.extend_from_slice(line);
        self.records += 1;
        self.bytes += line.len() as u64;
        if self.chunker.push(line.len() as u64) {
            self.close_frame()?;
        }
        Ok(())
    }

    fn close_frame(&mut self) -> Result<(), AdaptError> {
        let mut frame = Vec::new();
        let info = self.encoder.encode(&self.plain, &mut frame);
        self.frames.push(info.map_err(|cause| AdaptError::Frames { path: self.path.clone(), cause })?);
        self.plain.clear();
        self.plain.shrink_to(16 << 20);
        self.write(frame)
    }

    fn write(&mut self, bytes: Vec<u8>) -> Result<(), AdaptError> {
        let written = self.runtime.block_on(self.writer.write(Bytes::from(bytes)));
        written.map_err(|cause| AdaptError::Stage { what: self.path.clone(), cause })
    }

    /// Ends the file. An empty one is a frame that says so.
    pub(super) fn finish(mut self) -> Result<BundleFile, AdaptError> {
        if self.chunker.open_records() > 0 || self.records == 0 {
            self.close_frame()?;
        }
        let count = self.frames.len() as u64;
        if self.records > 0 {
            let table = seek_table(&self.frames);
            self.write(table.map_err(|cause| AdaptError::Frames { path: self.path.clone(), cause })?)?;
        }
        let artefact = self.runtime.block_on(self.writer.finish());
        Ok(BundleFile {
            artefact: artefact.map_err(|cause| AdaptError::Stage { what: self.path.clone(), cause })?,
            path: self.path,
            content_type: "application/zstd".to_owned(),
            records: Some(self.records),
            plain_bytes: Some(self.bytes),
            frames: Some(count),
        })
    }
}
