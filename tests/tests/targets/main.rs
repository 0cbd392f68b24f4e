//! Bundles are handed over to where others take them from: what arrives is whole, whatever happens on the way.
//!
//! Every test starts a deployment of its own. Start reading at [`oci`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod oci;
