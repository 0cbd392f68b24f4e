//! Uploads that are interrupted on the way.

use export_canon::digesting::sha256;
use export_contract::Digest;
use export_contract::profile::DistributionKind;
use export_targets::TargetError;
use export_targets::liar::Lie;
use export_targets::registries::Program;
use export_targets::suite::{Bench, Peer as _};

use crate::peer::Pushed;

/// Bytes of everything that a run pushes, with room for manifests.
const WHOLE: u64 = (9 << 20) + (64 << 10);
/// Bytes of a chunk.
const CHUNK: u64 = 4 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_the_registry_is_when_a_chunk_or_an_answer_is_lost() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let target = pushed.target();
    let bench = Bench::new(DistributionKind::Oci).await;
    // The second chunk of the bundle is lost, or only the answer to it, and how much is sent more than once at the most.
    for (lie, again) in
        [(Lie::LostAnswer, 0), (Lie::status(503), CHUNK), (Lie::busy(1), CHUNK), (Lie::HangUp(1 << 20), 1 << 20)]
    {
        let before = pushed.liar.taken();
        pushed.liar.lie_to_long("PATCH", "/blobs/uploads/", 1 << 20, 1, Lie::Header { name: "x-none", value: None });
        pushed.liar.lie_to_long("PATCH", "/blobs/uploads/", 1 << 20, 1, lie.clone());
        let handed = bench.run_of(9 << 20).await;
        let place = handed.over(&target).await.unwrap();
        let found = pushed.files(handed.run(), &place).await;
        assert!(found.iter().any(|(_, bytes)| bytes == &handed.files()["bundle.tar"]));
        let sent = pushed.liar.taken() - before;
        assert!(sent <= WHOLE + again, "{lie:?}: {sent}");
        assert_eq!(pushed.liar.heard().iter().filter(|heard| heard.lied_to).count() % 2, 0, "{lie:?} was not told");
    }
    let before = pushed.liar.taken();
    pushed.liar.lie("PUT", "/blobs/uploads/", usize::MAX, Lie::LostAnswer);
    bench.run_of(9 << 20).await.over(&target).await.unwrap();
    assert!(pushed.liar.taken() - before <= WHOLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_forgets_a_broken_upload_gets_it_anew() {
    // This one drops an upload whose connection broke.
    let Some(pushed) = Pushed::start(Program::DockerRegistry).await else { return };
    let bench = Bench::new(DistributionKind::Oci).await;
    for lie in [Lie::HangUp(100), Lie::LostAnswer, Lie::status(500)] {
        for method in ["PATCH", "PUT"] {
            pushed.liar.lie(method, "/blobs/uploads/", 1, lie.clone());
            let handed = bench.run_of(1 << 20).await;
            let place = handed.over(&pushed.target()).await.unwrap();
            let found = pushed.files(handed.run(), &place).await;
            assert!(found.iter().any(|(_, bytes)| bytes == &handed.files()["bundle.tar"]), "{method} {lie:?}");
            pushed.liar.be_honest();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_sent_again_after_the_delivery_broke() {
    for program in Program::ALL {
        let Some(pushed) = Pushed::start(program).await else { continue };
        let bench = Bench::new(DistributionKind::Oci).await;
        // The manifest of the bundle, and the one with its signatures.
        for written in [0, 1] {
            let handed = bench.run().await;
            let before = pushed.tags().await;
            pushed.liar.lie("PUT", "/manifests/", written, Lie::Header { name: "x-none", value: None });
            pushed.liar.lie("PUT", "/manifests/", 1, Lie::status(503));
            let error = handed.over(&pushed.target()).await.unwrap_err();
            assert!(matches!(error, TargetError::Unavailable { .. }), "{error:?}");
            assert_eq!(pushed.tags().await, before, "{program:?} {written}");
            let before = pushed.liar.taken();
            handed.over(&pushed.target()).await.unwrap();
            let sent = pushed.liar.taken() - before;
            assert!(sent < 16 << 10, "{sent} bytes were sent, of which none but the manifests were missing");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sees_a_tag_finds_all_that_belongs_to_it_wherever_the_push_stops() {
    for program in Program::ALL {
        let Some(pushed) = Pushed::start(program).await else { continue };
        let bench = Bench::new(DistributionKind::Oci).await;
        let mut stopped = Vec::new();
        for written in 0.. {
            let handed = bench.run_of(10).await;
            pushed.liar.lie("PUT", "/manifests/", written, Lie::Header { name: "x-none", value: None });
            pushed.liar.lie("PUT", "/manifests/", 1, Lie::status(503));
            let outcome = handed.over(&pushed.target()).await;
            pushed.liar.be_honest();
            for tag in [handed.run().run.as_str(), "latest"] {
                let Some(manifest) = pushed.get(&format!("manifests/{tag}")).await else { continue };
                let digest = Digest::from_bytes(*sha256(&manifest).as_bytes());
                assert_eq!(pushed.referrers(digest.as_str()).await.len(), 1, "{program:?} {written} {tag}");
            }
            if outcome.is_ok() {
                break;
            }
            stopped.push(pushed.tags().await.contains(handed.run().run.as_str()));
        }
        // Bundle, signatures, where they are not listed by the registry their list, the run's tag; `latest` after that.
        let before = if program == Program::DockerRegistry { 4 } else { 3 };
        assert_eq!(stopped, [vec![false; before], vec![true]].concat(), "{program:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_takes_chunks_and_keeps_nothing_is_given_up() {
    let Some(pushed) = Pushed::start(Program::OciRegistry).await else { return };
    let nothing = Lie::Answer {
        status: 202,
        headers: vec![
            ("location".to_owned(), "/v2/exports/acme/json-raw/blobs/uploads/one".to_owned()),
            ("range".to_owned(), "0-0".to_owned()),
        ],
        body: Vec::new(),
    };
    pushed.liar.lie("PATCH", "/blobs/uploads/", usize::MAX, nothing.clone());
    pushed.liar.lie("GET", "/blobs/uploads/", usize::MAX, nothing);
    let error = Bench::new(DistributionKind::Oci).await.run().await.over(&pushed.target()).await.unwrap_err();
    assert!(matches!(error, TargetError::Refused { .. }), "{error:?}");
    assert!(pushed.tags().await.is_empty());
}
