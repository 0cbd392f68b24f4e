//! export-adapt
