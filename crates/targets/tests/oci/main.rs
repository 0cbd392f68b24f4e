//! The driver of OCI registries against two real ones, and against what registries do that are broken, tired or hostile.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod conformance;
mod hostile;
mod interrupted;
mod layout;
mod peer;
mod removal;
