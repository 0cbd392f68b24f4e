//! What the caller asks of a bundle.

use export_contract::Timestamp;
use export_signing::PublicKey;

/// What must hold for a bundle to pass. The default passes nothing: it has no key and does not allow to go without.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Keys of which any may have signed. They must come from elsewhere than the bundle.
    pub keys: Vec<PublicKey>,
    /// With no keys given, checks everything but signatures instead of failing.
    pub allow_unsigned: bool,
    /// Whether signed provenance must be there.
    pub require_provenance: bool,
    /// The time to judge age by.
    pub now: Option<Timestamp>,
    /// The most seconds that may lie between `asOf` and `now`.
    pub max_age_seconds: Option<i64>,
}
