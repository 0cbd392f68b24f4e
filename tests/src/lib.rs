//! Starts whole deployments for the end-to-end tests: the programs as they ship, each in a process of its own.
//!
//! A test makes a [`Deployment`], puts evidence into it, asks for runs as any client would, and may kill and restart
//! what it likes. Everything lives in a temporary folder and ends with the value; after a failure the ends of all logs
//! are printed first.

mod api;
mod broker;
mod bundle;
mod certificates;
mod cluster;
mod collector;
mod cosign;
mod curtain;
mod deployment;
mod machine;
mod passage;
mod process;
mod programs;
mod prometheus;
mod puller;
mod runs;
mod trivy;
mod turn;

pub use api::Api;
pub use bundle::Bundle;
pub use certificates::Certificates;
pub use cluster::{Cluster, free_port};
pub use collector::{Collector, Span};
pub use cosign::Cosign;
pub use curtain::Curtain;
pub use deployment::{Deployment, LOCAL_TENANT, OBSERVED_AT, Roles, Setup, Staging, Store, Surroundings};
pub use machine::machine;
pub use passage::{Passage, Weather};
pub use process::{Process, peak_kib, resume, suspend};
pub use programs::{Programs, evidence_folder, is_left_out, output, programs, python, soak, tool, workspace};
pub use prometheus::{Prometheus, hurried};
pub use puller::Puller;
pub use runs::{Finished, finish, start};
pub use trivy::{Detected, Finding, Scanner, Trivy};
pub use turn::{Turn, heavy, light};
