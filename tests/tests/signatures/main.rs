//! What the real cosign says of what we sign, and we of what cosign signs. Everything runs offline: cosign sits in an empty
//! network namespace where the machine lets us make one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod keys;
mod libraries;
mod verdicts;
