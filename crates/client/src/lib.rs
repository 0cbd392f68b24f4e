//! export-client
