//! OpenVEX statements by package, as a VEX repository: the form in which scanners look them up.
//!
//! Documents are about what their author had at hand, and one package is spoken of in many. A scanner opens one document per package
//! (VEX Repository Specification 0.1, section 3.2), so the statements are regrouped: each package gets one document with all that is said
//! of it. What a statement says is left as it is.

mod error;
mod package;
mod repository;
mod statement;

pub use error::OpenVexError;
pub use package::package_of;
pub use repository::{Archive, Repository, manifest};
