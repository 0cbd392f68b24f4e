//! Follows zstd frames by their headers alone (RFC 8878, section 3.1), to count them and to compare the seek table with them.
//!
//! A decoder shows what comes out; it does not show how many frames there were, nor what else lies between them.

use export_canon::zst::{FrameInfo, seek_table};

/// Most frames that are followed: 8 bytes each are kept until the seek table is compared.
const MAX_FRAMES: u64 = 16 << 20;
const FRAME_MAGIC: u32 = 0xfd2f_b528;
/// The skippable frame that the seekable format uses; the other fifteen could hold anything.
const TABLE_MAGIC: u32 = 0x184d_2a5e;

/// Where in the format the next byte stands.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Four bytes that start a frame.
    Magic,
    /// Frame header descriptor.
    Descriptor,
    /// The rest of the frame header.
    Header { descriptor: u8 },
    /// A block header; the block is skipped.
    Block,
    /// The checksum after the last block; the decoder checks it.
    Checksum,
    /// Inside the seek table, compared byte by byte from here.
    Table { at: usize },
    /// After the seek table.
    End,
}

/// Follows frames piece by piece. A fault is kept and told by [`FrameWalker::finish`].
#[derive(Debug)]
pub(crate) struct FrameWalker {
    active: bool,
    limit: u64,
    step: Step,
    /// Bytes of the current field.
    field: Vec<u8>,
    /// Bytes of a block still to pass over.
    skip: u64,
    /// Bytes and plain bytes of the current frame.
    compressed: u64,
    plain: Option<u64>,
    checksum: bool,
    count: u64,
    /// Sizes of the frames so far; `None` once one does not fit a seek table.
    sizes: Option<Vec<FrameInfo>>,
    table: Vec<u8>,
    fault: Option<&'static str>,
}

impl FrameWalker {
    /// Follows nothing.
    pub(crate) fn idle() -> Self {
        Self::new(false, 0)
    }

    /// Follows at most `frames` frames.
    pub(crate) fn expecting(frames: u64) -> Self {
        Self::new(true, frames.min(MAX_FRAMES))
    }

    fn new(active: bool, limit: u64) -> Self {
        Self {
            active,
            limit,
            step: Step::Magic,
            field: Vec::new(),
            skip: 0,
            compressed: 0,
            plain: None,
            checksum: false,
            count: 0,
            sizes: Some(Vec::new()),
            table: Vec::new(),
            fault: None,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if !self.active {
            return;
        }
        while self.fault.is_none() && !bytes.is_empty() {
            if self.skip > 0 {
                let most = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= most as u64;
                self.compressed += most as u64;
                bytes = bytes.get(most..).unwrap_or_default();
                continue;
            }
            if let Step::Table { at } = self.step {
                bytes = self.compare(at, bytes);
                continue;
            }
            let missing = self.field_length().saturating_sub(self.field.len());
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.field.extend_from_slice(head);
            bytes = rest;
            if self.field.len() == self.field_length() {
                let field = std::mem::take(&mut self.field);
                self.compressed += field.len() as u64;
                if let Err(fault) = self.advance(&field) {
                    self.fault = Some(fault);
                }
            }
        }
    }

    /// The frames counted.
    pub(crate) fn frames(&self) -> u64 {
        self.count
    }

    /// Whether a seek table ends the file.
    pub(crate) fn has_table(&self) -> bool {
        matches!(self.step, Step::End)
    }

    /// What is wrong with the frames, if anything is.
    pub(crate) fn finish(&self) -> Result<(), &'static str> {
        match (self.fault, self.step) {
            (Some(fault), _) => Err(fault),
            (None, Step::Magic) if self.field.is_empty() && self.skip == 0 => Ok(()),
            (None, Step::End) => Ok(()),
            (None, _) => Err("it ends inside a zstd frame"),
        }
    }

    fn field_length(&self) -> usize {
        match self.step {
            Step::Magic | Step::Checksum => 4,
            Step::Descriptor | Step::End => 1,
            Step::Header { descriptor } => header_length(descriptor),
            Step::Block => 3,
            Step::Table { .. } => 0,
        }
    }

    fn advance(&mut self, field: &[u8]) -> Result<(), &'static str> {
        match self.step {
            Step::Magic => self.magic(field),
            Step::Descriptor => {
                let descriptor = field.first().copied().unwrap_or_default();
                if descriptor & 0b1000 != 0 {
                    return Err("a zstd frame has its reserved bit set");
                }
                if descriptor & 0b11 != 0 {
                    return Err("a zstd frame needs a dictionary");
                }
                self.checksum = descriptor & 0b100 != 0;
                self.step = Step::Header { descriptor };
                Ok(())
            }
            Step::Header { descriptor } => {
                self.plain = content_size(descriptor, field);
                self.step = Step::Block;
                Ok(())
            }
            Step::Block => self.block(field),
            Step::Checksum => {
                self.close();
                Ok(())
            }
            Step::Table { .. } => Ok(()),
            Step::End => Err("it goes on after its seek table"),
        }
    }

    fn magic(&mut self, field: &[u8]) -> Result<(), &'static str> {
        match little_endian(field) {
            magic if magic == u64::from(FRAME_MAGIC) => {
                if self.count >= self.limit {
                    return Err("it has more zstd frames than export.json says");
                }
                self.compressed = 4;
                self.step = Step::Descriptor;
                Ok(())
            }
            magic if magic == u64::from(TABLE_MAGIC) => {
                let sizes = self
                    .sizes
                    .take()
                    .ok_or("its seek table cannot be right: a frame has no size or is too large for one")?;
                self.table = seek_table(&sizes).map_err(|_| "it has more frames than a seek table may have")?;
                self.step = Step::Table { at: field.len() };
                Ok(())
            }
            _ => Err("it holds something that is neither a zstd frame nor a seek table"),
        }
    }

    fn block(&mut self, field: &[u8]) -> Result<(), &'static str> {
        let header = little_endian(field);
        let (last, kind, size) = (header & 1 == 1, header >> 1 & 0b11, header >> 3);
        self.skip = match kind {
            0 | 2 => size,
            1 => 1,
            _ => return Err("a zstd block is of the reserved type"),
        };
        if last && self.checksum {
            self.step = Step::Checksum;
        } else if last {
            // Counted before it is passed over, because the frame is closed here.
            self.compressed += self.skip;
            self.close();
        }
        Ok(())
    }

    /// A frame is at its end, or will be after what is left to skip.
    fn close(&mut self) {
        let size = |bytes: u64| u32::try_from(bytes).ok();
        let info = self.plain.and_then(size).zip(size(self.compressed));
        match (&mut self.sizes, info) {
            (Some(sizes), Some((plain, compressed))) => sizes.push(FrameInfo { compressed, plain }),
            _ => self.sizes = None,
        }
        self.count += 1;
        self.step = Step::Magic;
    }

    fn compare<'a>(&mut self, at: usize, bytes: &'a [u8]) -> &'a [u8] {
        let rest = self.table.get(at..).unwrap_or_default();
        let (head, tail) = bytes.split_at(rest.len().min(bytes.len()));
        if !rest.starts_with(head) {
            self.fault = Some("its seek table does not fit its frames");
        }
        let at = at + head.len();
        self.step = if at == self.table.len() { Step::End } else { Step::Table { at } };
        tail
    }
}

/// Bytes between descriptor and first block: window, then content size; there is no dictionary.
fn header_length(descriptor: u8) -> usize {
    let single = descriptor & 0b10_0000 != 0;
    let size = match (descriptor >> 6, single) {
        (0, false) => 0,
        (0, true) => 1,
        (1, _) => 2,
        (2, _) => 4,
        _ => 8,
    };
    size + usize::from(!single)
}

fn content_size(descriptor: u8, header: &[u8]) -> Option<u64> {
    let single = descriptor & 0b10_0000 != 0;
    let size = header.get(usize::from(!single)..)?;
    match size.len() {
        0 => None,
        2 => Some(little_endian(size) + 256),
        _ => Some(little_endian(size)),
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use export_canon::zst::{FrameEncoder, StreamEncoder, seek_table};

    use super::FrameWalker;

    fn file(texts: &[&[u8]]) -> Vec<u8> {
        let mut encoder = FrameEncoder::new(3).unwrap();
        let mut out = Vec::new();
        let infos: Vec<_> = texts.iter().map(|text| encoder.encode(text, &mut out).unwrap()).collect();
        out.extend(seek_table(&infos).unwrap());
        out
    }

    fn walk(bytes: &[u8], piece: usize, limit: u64) -> (u64, Result<(), &'static str>) {
        let mut walker = FrameWalker::expecting(limit);
        bytes.chunks(piece).for_each(|piece| walker.push(piece));
        (walker.frames(), walker.finish())
    }

    #[test]
    fn frames_are_counted_and_their_table_compared_whatever_the_pieces() {
        let noise: Vec<u8> = (0..700_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let bytes = file(&[b"", b"a", &[7; 300], &vec![8; 100_000], &noise]);
        for piece in [1, 2, 3, 7, 1000, bytes.len()] {
            assert_eq!(walk(&bytes, piece, 5), (5, Ok(())), "{piece}");
        }
    }

    #[test]
    fn a_stream_of_one_frame_needs_no_table() {
        let mut encoder = StreamEncoder::new(3, 400_000).unwrap();
        let mut bytes = encoder.write(&vec![1; 400_000]).unwrap();
        bytes.extend(encoder.finish().unwrap());
        assert_eq!(walk(&bytes, 1, 1), (1, Ok(())));
    }

    #[test]
    fn what_a_decoder_would_pass_over_is_refused() {
        let good = file(&[b"one", b"two"]);
        let hidden = |tail: &[u8]| [&good, tail].concat();
        let skippable = [&0x184d_2a50_u32.to_le_bytes()[..], &[3, 0, 0, 0], b"abc"].concat();
        let mut lying = good.clone();
        let at = lying.len() - 12;
        lying[at] ^= 1;
        let swapped = {
            let (one, two) = (file(&[b"one", b"three"]), file(&[b"three", b"one"]));
            let frames = one.len() - 33;
            [&one[..frames], &two[frames..]].concat()
        };
        for (name, bytes) in [
            ("frame after the table", hidden(&good)),
            ("another skippable frame", hidden(&skippable)),
            ("skippable frame first", [skippable.clone(), good.clone()].concat()),
            ("table that lies", lying),
            ("table of other frames", swapped),
            ("cut in a frame", good[..6].to_vec()),
            ("cut in the table", good[..good.len() - 1].to_vec()),
            ("no frame", b"plain text".to_vec()),
        ] {
            assert!(walk(&bytes, 5, 9).1.is_err(), "{name}");
        }
        assert!(walk(&good, 5, 1).1.is_err(), "more frames than expected");
    }
}
