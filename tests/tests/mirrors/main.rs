//! Mirrors, what changes them, and the side that takes them in.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod bases;
mod chain;
mod elsewhere;
mod encrypted;
mod histories;
mod kills;
mod kit;
mod retention;
mod world;
