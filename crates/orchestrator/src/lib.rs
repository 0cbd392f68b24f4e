//! export-orchestrator
