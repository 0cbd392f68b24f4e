//! export-distribute
