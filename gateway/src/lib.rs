//! HTTP: a function from request to ports.
//!
//! [`routes`] is a warp filter over [`Gateway`]; [`server::serve`] runs it. Every answer that is not a success is a
//! problem document (RFC 9457) from [`problem`], the only place that knows status codes.

pub mod admin;
mod audit;
mod authenticate;
mod brake;
mod console;
mod dead_letters;
mod downloads;
mod events;
mod front;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod idempotency;
mod links;
mod metrics;
pub mod openapi;
pub mod problem;
mod profiles;
mod quota;
mod range;
mod rates;
mod registry;
mod replay;
mod request;
mod routes;
mod runs;
mod schedules;
pub mod server;
mod state;
mod token;
mod vex;
mod visit;
mod webhooks;

pub use audit::Audit;
pub use brake::Brake;
pub use console::Console;
pub use metrics::HttpMetrics;
pub use rates::{Rate, Rates};
pub use registry::Registry;
pub use routes::routes;
pub use state::{Gateway, Limits, PublicKey};
pub use vex::VexRepositories;
pub use webhooks::Webhooks;
