//! HTTP: a function from request to ports.
//!
//! [`routes`] is a warp filter over [`Gateway`]; [`server::serve`] runs it. Every answer that is not a success is a
//! problem document (RFC 9457) from [`problem`], the only place that knows status codes.

pub mod admin;
mod authenticate;
mod downloads;
mod events;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod idempotency;
mod links;
pub mod openapi;
pub mod problem;
mod profiles;
mod range;
mod registry;
mod request;
mod routes;
mod runs;
mod schedules;
pub mod server;
mod state;
mod token;
mod vex;
mod webhooks;

pub use registry::Registry;
pub use routes::routes;
pub use state::{Gateway, Limits, PublicKey};
pub use vex::VexRepositories;
pub use webhooks::Webhooks;
