//! What can go wrong with zstd frames.

use std::io;

/// Frames or a seek table could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZstError {
    /// zstd gave no context (out of memory, or the level is not known to it).
    #[error("cannot set up zstd")]
    SetUp(#[source] io::Error),
    /// zstd refused to compress.
    #[error("cannot compress a frame of {plain} bytes")]
    Compress {
        /// Plain bytes of the frame.
        plain: usize,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The seekable format allows 1 GiB of plain bytes a frame.
    #[error("a frame of {plain} bytes exceeds the {limit} bytes that the seekable format allows")]
    FrameTooLarge {
        /// Plain bytes of the frame.
        plain: u64,
        /// The limit.
        limit: u64,
    },
    /// The bytes are not exactly one whole zstd frame.
    #[error("the {bytes} bytes given are not exactly one zstd frame")]
    NotOneFrame {
        /// Length of the input.
        bytes: usize,
    },
    /// The plain bytes would exceed the caller's cap.
    #[error("decompressed data exceeds the limit of {limit} bytes")]
    OutputTooLarge {
        /// The cap.
        limit: u64,
    },
    /// The frame is damaged.
    #[error("cannot decompress a zstd frame")]
    Decompress(#[source] io::Error),
    /// The file has no seek table, or one that contradicts the file.
    #[error("invalid seek table: {problem}")]
    SeekTable {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// More frames than the format or the caller's cap allows.
    #[error("{frames} frames are more than the limit of {limit}")]
    TooManyFrames {
        /// How many there are.
        frames: u64,
        /// The limit.
        limit: u64,
    },
    /// The file with the seek table could not be read.
    #[error("cannot read the seek table")]
    Read(#[source] io::Error),
}

/// A row of frames could not be finished. Frames count from 0; those before the one named have been delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FramesError<E> {
    /// The job could not make the plain bytes.
    #[error("cannot make frame {frame}")]
    Job {
        /// Which frame.
        frame: u64,
        /// The job's error.
        #[source]
        cause: E,
    },
    /// The job panicked.
    #[error("the job of frame {frame} panicked: {message}")]
    Panicked {
        /// Which frame.
        frame: u64,
        /// The panic's message.
        message: String,
    },
    /// The plain bytes could not be compressed.
    #[error("cannot encode frame {frame}")]
    Encode {
        /// Which frame.
        frame: u64,
        /// Why.
        #[source]
        cause: ZstError,
    },
    /// The sink did not take the frame.
    #[error("cannot deliver frame {frame}")]
    Sink {
        /// Which frame.
        frame: u64,
        /// The sink's error.
        #[source]
        cause: E,
    },
    /// A worker could not be started.
    #[error("cannot start a worker")]
    Start(#[source] io::Error),
    /// zstd could not be set up for a worker.
    #[error("cannot start a worker's encoder")]
    StartEncoder(#[source] ZstError),
    /// The workers are gone; after an error nothing more is taken.
    #[error("the row of frames has stopped after an earlier error")]
    Stopped,
}
