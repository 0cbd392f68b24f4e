//! The port.

use std::fmt;

use async_trait::async_trait;
use export_contract::Timestamp;
use export_contract::message::Distribution;
use export_contract::profile::DistributionKind;
use export_contract::run::RunRef;

use crate::delivery::Delivery;
use crate::error::TargetError;

/// A way of handing a bundle over.
#[async_trait]
pub trait Target: Send + Sync + fmt::Debug {
    /// Which way.
    fn kind(&self) -> DistributionKind;

    /// Where the bundle is going to be, and what [`Self::distribute`] will say of it; sends nothing. `None` where nobody finds it before the
    /// run has succeeded. Whoever hands over writes this down first: it is what [`Self::remove`] needs, however far the hand-over came.
    ///
    /// # Errors
    /// See [`TargetError`].
    async fn place(&self, delivery: &Delivery<'_>) -> Result<Option<Distribution>, TargetError>;

    /// Hands the bundle over, looks whether what arrived is what was sent, and says where it is. Called again for the same run, after
    /// a crash at any point too, it sends only what is missing and gives the same answer.
    ///
    /// Nobody who looks at the target finds a bundle there that is not whole: what is seen last names what was sent first.
    ///
    /// # Errors
    /// See [`TargetError`].
    async fn distribute(&self, delivery: &Delivery<'_>) -> Result<Distribution, TargetError>;

    /// Takes back what `run` handed over to `distribution`, in this generation and those before: all of it, a part, or nothing at all. Bytes
    /// that another run of the same tenant handed over, too, stay, and so does what a later generation did.
    ///
    /// # Errors
    /// See [`TargetError`]; a lock is no error.
    async fn remove(&self, run: &RunRef, distribution: &Distribution) -> Result<Removal, TargetError>;
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is not there (any more).
    Removed,
    /// The target keeps it until then, or until an unknown time.
    Locked {
        /// Until when.
        until: Option<Timestamp>,
    },
}
