//! export-signing
