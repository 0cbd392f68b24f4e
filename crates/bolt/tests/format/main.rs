//! Databases of the writer, read by an independent reader and by bbolt itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod acts;
mod checker;
mod go;
mod shapes;
mod tree;
