//! The gateway as a registry: real clients of registries pull from it, and nobody sees what is another's.
//!
//! Every test starts a deployment of its own. Start reading at [`tools`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod access;
mod caller;
mod conformance;
mod protocol;
mod tools;
mod trivys;
