//! A tar archive whose bytes depend on its contents alone, and a reader that trusts nothing.
//!
//! The format is POSIX.1-2017 `pax`/`ustar`. The writer sets time, ids and names of owners to zero and writes extended headers
//! only where a path or size does not fit into `ustar`. Entries come in ascending byte order of their paths. The archive ends
//! with two zero blocks and is not padded further.

mod error;
mod header;
mod path;
mod pax;
mod reader;
mod writer;

pub use error::{Refusal, TarError};
pub use header::{END_OF_ARCHIVE, header_bytes, padding};
pub use reader::{TarEntry, TarLimits, TarReader};
pub use writer::{Headers, TarWriter};
