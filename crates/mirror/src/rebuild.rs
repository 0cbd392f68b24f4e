//! A new lines file from a base's frames and what changed.

use std::collections::BTreeMap;
use std::io::Write;

use export_canon::zst::{FrameEncoder, FrameInfo, seek_table};
use export_contract::Digest;

use crate::error::MirrorError;
use crate::index::{FileIndex, FrameEntry};
use crate::lines::{LineSource, check_frame};

/// Writes the file that `new` describes: frames that the base has are copied, the others are made of `lines`, which are the lines of
/// just those frames. Each frame must come out as the index says, so the file has the very bytes of a full export or there is an error.
///
/// # Errors
/// Those of `fetch` (which gives the compressed bytes of a base's frame), of the lines, of `out`, and [`MirrorError::Frame`].
pub fn rebuild(
    base: &FileIndex,
    new: &FileIndex,
    level: i32,
    mut fetch: impl FnMut(&FrameEntry) -> Result<Vec<u8>, MirrorError>,
    mut lines: impl LineSource,
    out: &mut impl Write,
) -> Result<(), MirrorError> {
    let path = new.path.as_str();
    let zstd = |cause| MirrorError::Zstd { path: path.to_owned(), cause };
    let write = |cause| MirrorError::Io { act: "write", path: path.to_owned(), cause };
    let in_base: BTreeMap<&Digest, &FrameEntry> = base.frames.iter().map(|frame| (&frame.digest, frame)).collect();
    let mut encoder = FrameEncoder::new(level).map_err(zstd)?;
    let (mut plain, mut made) = (Vec::new(), Vec::new());
    for frame in &new.frames {
        if let Some(known) = in_base.get(&frame.digest) {
            let compressed = fetch(known)?;
            check_frame(path, frame, &compressed)?;
            out.write_all(&compressed).map_err(write)?;
            continue;
        }
        plain.clear();
        plain.shrink_to(16 << 20);
        for number in 0..frame.records {
            if lines.key().is_none() || number == 0 && lines.key() != Some(&frame.first) {
                return Err(MirrorError::Frame { path: path.to_owned(), offset: frame.offset });
            }
            plain.extend_from_slice(lines.text());
            lines.advance()?;
        }
        made.clear();
        encoder.encode(&plain, &mut made).map_err(zstd)?;
        check_frame(path, frame, &made)?;
        out.write_all(&made).map_err(write)?;
    }
    if lines.key().is_some() {
        return Err(MirrorError::rule(path, "lines are left over behind its last frame"));
    }
    let narrow = |count: u64| u32::try_from(count).map_err(|_| MirrorError::rule(path, "a frame is too large"));
    let frames =
        new.frames.iter().map(|frame| Ok(FrameInfo { compressed: narrow(frame.bytes)?, plain: narrow(frame.plain)? }));
    let frames = frames.collect::<Result<Vec<_>, MirrorError>>()?;
    out.write_all(&seek_table(&frames).map_err(zstd)?).map_err(write)
}
