//! The importing side, held to what it promises without a server: small mirrors are made here, and taken in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, reason = "tests")]

mod crashes;
mod made;
mod refusals;
