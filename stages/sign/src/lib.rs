//! export-sign
