//! The words of Export Center: what crosses a process boundary or stands in a file.
//!
//! Only serde types live here; no I/O, no async, no clock. Read [`message`] first: it is the
//! whole pipeline on one page. Every wire type carries a version, and a frozen sample of each
//! version ever written stands in `tests/wire/`.

pub mod approval;
pub mod audit;
pub mod code;
pub mod dead_letter;
pub mod digest;
pub mod encryption;
pub mod event;
pub mod evidence;
pub mod ids;
pub mod manifest;
pub mod message;
pub mod profile;
pub mod refresh;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod selectors;
pub mod timestamp;
pub mod verification;
pub mod version;
pub mod webhook;

pub use code::ErrorCode;
pub use digest::Digest;
pub use evidence::{RecordKey, RecordKind, Sequence};
pub use ids::{Generation, PartIndex, ProfileId, RunId, ScheduleId, TenantId, WebhookId};
pub use timestamp::{ParseTimestampError, Timestamp};
pub use version::Version;
