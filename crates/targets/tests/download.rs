//! The download endpoint keeps the port's promises, as far as they are its own: it copies nothing.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use export_contract::message::Distribution;
use export_contract::run::RunRef;
use export_targets::Download;
use export_targets::suite::{Peer, conformance};

struct Nobody;

#[async_trait]
impl Peer for Nobody {
    async fn files(&self, _run: &RunRef, _distribution: &Distribution) -> Vec<(String, Bytes)> {
        Vec::new()
    }

    async fn shown(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn copies(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn the_download_keeps_the_promises_of_a_target() {
    conformance(&Download, &Nobody).await;
}
