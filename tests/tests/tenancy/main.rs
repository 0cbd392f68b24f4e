//! What tenants may ask for, how often, and what is written down of it: on whole deployments, by the API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod audit;
mod fairness;
mod killed;
mod quota;
mod rates;
