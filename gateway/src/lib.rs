//! export-gateway
