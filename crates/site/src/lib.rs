//! A site: the folder on the closed side in which a mirror lives, and the one way of changing it.
//!
//! ```text
//! SITE/current -> states/<hex>          switched by one rename, so there is the old mirror or the new one and nothing between
//! SITE/states/<hex>/tree/…              the mirror; <hex> is the digest of its export.json
//! SITE/states/<hex>/export.json.sig …   what vouches for it: `exportctl bundle verify SITE/current` works
//! SITE/states/<hex>/came-from           the state before, to which one step leads back
//! SITE/receipts/<number>-<hex>.…        what was applied, signed by the site
//! SITE/quarantine/<number>/             what was refused, and why
//! SITE/.incoming/                       what is being taken in; swept at the next call
//! ```
//!
//! Whatever comes in is verified while it is copied, then put together, then verified as a whole, and only then switched to. The source
//! is never written to. Two calls at once wait for each other.

mod apply;
mod disk;
mod error;
mod incoming;
mod materialise;
mod quarantine;
mod receipt;
mod site;

pub use apply::{Applied, Change, Terms};
pub use disk::Disk;
pub use error::SiteError;
pub use receipt::{PREDICATE, statement};
pub use site::{Site, State};
