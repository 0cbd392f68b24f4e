//! The broker: NATS `JetStream` as the courier between the stages of a run (design section 4).
//!
//! One stream, `EXPORT`, is the log: it holds every step of every run in one order. A stage's `done` event is the next
//! stage's command, published with *compare and set* on its subject, so that each step commits once, however often
//! its handler ran. What each part does:
//!
//! | module | part |
//! |---|---|
//! | [`mod@connect`] | the connection |
//! | [`subjects`] | every subject, built and parsed |
//! | [`topology`] | streams and consumers as data, and how they come to be |
//! | [`worker`] | hosts a stage: delivery, heartbeats, order of effects, verdicts |
//! | [`join`] | finds that every part of a run is written |
//! | [`tail`] | reads the log in order for the recorder |
//! | [`queue`], [`feed`] | the ports of the gateway and the orchestrator |
//! | [`cancellation`] | how a cancelled run reaches the workers |
//! | [`proofs`] | the proofs of possession that gateways have seen |
//! | [`dead_letter`] | the commands that nobody could do, as their tenants see them |
//! | [`exhaustion`] | commands whose workers died each time |
//! | [`metrics`] | what is counted, the same for every stage |
//! | [`server`] | a `nats-server` as a child, for one machine and no set-up |
//!
//! NATS is never the truth (design D1): the run ledger and staging are. An empty broker loses nothing but time.

pub mod backlog;
mod cancellation;
pub mod connect;
mod cursor;
pub mod dead_letter;
pub mod exhaustion;
pub mod feed;
pub mod join;
mod keepalive;
mod lost;
pub mod metrics;
mod progress;
pub mod proofs;
mod publish;
mod pull;
pub mod queue;
mod report;
pub mod server;
pub mod subjects;
pub mod tail;
pub mod topology;
pub mod worker;

pub use backlog::{Backlog, LogSize, StepBacklog, backlog};
pub use cancellation::Cancellations;
pub use connect::{ConnectError, Credentials, Nats, Security, connect, connect_securely};
pub use dead_letter::{DeadLetter, NatsDeadLetters};
pub use exhaustion::Exhaustion;
pub use feed::NatsFeed;
pub use join::Join;
pub use metrics::Metrics;
pub use proofs::NatsRegister;
pub use queue::NatsQueue;
pub use server::NatsServer;
pub use subjects::{ParsedSubject, What};
pub use tail::{HandlerError, LogHandler, Tail};
pub use topology::Topology;
pub use worker::{Check, Deps, Settings, Step, Worker};
