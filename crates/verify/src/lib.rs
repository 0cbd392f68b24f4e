//! export-verify
