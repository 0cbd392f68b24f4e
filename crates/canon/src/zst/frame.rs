//! One frame: from plain bytes and back.

use std::fmt;
use std::io::{self, Read as _};

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use super::{BoundedDecoder, ZstError};

/// Most plain bytes in one frame (`ZSTD_SEEKABLE_MAX_FRAME_DECOMPRESSED_SIZE`).
pub const MAX_FRAME_PLAIN: usize = 0x4000_0000;

/// First bytes of a frame (RFC 8878 section 3.1.1). Formats from before zstd 0.8 have other ones and are refused.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// The sizes of one frame, as the seek table holds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameInfo {
    /// Bytes of the frame itself.
    pub compressed: u32,
    /// Bytes that it decompresses to.
    pub plain: u32,
}

/// Compresses frames, each independent of the ones before, with one context.
pub struct FrameEncoder {
    compressor: Compressor<'static>,
}

impl FrameEncoder {
    /// An encoder at a zstd level (1 to 22; 0 is zstd's default, 3).
    ///
    /// # Errors
    /// [`ZstError::SetUp`].
    pub fn new(level: i32) -> Result<Self, ZstError> {
        let mut compressor = Compressor::new(level).map_err(ZstError::SetUp)?;
        compressor.include_checksum(true).map_err(ZstError::SetUp)?;
        compressor.include_contentsize(true).map_err(ZstError::SetUp)?;
        Ok(Self { compressor })
    }

    /// Appends one frame to `out`.
    ///
    /// # Errors
    /// [`ZstError::FrameTooLarge`] and [`ZstError::Compress`]; `out` is then as it was.
    pub fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<FrameInfo, ZstError> {
        let too_large = || ZstError::FrameTooLarge { plain: plain.len() as u64, limit: MAX_FRAME_PLAIN as u64 };
        if plain.len() > MAX_FRAME_PLAIN {
            return Err(too_large());
        }
        let before = out.len();
        out.reserve(zstd_safe::compress_bound(plain.len()));
        let mut cursor = io::Cursor::new(&mut *out);
        cursor.set_position(before as u64);
        let written = match self.compressor.compress_to_buffer(plain, &mut cursor) {
            Ok(written) => written,
            Err(cause) => {
                out.truncate(before);
                return Err(ZstError::Compress { plain: plain.len(), cause });
            }
        };
        out.truncate(before + written);
        Ok(FrameInfo {
            compressed: u32::try_from(written).map_err(|_| too_large())?,
            plain: u32::try_from(plain.len()).map_err(|_| too_large())?,
        })
    }
}

impl fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameEncoder").finish_non_exhaustive()
    }
}

/// Decompresses single frames with one context.
pub struct FrameDecoder {
    decompressor: Decompressor<'static>,
}

impl FrameDecoder {
    /// # Errors
    /// [`ZstError::SetUp`].
    pub fn new() -> Result<Self, ZstError> {
        Ok(Self { decompressor: Decompressor::new().map_err(ZstError::SetUp)? })
    }

    /// The plain bytes of exactly one frame, at most `cap` of them; memory is not taken before the cap was compared with the
    /// size that the frame names, and a frame that names none is decoded in steps.
    ///
    /// # Errors
    /// [`ZstError::NotOneFrame`], [`ZstError::OutputTooLarge`], [`ZstError::Decompress`] (checksum included).
    pub fn decode(&mut self, frame: &[u8], cap: usize) -> Result<Vec<u8>, ZstError> {
        let mut plain = Vec::new();
        self.decode_into(frame, cap, &mut plain)?;
        Ok(plain)
    }

    /// As [`decode`](Self::decode), appending to `out`; gives how many bytes came. After an error `out` is as it was.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_into(&mut self, frame: &[u8], cap: usize, out: &mut Vec<u8>) -> Result<usize, ZstError> {
        let length = zstd_safe::find_frame_compressed_size(frame).ok();
        if !frame.starts_with(&MAGIC) || length != Some(frame.len()) {
            return Err(ZstError::NotOneFrame { bytes: frame.len() });
        }
        let named =
            zstd_safe::get_frame_content_size(frame).map_err(|_| ZstError::NotOneFrame { bytes: frame.len() })?;
        let Some(named) = named else {
            let plain = decode_unsized(frame, cap)?;
            out.extend_from_slice(&plain);
            return Ok(plain.len());
        };
        let Some(size) = usize::try_from(named).ok().filter(|size| *size <= cap) else {
            return Err(ZstError::OutputTooLarge { limit: cap as u64 });
        };
        out.try_reserve(size).map_err(|_| ZstError::Decompress(io::ErrorKind::OutOfMemory.into()))?;
        let before = out.len();
        let mut cursor = io::Cursor::new(&mut *out);
        cursor.set_position(before as u64);
        match self.decompressor.decompress_to_buffer(frame, &mut cursor) {
            Ok(written) => {
                out.truncate(before + written);
                Ok(written)
            }
            Err(cause) => {
                out.truncate(before);
                Err(ZstError::Decompress(cause))
            }
        }
    }
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder").finish_non_exhaustive()
    }
}

fn decode_unsized(frame: &[u8], cap: usize) -> Result<Vec<u8>, ZstError> {
    let mut plain = Vec::new();
    let mut decoder = BoundedDecoder::new(frame, cap as u64)?;
    match decoder.read_to_end(&mut plain) {
        Ok(_) => Ok(plain),
        Err(cause) => Err(match cause.downcast::<ZstError>() {
            Ok(error) => error,
            Err(cause) => ZstError::Decompress(cause),
        }),
    }
}

/// As [`FrameDecoder::decode`], for a single use.
///
/// # Errors
/// As [`FrameDecoder::decode`].
pub fn decompress_frame(frame: &[u8], cap: usize) -> Result<Vec<u8>, ZstError> {
    FrameDecoder::new()?.decode(frame, cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        FrameEncoder::new(3).unwrap().encode(plain, &mut out).unwrap();
        out
    }

    #[test]
    fn frames_are_appended_and_do_not_depend_on_the_ones_before() {
        let mut encoder = FrameEncoder::new(3).unwrap();
        let mut out = b"before".to_vec();
        let long = vec![7; 100_000];
        let first = encoder.encode(&long, &mut out).unwrap();
        let second = encoder.encode(b"abc", &mut out).unwrap();
        let empty = encoder.encode(b"", &mut out).unwrap();
        assert_eq!((first.plain, second.plain, empty.plain), (100_000, 3, 0));
        let mut expected = b"before".to_vec();
        for plain in [&long[..], b"abc", b""] {
            expected.extend(frame(plain));
        }
        assert_eq!(out, expected);
        let frames = first.compressed + second.compressed + empty.compressed;
        assert_eq!(out.len(), 6 + frames as usize);
    }

    #[test]
    fn frame_comes_back_up_to_the_cap() {
        let whole = frame(&[1; 5000]);
        assert_eq!(decompress_frame(&whole, 5000).unwrap(), [1; 5000]);
        assert!(matches!(decompress_frame(&whole, 4999), Err(ZstError::OutputTooLarge { limit: 4999 })));
        assert_eq!(decompress_frame(&frame(b""), 0).unwrap(), b"");
    }

    #[test]
    fn frame_that_names_no_size_is_capped_too() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        io::Write::write_all(&mut encoder, &[1; 5000]).unwrap();
        let whole = encoder.finish().unwrap();
        assert_eq!(zstd_safe::get_frame_content_size(&whole).unwrap(), None);
        assert_eq!(decompress_frame(&whole, 5000).unwrap(), [1; 5000]);
        assert!(matches!(decompress_frame(&whole, 4999), Err(ZstError::OutputTooLarge { limit: 4999 })));
    }

    #[test]
    fn anything_but_one_whole_frame_is_refused() {
        let whole = frame(b"some plain bytes, some plain bytes");
        let two = [whole.clone(), whole.clone()].concat();
        let skippable = [&0x184d_2a50_u32.to_le_bytes()[..], &[1, 0, 0, 0, 9]].concat();
        for bad in [&whole[..whole.len() - 1], &two, &skippable, b"", b"plain"] {
            assert!(matches!(decompress_frame(bad, 1000), Err(ZstError::NotOneFrame { .. })));
        }
        // Frame header descriptor (RFC 8878 section 3.1.1.1.1): bit 2 is the checksum flag, bit 5 a single segment.
        assert_eq!(whole[4] & 0b0010_0100, 0b0010_0100);
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(matches!(decompress_frame(&flipped, 1000), Err(ZstError::Decompress(_))), "the checksum is checked");
    }
}
