//! Our bytes judged by implementations that share no code with ours: Python's `json`, `tarfile`, `zstandard` and `rfc8785`,
//! and the `zstd` and `tar` commands.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod evidence;
mod files;
mod numbers;
mod python;
