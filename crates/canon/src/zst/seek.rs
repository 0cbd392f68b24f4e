//! The seek table: a skippable frame at the end of the file (zstd seekable format 0.1.0).

use std::io::{Read, Seek, SeekFrom};

use super::{FrameInfo, ZstError};

const SKIPPABLE_MAGIC: u32 = 0x184d_2a5e;
const SEEKABLE_MAGIC: u32 = 0x8f92_eab1;
const HEADER_LEN: usize = 8;
const CHECKSUM_FLAG: u8 = 0x80;
/// Bits of the descriptor that must be zero; the two lowest may hold anything.
const RESERVED_BITS: u8 = 0x7c;

/// Length of the footer that ends a seek table.
pub const SEEK_FOOTER_LEN: usize = 9;

/// Most frames the format allows (`ZSTD_SEEKABLE_MAXFRAMES`).
pub const MAX_FRAMES: usize = 0x0800_0000;

/// The seek table to write after the frames, in their order.
///
/// # Errors
/// [`ZstError::TooManyFrames`].
pub fn seek_table(frames: &[FrameInfo]) -> Result<Vec<u8>, ZstError> {
    let too_many = || ZstError::TooManyFrames { frames: frames.len() as u64, limit: MAX_FRAMES as u64 };
    if frames.len() > MAX_FRAMES {
        return Err(too_many());
    }
    let content = frames.len() * 8 + SEEK_FOOTER_LEN;
    let mut table = Vec::with_capacity(HEADER_LEN + content);
    table.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
    table.extend_from_slice(&u32::try_from(content).map_err(|_| too_many())?.to_le_bytes());
    for frame in frames {
        table.extend_from_slice(&frame.compressed.to_le_bytes());
        table.extend_from_slice(&frame.plain.to_le_bytes());
    }
    table.extend_from_slice(&u32::try_from(frames.len()).map_err(|_| too_many())?.to_le_bytes());
    table.push(0); // no checksums: every frame carries its own
    table.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
    Ok(table)
}

/// Length of the whole seek table, as the last nine bytes of the file tell, for callers that read by range.
///
/// # Errors
/// [`ZstError::SeekTable`] if these are not the last bytes of a seek table, and [`ZstError::TooManyFrames`].
pub fn seek_table_len(footer: &[u8; SEEK_FOOTER_LEN], max_frames: usize) -> Result<u64, ZstError> {
    let (frames, entry) = read_footer(footer, max_frames)?;
    Ok((HEADER_LEN + frames * entry + SEEK_FOOTER_LEN) as u64)
}

/// Reads a seek table of which `table` holds all bytes and no more. The table must account for every byte of the file.
///
/// # Errors
/// [`ZstError::SeekTable`] and [`ZstError::TooManyFrames`].
pub fn parse_seek_table(table: &[u8], file_len: u64, max_frames: usize) -> Result<Vec<FrameInfo>, ZstError> {
    let (body, footer) = table.split_last_chunk().ok_or_else(|| invalid("the file is too short for one"))?;
    let (frames, entry) = read_footer(footer, max_frames)?;
    let (header, entries) = body.split_first_chunk::<HEADER_LEN>().ok_or_else(|| invalid("its header is cut off"))?;
    if entries.len() != frames * entry {
        return Err(invalid("its length does not fit the number of frames"));
    }
    let content = entries.len() + SEEK_FOOTER_LEN;
    if le32(header, 0) != SKIPPABLE_MAGIC || le32(header, 4) as usize != content {
        return Err(invalid("its skippable frame header is wrong"));
    }
    let infos: Vec<FrameInfo> = entries
        .chunks_exact(entry)
        .map(|entry| FrameInfo { compressed: le32(entry, 0), plain: le32(entry, 4) })
        .collect();
    let frames_len: u64 = infos.iter().map(|info| u64::from(info.compressed)).sum();
    if frames_len + table.len() as u64 != file_len {
        return Err(invalid("its frames do not add up to the file"));
    }
    Ok(infos)
}

/// Reads the seek table at the end of a file. No more memory is taken than the file is long, and never for more than
/// `max_frames` frames.
///
/// # Errors
/// [`ZstError::Read`], [`ZstError::SeekTable`] and [`ZstError::TooManyFrames`].
pub fn read_seek_table(file: &mut (impl Read + Seek), max_frames: usize) -> Result<Vec<FrameInfo>, ZstError> {
    let file_len = file.seek(SeekFrom::End(0)).map_err(ZstError::Read)?;
    let footer_at =
        file_len.checked_sub(SEEK_FOOTER_LEN as u64).ok_or_else(|| invalid("the file is too short for one"))?;
    let mut footer = [0; SEEK_FOOTER_LEN];
    file.seek(SeekFrom::Start(footer_at)).map_err(ZstError::Read)?;
    file.read_exact(&mut footer).map_err(ZstError::Read)?;
    let table_len = seek_table_len(&footer, max_frames)?;
    let table_at = file_len.checked_sub(table_len).ok_or_else(|| invalid("it is longer than the file"))?;
    file.seek(SeekFrom::Start(table_at)).map_err(ZstError::Read)?;
    let mut table = Vec::new();
    file.take(table_len).read_to_end(&mut table).map_err(ZstError::Read)?;
    parse_seek_table(&table, file_len, max_frames)
}

/// Number of frames and length of an entry.
fn read_footer(footer: &[u8; SEEK_FOOTER_LEN], max_frames: usize) -> Result<(usize, usize), ZstError> {
    let descriptor = footer[4];
    if le32(footer, 5) != SEEKABLE_MAGIC {
        return Err(invalid("the file does not end with one"));
    }
    if descriptor & RESERVED_BITS != 0 {
        return Err(invalid("reserved bits are set"));
    }
    let frames = le32(footer, 0) as usize;
    let limit = max_frames.min(MAX_FRAMES);
    if frames > limit {
        return Err(ZstError::TooManyFrames { frames: frames as u64, limit: limit as u64 });
    }
    Ok((frames, if descriptor & CHECKSUM_FLAG == 0 { 8 } else { 12 }))
}

fn invalid(problem: &'static str) -> ZstError {
    ZstError::SeekTable { problem }
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const FRAMES: [FrameInfo; 2] = [FrameInfo { compressed: 3, plain: 10 }, FrameInfo { compressed: 4, plain: 20 }];

    fn file(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut file = vec![0; 7];
        file.extend(seek_table(&FRAMES).unwrap());
        change(&mut file);
        file
    }

    #[test]
    fn table_has_the_bytes_of_the_format() {
        let expected: [&[u8]; 5] = [
            b"\x5e\x2a\x4d\x18\x19\0\0\0",
            b"\x03\0\0\0\x0a\0\0\0",
            b"\x04\0\0\0\x14\0\0\0",
            b"\x02\0\0\0\0",
            b"\xb1\xea\x92\x8f",
        ];
        assert_eq!(seek_table(&FRAMES).unwrap(), expected.concat());
    }

    #[test]
    fn table_with_checksums_is_read_too() {
        let entries = b"\x07\0\0\0\x0a\0\0\0CSUM\x01\0\0\0\x80\xb1\xea\x92\x8f";
        let table = [&b"\x5e\x2a\x4d\x18\x15\0\0\0"[..], entries].concat();
        assert_eq!(parse_seek_table(&table, 7 + 29, 1).unwrap(), [FrameInfo { compressed: 7, plain: 10 }]);
    }

    #[test]
    fn hostile_tables_are_refused_by_name() {
        let cases: [(&str, Vec<u8>); 8] = [
            ("the file is too short for one", vec![1, 2, 3]),
            ("the file does not end with one", file(|f| *f.last_mut().unwrap() ^= 1)),
            ("reserved bits are set", file(|f| f[7 + 8 + 16 + 4] = 4)),
            ("it is longer than the file", file(|f| f[7 + 8 + 16] = 200)),
            ("its skippable frame header is wrong", file(|f| f[7] ^= 1)),
            ("its skippable frame header is wrong", file(|f| f[7 + 4] ^= 1)),
            ("its frames do not add up to the file", file(|f| f[7 + 8] ^= 1)),
            ("its frames do not add up to the file", file(|f| f.insert(0, 0))),
        ];
        for (problem, bytes) in cases {
            let error = read_seek_table(&mut Cursor::new(bytes), 1000).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid seek table: {problem}"));
        }
    }

    #[test]
    fn too_many_frames_are_refused_before_memory_is_taken() {
        let huge = file(|f| f[7 + 8 + 16..][..4].copy_from_slice(&u32::MAX.to_le_bytes()));
        let error = read_seek_table(&mut Cursor::new(huge), usize::MAX).unwrap_err();
        assert!(matches!(error, ZstError::TooManyFrames { frames: 0xffff_ffff, limit: 0x0800_0000 }));
        assert!(matches!(
            read_seek_table(&mut Cursor::new(file(|_| ())), 1),
            Err(ZstError::TooManyFrames { frames: 2, limit: 1 })
        ));
    }

    proptest! {
        #[test]
        fn table_comes_back(sizes in prop::collection::vec((0_u32..2000, any::<u32>()), 0..50)) {
            let frames: Vec<FrameInfo> = sizes.into_iter().map(|(compressed, plain)| FrameInfo { compressed, plain }).collect();
            let mut file = vec![0; frames.iter().map(|frame| frame.compressed as usize).sum()];
            file.extend(seek_table(&frames).unwrap());
            prop_assert_eq!(read_seek_table(&mut Cursor::new(&file), 50).unwrap(), frames);
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100), len in any::<u64>()) {
            bytes.extend(SEEKABLE_MAGIC.to_le_bytes());
            prop_assert!(read_seek_table(&mut Cursor::new(&bytes), 1000).is_err() || bytes.starts_with(&SKIPPABLE_MAGIC.to_le_bytes()));
            let _ignored = parse_seek_table(&bytes, len, 1000).is_ok();
        }
    }
}
