//! The databases for Trivy, as real Trivys read them: `trivy` is the current one, `trivy-0.59` an older one that opens its database in another
//! way (`tools/install.sh test`).
//!
//! Every test starts a deployment of its own. Start reading at [`scans`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod determinism;
mod differential;
mod expected;
mod exported;
mod gate;
mod jars;
mod scans;
mod size;
