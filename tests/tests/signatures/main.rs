//! What the real cosign says of what we sign, and we of what cosign signs. Everything runs offline: cosign sits in an empty
//! network namespace where the machine lets us make one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod custody;
mod hints;
mod kept;
mod keys;
mod kms;
mod libraries;
#[path = "../../../crates/signing/tests/awskms/moto.rs"]
mod moto;
mod prove;
mod provenance;
mod refresh;
mod sealed;
#[path = "../../../crates/signing/tests/vault/server.rs"]
#[allow(dead_code, reason = "the driver's own tests use all of it")]
mod vault_server;
mod verdicts;
