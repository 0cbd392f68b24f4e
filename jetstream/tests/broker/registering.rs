//! The register of proofs of possession.

use std::sync::Arc;

use export_authority::ProofRegister;
use export_authority::suite::{conforms, fresh};
use export_jetstream::{NatsRegister, connect};

use crate::rig::{Rig, eventually};

async fn register(rig: &Rig) -> NatsRegister {
    NatsRegister::open(rig.nats.clone(), rig.topology.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_register_on_nats_keeps_the_promises_of_a_register() {
    let rig = Rig::new().await;
    conforms(async || {
        let nats = connect(&rig.server.url(), rig.server.credentials()).await.unwrap();
        Arc::new(NatsRegister::open(nats, rig.topology.clone()).await.unwrap()) as Arc<dyn ProofRegister>
    })
    .await;
    rig.stop().await;
}

/// The bucket is in memory: after this it is empty, and what was seen before must not pass for new.
#[tokio::test(flavor = "multi_thread")]
async fn a_register_that_forgot_tells_nothing_of_older_proofs() {
    let rig = Rig::new().await;
    let register = register(&rig).await;
    let (seen, unseen) = (fresh(), fresh());
    assert!(register.first_seen(&seen).await.unwrap());
    rig.kill_server().await;
    // It answers again, and tells of what is made from now on.
    eventually("the register again", async || register.first_seen(&fresh()).await.is_ok()).await;
    for old in [seen, unseen] {
        let told = register.first_seen(&old).await;
        assert!(told.is_err(), "{told:?}");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_register_tells_nothing() {
    let rig = Rig::new().await;
    let nats = connect(&rig.server.url(), rig.server.credentials()).await.unwrap();
    let register = NatsRegister::open(nats, rig.topology.clone()).await.unwrap();
    assert!(register.first_seen(&fresh()).await.unwrap());
    rig.stop().await;
    assert!(register.first_seen(&fresh()).await.is_err());
}
