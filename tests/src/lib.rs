//! export-tests
