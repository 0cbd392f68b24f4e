//! What the caller asks of a bundle.

use std::fmt;
use std::sync::Arc;

use export_contract::Timestamp;
use export_contract::encryption::Encrypted;
use export_sealing::{Context, Identities, Opener, WrapError};
use export_signing::PublicKey;

/// Has the keys of runs unwrapped where they are kept, such as at a KMS. This crate reaches no network; whoever does brings one.
pub trait Keeper: Send + Sync + fmt::Debug {
    /// What opens the files of a run. `encrypted` stands in provenance that a trusted key signed.
    ///
    /// # Errors
    /// When no keeper of it unwraps the key.
    fn opener(&self, encrypted: &Encrypted, context: &Context) -> Result<Opener, WrapError>;
}

/// What must hold for a bundle to pass. The default passes nothing, because it has no key.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Keys of which any may have signed. They must come from elsewhere than the bundle.
    pub keys: Vec<PublicKey>,
    /// Whether signed provenance must be there. Profiles may go without, so its absence is otherwise only told.
    pub require_provenance: bool,
    /// Lets a bundle pass of which its own maker says that a source could not be read to its end; the report names the source.
    pub allow_failed_sources: bool,
    /// The most bytes that one file may decompress to. `export.json` states the number of each file, and that is never exceeded;
    /// this bound holds against a signer, too.
    pub max_plain_bytes: Option<u64>,
    /// The time to judge age by.
    pub now: Option<Timestamp>,
    /// The most seconds that may lie between `now` and the time of which the evidence is known to have been the newest: `asOf`, or
    /// when a refresh found nothing newer.
    pub max_age_seconds: Option<i64>,
    /// Private keys for encrypted files; without, only their encrypted bytes are proven.
    pub identities: Option<Identities>,
    /// Asked for the key where there are no identities.
    pub keeper: Option<Arc<dyn Keeper>>,
}
