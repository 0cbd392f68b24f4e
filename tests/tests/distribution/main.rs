//! Where bundles go: folders and buckets, links for whoever has no token, VEX for scanners, and nowhere at all from a site that is offline.
//!
//! Every test starts a deployment of its own. Start reading at [`ways`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod links;
mod vex;
mod ways;
