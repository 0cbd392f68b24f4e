//! The verifier on bundles that are good, damaged and hostile.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod accepts;
mod archives;
mod containers;
mod delta;
mod kept;
mod made;
mod mutations;
mod packed;
mod refreshed;
mod refuses;
mod sealed;
mod subjects;
