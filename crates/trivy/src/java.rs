//! The index of Java archives: which SHA-1 is which artefact.
//!
//! Components of SBOMs say so. Of an archive that several components claim, the claim without a classifier wins, then the most
//! frequent one, then the first by its name; the report counts such archives.

mod builder;
mod mapper;

use serde::{Deserialize, Serialize};

pub use builder::{BuildError, Builder};
pub use mapper::Mapper;

/// The bucket of all rows.
const BUCKET: &str = "java";

/// Group, artefact and version, as a component claims them of an archive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Claim {
    /// Whether a classifier makes it a secondary archive of the artefact, such as its sources. Sorts after those without.
    classified: bool,
    group: String,
    artifact: String,
    version: String,
}
