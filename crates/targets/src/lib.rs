//! Where finished bundles are handed over to.
//!
//! [`Target`] is the port: the distribute stage hands over by it, retention takes back by it. What each driver promises is in
//! the `suite` module, which every driver's tests run.

mod delivery;
mod directory;
mod download;
mod error;
mod generations;
#[cfg(feature = "testing")]
pub mod liar;
mod object;
pub mod oci;
mod port;
#[cfg(feature = "testing")]
pub mod registries;
#[cfg(feature = "testing")]
pub mod suite;

pub use delivery::{BUNDLE, Delivery};
pub use directory::DirectoryTarget;
pub use download::Download;
pub use error::TargetError;
pub use object::{ObjectCredentials, ObjectSettings, ObjectTarget, ServerSideEncryption};
pub use port::{Removal, Target};
