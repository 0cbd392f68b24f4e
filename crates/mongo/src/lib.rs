//! export-mongo
