//! Versions and version ranges as the scanners of each ecosystem compare them.

mod scheme;

pub use scheme::{ParseError, Range, Scheme, Version};
