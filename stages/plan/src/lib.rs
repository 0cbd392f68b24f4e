//! export-plan
