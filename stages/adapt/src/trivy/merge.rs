//! Many sorted runs into one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use export_canon::zst::FrameDecoder;
use export_contract::message::Frame;
use export_pipeline::StageContext;

use super::error::TrivyError;
use super::pulse::Pulse;
use super::run::{Encoded, FrameWriter, Rows};

/// A run in the scratch folder.
#[derive(Debug)]
pub(crate) struct LocalRun {
    pub(crate) path: PathBuf,
    pub(crate) frames: Vec<Frame>,
}

/// A run that is being read.
struct Reader {
    file: File,
    path: PathBuf,
    frames: std::vec::IntoIter<Frame>,
    decoder: FrameDecoder,
    rows: Rows,
    compressed: Vec<u8>,
}

impl Reader {
    fn open(run: LocalRun) -> Result<Self, TrivyError> {
        let LocalRun { path, frames } = run;
        let file = File::open(&path).map_err(|cause| TrivyError::Scratch { act: "open", path: path.clone(), cause })?;
        let decoder = FrameDecoder::new().map_err(|cause| TrivyError::Frame { act: "read", cause })?;
        let frames = frames.into_iter();
        Ok(Self { file, path, frames, decoder, rows: Rows::default(), compressed: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<Encoded>, TrivyError> {
        loop {
            if let Some(row) = self.rows.next()? {
                return Ok(Some(row));
            }
            let Some(frame) = self.frames.next() else { return Ok(None) };
            self.compressed.resize(frame.bytes as usize, 0);
            let read = self.file.read_exact(&mut self.compressed);
            read.map_err(|cause| TrivyError::Scratch { act: "read", path: self.path.clone(), cause })?;
            self.rows.load(&mut self.decoder, &self.compressed)?;
        }
    }
}

/// Gives the rows of all runs in order. Equal rows come once: a part that was written twice is the same part.
pub(crate) fn merge(
    runs: Vec<LocalRun>,
    mut each: impl FnMut(Encoded) -> Result<(), TrivyError>,
) -> Result<(), TrivyError> {
    let mut readers = runs.into_iter().map(Reader::open).collect::<Result<Vec<_>, _>>()?;
    let mut heap = BinaryHeap::with_capacity(readers.len());
    for (index, reader) in readers.iter_mut().enumerate() {
        heap.extend(reader.next()?.map(|row| Reverse((row, index))));
    }
    while let Some(Reverse((row, index))) = heap.pop() {
        if let Some(reader) = readers.get_mut(index) {
            heap.extend(reader.next()?.map(|row| Reverse((row, index))));
        }
        each(row)?;
    }
    Ok(())
}

/// Merges until at most `fan_in` runs are left.
pub(crate) fn reduce(
    mut runs: Vec<LocalRun>,
    fan_in: usize,
    folder: &Path,
    cx: &StageContext,
) -> Result<Vec<LocalRun>, TrivyError> {
    // A merge of one run makes no fewer of them.
    let fan_in = fan_in.max(2);
    let mut made = 0;
    while runs.len() > fan_in {
        let mut fewer = Vec::new();
        while !runs.is_empty() {
            let group: Vec<LocalRun> = runs.drain(..fan_in.min(runs.len())).collect();
            let old: Vec<PathBuf> = group.iter().map(|run| run.path.clone()).collect();
            made += 1;
            fewer.push(rewrite(group, folder.join(format!("merged-{made}")), cx)?);
            for path in old {
                std::fs::remove_file(&path).map_err(|cause| TrivyError::Scratch { act: "remove", path, cause })?;
            }
        }
        runs = fewer;
    }
    Ok(runs)
}

fn rewrite(group: Vec<LocalRun>, path: PathBuf, cx: &StageContext) -> Result<LocalRun, TrivyError> {
    let failed = |cause| TrivyError::Scratch { act: "write", path: path.clone(), cause };
    let mut file = BufWriter::new(File::create_new(&path).map_err(failed)?);
    let mut writer = FrameWriter::new()?;
    let mut frames = Vec::new();
    let mut pulse = Pulse::new(cx);
    let mut put = |made: Option<(Vec<u8>, Frame)>| -> Result<(), TrivyError> {
        if let Some((bytes, frame)) = made {
            file.write_all(&bytes).map_err(failed)?;
            frames.push(frame);
        }
        Ok(())
    };
    merge(group, |row| {
        pulse.row()?;
        put(writer.push(&row)?)
    })?;
    put(writer.close()?)?;
    file.into_inner().map_err(|error| failed(error.into_error()))?;
    Ok(LocalRun { path, frames })
}
