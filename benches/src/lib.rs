//! export-benches
