//! export-resolve
