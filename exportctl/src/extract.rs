//! `exportctl bundle extract`: the records of one subject.

use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use export_canon::zst::{BoundedDecoder, FrameDecoder};
use export_contract::RecordKind;
use export_mirror::{
    DocumentIndex, FileIndex, FrameEntry, LineForm, LineSource as _, MirrorError, StreamLines, layout,
};
use export_verify::Members;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exit::{Exit, Failure};
use crate::verify::failed;

/// Prints what `record` names; exit code 4 where nothing does.
pub(crate) fn extract(record: &str, raw: bool, path: &Path) -> Result<Exit, Failure> {
    let mut members = Members::open(path).map_err(failed)?;
    let mut found = Found { record, raw, count: 0 };
    let contents = members.manifest().contents.clone();
    let has = |path: &str| contents.iter().any(|content| content.path == path);
    for kind in RecordKind::ALL {
        let (lines, index) = (layout::lines_path(kind), layout::index_path(kind));
        if has(&lines) && has(&index) {
            found.in_frames(&mut members, &lines, &index)?;
        } else if has(&index) {
            found.in_documents(&mut members, &index)?;
        }
    }
    if found.count == 0 {
        // No index knows it: it may be a document id, or the bundle has no indexes.
        for content in contents.iter().filter(|content| content.path.ends_with(".jsonl.zst")) {
            found.in_lines(&mut members, &content.path, content.plain_bytes.unwrap_or(0))?;
        }
    }
    Ok(if found.count > 0 { Exit::Ok } else { Exit::NotFound })
}

struct Found<'a> {
    record: &'a str,
    raw: bool,
    count: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    raw: &'a RawValue,
}

impl Found<'_> {
    fn print(&mut self, line: &[u8]) {
        self.count += 1;
        let parsed = if self.raw { serde_json::from_slice::<Line<'_>>(line).ok() } else { None };
        let text = parsed.map_or(line, |line| line.content.raw.get().as_bytes());
        let mut out = io::stdout().lock();
        // A reader that closed the pipe has seen enough.
        let _closed = out.write_all(text.strip_suffix(b"\n").unwrap_or(text)).and_then(|()| out.write_all(b"\n"));
    }

    /// Decompresses the frames that may hold the subject, and no others.
    fn in_frames(&mut self, members: &mut Members, lines: &str, index: &str) -> Result<(), Failure> {
        let read = members.with(index, |body| FileIndex::read(index, body, lines)).map_err(failed)?;
        let Some(index) = read.transpose().map_err(Failure::Mirror)? else { return Ok(()) };
        let frames: Vec<FrameEntry> = index.frames_of(self.record).cloned().collect();
        if frames.is_empty() {
            return Ok(());
        }
        let plain = members.with(lines, |body| frames_of(lines, body, &frames)).map_err(failed)?;
        for frame in plain.transpose().map_err(Failure::Mirror)?.unwrap_or_default() {
            self.take(lines, index.form, BufReader::new(frame.as_slice()))?;
        }
        Ok(())
    }

    fn in_documents(&mut self, members: &mut Members, name: &str) -> Result<(), Failure> {
        let read = members.with(name, |body| DocumentIndex::read(name, body)).map_err(failed)?;
        let Some(index) = read.transpose().map_err(Failure::Mirror)? else { return Ok(()) };
        let wanted = |text: &str| text == self.record;
        let entries: Vec<_> =
            index.documents.into_iter().filter(|entry| wanted(&entry.subject) || wanted(&entry.document_id)).collect();
        for entry in entries {
            let mut text = Vec::new();
            members.with(&entry.path, |body| body.read_to_end(&mut text)).map_err(failed)?;
            self.print(&text);
        }
        Ok(())
    }

    /// Looks at every line of a file.
    fn in_lines(&mut self, members: &mut Members, path: &str, plain: u64) -> Result<(), Failure> {
        let form = if path == layout::EVALUATIONS { LineForm::Finding } else { LineForm::Evidence };
        let looked = members.with(path, |body| {
            let decoder = BoundedDecoder::new(body, plain)
                .map_err(|cause| Failure::Mirror(MirrorError::Zstd { path: path.to_owned(), cause }))?;
            self.take(path, form, BufReader::with_capacity(256 << 10, decoder))
        });
        looked.map_err(failed)?.unwrap_or(Ok(()))
    }

    fn take(&mut self, path: &str, form: LineForm, text: impl io::BufRead) -> Result<(), Failure> {
        let mut lines = StreamLines::new(path, form, text).map_err(Failure::Mirror)?;
        while let Some(key) = lines.key() {
            if key.subject == self.record || key.document_id == self.record {
                let line = lines.text().to_vec();
                self.print(&line);
            }
            lines.advance().map_err(Failure::Mirror)?;
        }
        Ok(())
    }
}

/// The plain bytes of some frames of a file, which are neighbours or nearly so.
fn frames_of(path: &str, body: &mut dyn Read, frames: &[FrameEntry]) -> Result<Vec<Vec<u8>>, MirrorError> {
    let unread = |cause| MirrorError::Io { act: "read", path: path.to_owned(), cause };
    let zstd = |cause| MirrorError::Zstd { path: path.to_owned(), cause };
    let mut decoder = FrameDecoder::new().map_err(zstd)?;
    let mut at = 0;
    let mut plain = Vec::new();
    for frame in frames {
        io::copy(&mut (&mut *body).take(frame.offset.saturating_sub(at)), &mut io::sink()).map_err(unread)?;
        let mut compressed = Vec::new();
        (&mut *body).take(frame.bytes).read_to_end(&mut compressed).map_err(unread)?;
        at = frame.offset + frame.bytes;
        plain.push(decoder.decode(&compressed, usize::try_from(frame.plain).unwrap_or(usize::MAX)).map_err(zstd)?);
    }
    Ok(plain)
}
