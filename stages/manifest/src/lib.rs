//! Manifest: writes `export.json` and the bundle tar.
//!
//! Takes [`RunAdapted`](export_contract::message::RunAdapted) and gives
//! [`ManifestWritten`](export_contract::message::ManifestWritten). Both outputs are pure functions of the run's inputs: no run id
//! and no clock reaches them (design D2), so the same inputs give the same bundle on any day.

mod archive;
mod error;
mod export_json;
mod stage;

pub use error::ManifestError;
pub use export_json::{delta_json, export_json, target_json};
pub use stage::Manifest;
