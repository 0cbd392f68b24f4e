//! Adapt: writes a bundle's files in the format that the profile asks for.
//!
//! Two stages share the phase. [`AdaptPart`] writes one part of a run, on any process, in any order; [`Assemble`] joins the
//! parts of a run once all are there. What they do is an [`Adapter`]'s business; all adapters stand in one list in
//! [`adapter`], from which the registry is made at start. Nothing loads later.

pub mod adapter;
mod checkpoint;
mod encrypted;
mod error;
mod guard;
mod json;
mod mirror;
mod parts;
mod stage;
mod trivy;

pub use adapter::{Adapter, Registry};
pub use error::AdaptError;
pub use json::policy::PolicyExportError;
pub use stage::{AdaptPart, Assemble};
pub use trivy::TrivyError;
