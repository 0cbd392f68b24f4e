//! Decoding a stream of frames without trust.

use std::fmt;
use std::io::{self, BufReader, Read};

use zstd::stream::read::Decoder;

use super::ZstError;

/// Largest window accepted, as a power of two: 128 MiB, the reach of `zstd` itself without `--long=28` or more.
const WINDOW_LOG_MAX: u32 = 27;

/// Reads all frames of a stream as one text and stops with an error once more than the cap came out.
///
/// Skippable frames (a seek table) are passed over. An empty stream, a cut frame, a wrong checksum and bytes that are no frame are errors,
/// so reading to the end proves that the stream was whole. Errors of ours are [`ZstError`] inside the [`io::Error`].
pub struct BoundedDecoder<R: Read> {
    inner: Decoder<'static, BufReader<R>>,
    limit: u64,
    left: u64,
}

impl<R: Read> BoundedDecoder<R> {
    /// Allows at most `limit` plain bytes in total.
    ///
    /// # Errors
    /// [`ZstError::SetUp`].
    pub fn new(reader: R, limit: u64) -> Result<Self, ZstError> {
        let mut inner = Decoder::new(reader).map_err(ZstError::SetUp)?;
        inner.window_log_max(WINDOW_LOG_MAX).map_err(ZstError::SetUp)?;
        Ok(Self { inner, limit, left: limit })
    }

    /// Plain bytes read so far.
    pub const fn bytes(&self) -> u64 {
        self.limit - self.left
    }
}

impl<R: Read> Read for BoundedDecoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            // Exactly the cap is allowed; one byte more is not.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::other(ZstError::OutputTooLarge { limit: self.limit })),
            };
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let got = self.inner.read(&mut buf[..most])?;
        self.left -= got as u64;
        Ok(got)
    }
}

impl<R: Read> fmt::Debug for BoundedDecoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedDecoder").field("limit", &self.limit).field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FrameEncoder, seek_table};
    use super::*;

    fn read(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        BoundedDecoder::new(bytes, limit).unwrap().read_to_end(&mut all)?;
        Ok(all)
    }

    fn file() -> Vec<u8> {
        let mut encoder = FrameEncoder::new(3).unwrap();
        let mut out = Vec::new();
        let frames: Vec<_> =
            [&b"first "[..], b"second"].iter().map(|plain| encoder.encode(plain, &mut out).unwrap()).collect();
        out.extend(seek_table(&frames).unwrap());
        out
    }

    #[test]
    fn all_frames_are_read_and_the_seek_table_passed_over() {
        assert_eq!(read(&file(), 12).unwrap(), b"first second");
        assert!(read(b"", 0).is_err(), "no bytes are no frame");
    }

    #[test]
    fn one_byte_past_the_cap_is_an_error() {
        let error = read(&file(), 11).unwrap_err().downcast::<ZstError>().unwrap();
        assert!(matches!(error, ZstError::OutputTooLarge { limit: 11 }));
    }

    #[test]
    fn cut_or_foreign_bytes_are_errors() {
        let file = file();
        let first = zstd::zstd_safe::find_frame_compressed_size(&file).unwrap();
        for cut in (1..file.len()).filter(|cut| *cut != first) {
            let whole_frames = read(&file[..cut], 100).is_ok_and(|plain| plain == b"first second");
            assert!(read(&file[..cut], 100).is_err() || whole_frames, "cut at {cut}");
        }
        assert!(read(&[&file[..], b"trailing"].concat(), 100).is_err());
        assert!(read(b"{\"no\":\"zstd\"}", 100).is_err());
    }
}
