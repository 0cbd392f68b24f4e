//! A bundle as OCI manifests (OCI image specification 1.1), the same bytes wherever they are made.
//!
//! One manifest is what is shipped: a bundle's tar, or the database that Trivy loads, as its one layer (design D4). A second one holds what
//! vouches for it, and names the first as its subject (design D21); a run that only confirms an earlier bundle adds its statement in a third. Nothing but what is exported reaches them: no clock, no run id.

mod image;
mod manifest;
mod media;

pub use image::{Image, ImageError};
pub use manifest::{Descriptor, Manifest, Origin, bundle, confirmation, database, empty_config, signatures};
pub use media::{
    BESIDE, BUNDLE, EMPTY, INDEX, MANIFEST, REFRESH, SIGNATURES, TAR, TITLE, TRIVY_DB, TRIVY_JAVA_DB, TrivyLayer,
    trivy_layer,
};
