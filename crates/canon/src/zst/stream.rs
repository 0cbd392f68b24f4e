//! One frame of any length, piece by piece.

use std::fmt;
use std::io::Write as _;

use zstd::stream::write::Encoder;

use super::ZstError;

/// Compresses one frame whose plain bytes come in pieces. Its bytes depend on the level, the plain bytes and the bounds of the
/// pieces, so a caller that wants the same bytes twice cuts its pieces by data alone.
pub struct StreamEncoder {
    encoder: Encoder<'static, Vec<u8>>,
}

impl StreamEncoder {
    /// An encoder at a zstd level for exactly `plain_bytes` bytes, which the frame's header names.
    ///
    /// # Errors
    /// [`ZstError::SetUp`].
    pub fn new(level: i32, plain_bytes: u64) -> Result<Self, ZstError> {
        let mut encoder = Encoder::new(Vec::new(), level).map_err(ZstError::SetUp)?;
        encoder.include_checksum(true).map_err(ZstError::SetUp)?;
        encoder.include_contentsize(true).map_err(ZstError::SetUp)?;
        encoder.set_pledged_src_size(Some(plain_bytes)).map_err(ZstError::SetUp)?;
        Ok(Self { encoder })
    }

    /// Takes the next piece and gives what is compressed so far.
    ///
    /// # Errors
    /// [`ZstError::Compress`], also when more comes than was announced.
    pub fn write(&mut self, plain: &[u8]) -> Result<Vec<u8>, ZstError> {
        self.encoder.write_all(plain).map_err(|cause| ZstError::Compress { plain: plain.len(), cause })?;
        Ok(std::mem::take(self.encoder.get_mut()))
    }

    /// Ends the frame and gives the rest of it.
    ///
    /// # Errors
    /// [`ZstError::Compress`], also when less came than was announced.
    pub fn finish(self) -> Result<Vec<u8>, ZstError> {
        self.encoder.finish().map_err(|cause| ZstError::Compress { plain: 0, cause })
    }
}

impl fmt::Debug for StreamEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEncoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zst::decompress_frame;

    #[test]
    fn pieces_make_one_frame_with_its_size_in_the_header() {
        let mut encoder = StreamEncoder::new(3, 30).unwrap();
        let mut frame = encoder.write(&[b'a'; 10]).unwrap();
        frame.extend(encoder.write(&[b'b'; 20]).unwrap());
        frame.extend(encoder.finish().unwrap());
        assert_eq!(decompress_frame(&frame, 30).unwrap(), [&[b'a'; 10][..], &[b'b'; 20][..]].concat());
    }

    #[test]
    fn less_than_was_announced_is_an_error() {
        let mut encoder = StreamEncoder::new(3, 30).unwrap();
        encoder.write(b"short").unwrap();
        assert!(encoder.finish().is_err());
    }
}
