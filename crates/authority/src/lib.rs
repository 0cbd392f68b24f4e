//! export-authority
