//! What is sent to webhooks, and how: signed as Standard Webhooks 1.0 says, with secrets that lie encrypted, and to no
//! address that the operator would not want to be reached from here.
//!
//! [`Courier`] is the port; [`HttpCourier`] is the one that sends. What is sent when, and again when, is the orchestrator's
//! business.

mod address;
mod courier;
mod http;
#[cfg(feature = "testing")]
pub mod receiver;
mod secret;
mod signature;

pub use address::{AddressRefused, AddressRules};
pub use courier::{Courier, Parcel, Sent};
pub use http::{HttpCourier, Lookup, SystemLookup};
pub use secret::{SealedSecretError, SecretKeeper, WebhookSecret};
pub use signature::{signature, verify};
