//! Streams and consumers come to be.

use std::time::Duration;

use export_jetstream::topology::{self, LOG_STREAM};
use export_jetstream::{NatsServer, Topology, connect};

use crate::rig::folder;

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_processes_may_lay_out_at_once_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = NatsServer::start(folder(&dir)).await.expect("run `make tools` once to have a nats-server");
    let topology = Topology { log_max_bytes: 64 << 20, ..Topology::default() };
    let processes = (0..4).map(|_| {
        let (url, credentials, topology) = (server.url(), server.credentials(), topology.clone());
        tokio::spawn(async move {
            let nats = connect(&url, credentials).await.unwrap();
            topology::ensure(&nats, &topology).await.unwrap();
        })
    });
    for process in processes.collect::<Vec<_>>() {
        process.await.unwrap();
    }
    let nats = connect(&server.url(), server.credentials()).await.unwrap();
    let layout = topology.layout();
    for wanted in &layout.streams {
        let stream = nats.jetstream().get_stream(&wanted.name).await.unwrap();
        let found = &stream.cached_info().config;
        assert_eq!(
            (&found.subjects, found.discard, found.max_bytes, found.max_age, found.allow_direct),
            (&wanted.subjects, wanted.discard, wanted.max_bytes, wanted.max_age, wanted.allow_direct),
            "{}",
            wanted.name
        );
    }

    let changed = Topology { max_deliver: 9, ack_wait: Duration::from_secs(7), log_max_bytes: 65 << 20, ..topology };
    topology::ensure(&nats, &changed).await.unwrap();
    let log = nats.jetstream().get_stream(LOG_STREAM).await.unwrap();
    assert_eq!(log.cached_info().config.max_bytes, 65 << 20);
    for wanted in changed.layout().consumers {
        let name = wanted.durable_name.unwrap();
        let found = log.consumer_info(&name).await.unwrap().config;
        assert_eq!((found.max_deliver, found.ack_wait), (wanted.max_deliver, Duration::from_secs(7)), "{name}");
        assert_eq!(found.filter_subjects, wanted.filter_subjects);
    }
    server.stop().await;
}
