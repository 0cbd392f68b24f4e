//! Import from end to end: files in, records, summary and reject file out.

mod memory;
mod real_evidence;
