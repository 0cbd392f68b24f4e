//! Sign: signs `export.json`, writes and signs the provenance.
//!
//! Takes [`ManifestWritten`](export_contract::message::ManifestWritten) and gives
//! [`RunSigned`](export_contract::message::RunSigned): the files that lie *beside* the bundle. They hold what may differ between two
//! runs over the same inputs (random signatures, who asked and when), which is why they are not inside it (design D2, D8).

mod error;
mod provenance;
mod refresh;
mod stage;

pub use error::SignStageError;
pub use provenance::BuilderIdentity;
pub use stage::{Clock, OnFailure, Sign};
