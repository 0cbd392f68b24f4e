//! export-manifest
