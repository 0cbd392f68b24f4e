//! export-sqlite
