//! export-jetstream
