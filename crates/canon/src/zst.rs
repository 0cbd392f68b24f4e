//! Independent zstd frames with a seek table.
//!
//! A file is a row of frames (RFC 8878), each with content size and checksum, then one skippable frame that holds the seek
//! table of the zstd seekable format (facebook/zstd, `contrib/seekable_format`). Any zstd reads the file whole; with the table
//! one frame can be read alone. Frames depend on their plain bytes, the level and the pinned zstd alone, so they can be
//! compressed on any number of threads.

mod bounded;
mod error;
mod frame;
mod parallel;
mod seek;
mod stream;

pub use bounded::BoundedDecoder;
pub use error::{FramesError, ZstError};
pub use frame::{FrameDecoder, FrameEncoder, FrameInfo, MAX_FRAME_PLAIN, decompress_frame};
pub use parallel::{Frame, FrameJob, ParallelFrames, Workbenches};
pub use seek::{MAX_FRAMES, SEEK_FOOTER_LEN, parse_seek_table, read_seek_table, seek_table, seek_table_len};
pub use stream::StreamEncoder;
