//! Streams and consumers as data, and how they come to be. Operators who lay them out by hand find the same in
//! `topology.json`, which a test keeps.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use export_pipeline::QueueError;
use serde::Serialize;

use crate::connect::{Nats, cannot};
use crate::subjects;
use crate::worker::Step;

/// The log.
pub const LOG_STREAM: &str = "EXPORT";
/// Progress ticks.
pub const PROGRESS_STREAM: &str = "EXPORT_PROGRESS";
/// Dead letters.
pub const DEAD_STREAM: &str = "EXPORT_DEAD";
/// KV bucket of cancelled runs.
pub const CONTROL_BUCKET: &str = "export_control";
/// KV bucket of proofs of possession that were seen.
pub const PROOFS_BUCKET: &str = "export_proofs";
/// Durable consumer of [`crate::Tail`].
pub const RECORDER: &str = "recorder";

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// What may differ between installations.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Copies of each stream: 1, or 3 where there are three servers.
    pub replicas: usize,
    /// Size limit of the log in bytes. It must lie well below the disk: a full limit is told to publishers and heals,
    /// a full disk is neither (pipeline.md section 5).
    pub log_max_bytes: i64,
    /// How long the log is kept.
    pub log_max_age: Duration,
    /// A command that was neither acknowledged nor heard of for this long goes to another worker.
    pub ack_wait: Duration,
    /// How often a command is delivered at most.
    pub max_deliver: i64,
    /// Commands of one step that may be with workers at once: workers times slots.
    pub max_ack_pending: i64,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            replicas: 1,
            log_max_bytes: 4 << 30,
            log_max_age: Duration::from_secs(14 * DAY),
            ack_wait: Duration::from_secs(30),
            max_deliver: 6,
            max_ack_pending: 256,
        }
    }
}

/// Streams and consumers as NATS takes them.
#[derive(Debug, Serialize)]
pub struct Layout {
    /// The streams.
    pub streams: Vec<stream::Config>,
    /// The durable consumers, all of them on [`LOG_STREAM`].
    pub consumers: Vec<consumer::Config>,
}

impl Topology {
    /// The whole layout.
    pub fn layout(&self) -> Layout {
        Layout {
            streams: vec![self.log(), self.progress(), self.dead(), self.control(), self.proofs()],
            consumers: Step::ALL
                .into_iter()
                .map(|step| self.stage(step))
                .chain([self.recorder()])
                .map(consumer::IntoConsumerConfig::into_consumer_config)
                .collect(),
        }
    }

    /// No scheduled messages: the server refuses them together with `discard: new` (2.15.1), and retries are NAKs.
    fn log(&self) -> stream::Config {
        stream::Config {
            name: LOG_STREAM.to_owned(),
            description: Some("every step of every export run; a done event is the next stage's command".to_owned()),
            subjects: vec![subjects::LOG.to_owned()],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            max_bytes: self.log_max_bytes,
            max_age: self.log_max_age,
            duplicate_window: Duration::from_mins(10),
            allow_atomic_publish: true,
            ..self.file()
        }
    }

    fn progress(&self) -> stream::Config {
        stream::Config {
            name: PROGRESS_STREAM.to_owned(),
            description: Some("progress ticks of export runs; may be lost".to_owned()),
            subjects: vec![subjects::PROGRESS.to_owned()],
            storage: StorageType::Memory,
            discard: DiscardPolicy::Old,
            max_bytes: 32 << 20,
            max_age: Duration::from_secs(HOUR),
            num_replicas: 1,
            ..self.file()
        }
    }

    fn dead(&self) -> stream::Config {
        stream::Config {
            name: DEAD_STREAM.to_owned(),
            description: Some("commands that no stage could do, with the reason".to_owned()),
            subjects: [subjects::DEAD, subjects::MAX_DELIVERIES, subjects::TERMINATED].map(str::to_owned).to_vec(),
            discard: DiscardPolicy::Old,
            max_bytes: 256 << 20,
            max_age: Duration::from_secs(90 * DAY),
            ..self.file()
        }
    }

    /// A KV bucket is a stream of this shape (NATS ADR-8).
    fn control(&self) -> stream::Config {
        stream::Config {
            name: subjects::CONTROL_STREAM.to_owned(),
            description: Some("cancelled export runs".to_owned()),
            subjects: vec![format!("$KV.{CONTROL_BUCKET}.>")],
            discard: DiscardPolicy::New,
            max_messages_per_subject: 1,
            max_bytes: 64 << 20,
            max_age: self.log_max_age,
            allow_rollup: true,
            deny_delete: true,
            ..self.file()
        }
    }

    /// In memory: each request writes there, and would wait for the disk. When it is full, requests are refused and no proof is forgotten.
    /// Entries bring their own time to live; the age is a second net.
    pub(crate) fn proofs(&self) -> stream::Config {
        stream::Config {
            name: subjects::PROOFS_STREAM.to_owned(),
            description: Some("proofs of possession that gateways have seen".to_owned()),
            subjects: vec![format!("$KV.{PROOFS_BUCKET}.>")],
            storage: StorageType::Memory,
            discard: DiscardPolicy::New,
            max_messages_per_subject: 1,
            max_bytes: 64 << 20,
            max_age: Duration::from_mins(2),
            allow_message_ttl: true,
            allow_rollup: true,
            deny_delete: true,
            ..self.file()
        }
    }

    fn file(&self) -> stream::Config {
        stream::Config {
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            num_replicas: self.replicas,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_consumers: -1,
            max_message_size: -1,
            duplicate_window: Duration::from_mins(2),
            allow_direct: true,
            ..stream::Config::default()
        }
    }

    /// The consumer that hands a step its commands (pipeline.md section 1.4). No `backoff`: it would override `ack_wait`.
    fn stage(&self, step: Step) -> pull::Config {
        pull::Config {
            durable_name: Some(step.durable().to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            max_deliver: self.max_deliver,
            max_ack_pending: self.max_ack_pending,
            filter_subjects: step.commands(),
            ..pull::Config::default()
        }
    }

    /// One event at a time, so that the order holds however many processes host the recorder; never given up.
    fn recorder(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(RECORDER.to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            max_deliver: -1,
            max_ack_pending: 1,
            filter_subjects: vec![subjects::LOG.to_owned()],
            ..pull::Config::default()
        }
    }
}

/// Makes the layout true: creates what is missing and updates what differs. May be called by any number of processes
/// at once, and again whenever the server seems to have lost something.
///
/// # Errors
/// When the server does not answer or refuses the layout.
pub async fn ensure(nats: &Nats, topology: &Topology) -> Result<(), QueueError> {
    let layout = topology.layout();
    for config in layout.streams {
        ensure_stream(nats, config).await?;
    }
    for config in layout.consumers {
        let name = config.durable_name.clone().unwrap_or_default();
        let pull: pull::Config = consumer::FromConsumer::try_from_consumer_config(config)
            .map_err(cannot(format!("read the settings of consumer {name}")))?;
        nats.jetstream()
            .create_consumer_on_stream(pull, LOG_STREAM)
            .await
            .map_err(cannot(format!("create or update consumer {name}")))?;
    }
    Ok(())
}

pub(crate) async fn ensure_stream(nats: &Nats, config: stream::Config) -> Result<(), QueueError> {
    let name = config.name.clone();
    let act = format!("create or update stream {name}");
    match nats.jetstream().create_or_update_stream(config.clone()).await {
        Ok(_) => Ok(()),
        // Another process created it between our update and our create.
        Err(error) if error.kind() != CreateStreamErrorKind::TimedOut => {
            nats.jetstream().update_stream(config).await.map(drop).map_err(|_| cannot(act)(error))
        }
        Err(error) => Err(cannot(act)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::Topology;

    /// `UPDATE_GOLDEN=1` writes the file anew.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "how every golden file is written anew")]
    fn the_layout_for_operators_is_the_one_we_create() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/topology.json");
        let layout = serde_json::to_value(Topology::default().layout()).unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, serde_json::to_string_pretty(&layout).unwrap() + "\n").unwrap();
        }
        // Compared as values: the order of members in a text depends on which features of serde_json a build turns on.
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(golden, layout, "run with UPDATE_GOLDEN=1 if the change is meant");
    }
}
