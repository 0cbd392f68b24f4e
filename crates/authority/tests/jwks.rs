//! Keys of an authority elsewhere that rotates, is out, and lies.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "made/keys.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod made;

use std::sync::Arc;
use std::time::Duration;

use export_authority::{AuthError, KeySource as _, KeyTiming, RemoteKeys, RemoteKeysError, TokenRules, TokenVerifier};
use export_targets::liar::{Liar, Lie};
use made::{Signer, claims, now};
use serde_json::{Value, json};

const PATH: &str = "/jwks.json";

/// Whether an error is the one that a lie must end in.
type Judge = fn(&RemoteKeysError) -> bool;

fn timing() -> KeyTiming {
    KeyTiming {
        answer_within: Duration::from_secs(2),
        least_fresh: Duration::ZERO,
        pause: Duration::ZERO,
        ..KeyTiming::default()
    }
}

async fn peer() -> Liar {
    // Several TLS providers are in the tree of the tests; rustls wants to be told which one. It is told once.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    Liar::alone().await
}

fn keys(peer: &Liar, timing: KeyTiming) -> RemoteKeys {
    RemoteKeys::new(&format!("http://{}{PATH}", peer.address()), None, timing).unwrap()
}

fn answer(peer: &Liar, times: usize, age: Option<&str>, body: impl Into<Vec<u8>>) {
    let headers = age.map(|age| ("cache-control".to_owned(), age.to_owned())).into_iter().collect();
    peer.lie("GET", PATH, times, Lie::Answer { status: 200, headers, body: body.into() });
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

#[tokio::test]
async fn a_new_key_is_found_and_one_that_was_taken_away_is_gone() {
    let (peer, old, new) = (peer().await, Signer::es256(), Signer::ed25519());
    let keys = keys(&peer, timing());
    answer(&peer, 1, Some("public, max-age=600"), set(&[old.listed("old")]));
    assert!(keys.key("old").await.unwrap().is_some());
    // Fresh: nobody is asked.
    assert!(keys.key("old").await.unwrap().is_some());
    assert_eq!(keys.fetches(), 1);
    answer(&peer, 1, Some("max-age=600"), set(&[old.listed("old"), new.listed("new")]));
    assert!(keys.key("new").await.unwrap().is_some());
    assert_eq!(keys.fetches(), 2);
    answer(&peer, 1, Some("max-age=0"), set(&[new.listed("new")]));
    assert!(keys.key("unknown").await.unwrap().is_none());
    answer(&peer, 1, None, set(&[new.listed("new")]));
    assert!(keys.key("old").await.unwrap().is_none(), "taken away");

    let rules = TokenRules {
        issuer: "https://authority.test".into(),
        audience: "export-center".into(),
        tenant_claim: "tenant".into(),
    };
    let verifier = TokenVerifier::new(rules, Arc::new(keys));
    let token = new.sign(&json!({ "alg": "EdDSA", "kid": "new" }), &claims());
    assert_eq!(verifier.verify(&token, now()).await.unwrap().subject, "ci");
}

/// Forged key ids are free to make: they must not become requests to the authority.
#[tokio::test]
async fn unknown_key_ids_make_no_storm() {
    let (peer, signer) = (peer().await, Signer::es256());
    let keys = Arc::new(keys(&peer, KeyTiming { pause: Duration::from_hours(1), ..timing() }));
    answer(&peer, 100, Some("max-age=600"), set(&[signer.listed("known")]));
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..200 {
        let keys = Arc::clone(&keys);
        asked.spawn(async move { keys.key(&format!("forged-{number}")).await.unwrap().is_none() });
    }
    assert!(asked.join_all().await.into_iter().all(|absent| absent));
    for number in 0..50 {
        assert!(keys.key(&format!("one-by-one-{number}")).await.unwrap().is_none());
    }
    assert!(keys.key("known").await.unwrap().is_some());
    assert!(keys.key(&"k".repeat(300)).await.unwrap().is_none());
    assert_eq!((keys.fetches(), peer.heard().len()), (1, 1));
}

#[tokio::test]
async fn known_keys_go_on_while_the_authority_is_out_and_end_in_time() {
    let (peer, signer) = (peer().await, Signer::es256());
    let known = keys(&peer, timing());
    answer(&peer, 1, Some("max-age=0"), set(&[signer.listed("known")]));
    assert!(known.key("known").await.unwrap().is_some());
    peer.lie("GET", PATH, 100, Lie::status(503));
    assert!(known.key("known").await.unwrap().is_some(), "no longer fresh, and good enough");
    assert_eq!(known.fetches(), 2);
    // Whether a key is new cannot be told now.
    assert!(known.key("new").await.is_err());
    peer.be_honest();

    let short = keys(&peer, KeyTiming { outage: Duration::ZERO, ..timing() });
    answer(&peer, 1, Some("max-age=0"), set(&[signer.listed("known")]));
    peer.lie("GET", PATH, 100, Lie::status(503));
    assert!(short.key("known").await.is_err(), "beyond the time for outages");
    assert!(short.key("known").await.is_err());
}

/// After a failure the authority is left alone for a while, which grows.
#[tokio::test]
async fn an_authority_that_fails_is_not_asked_by_every_request() {
    let peer = peer().await;
    let keys = keys(&peer, KeyTiming { pause: Duration::from_mins(1), ..timing() });
    peer.lie("GET", PATH, 100, Lie::status(500));
    for _ in 0..50 {
        assert!(keys.key("known").await.is_err());
    }
    assert_eq!(peer.heard().len(), 1);
}

#[tokio::test]
async fn what_is_no_key_set_changes_nothing() {
    let (peer, signer, thief) = (peer().await, Signer::es256(), Signer::es256());
    let elsewhere = self::peer().await;
    answer(&elsewhere, 100, None, set(&[thief.listed("known"), thief.listed("new")]));
    let keys = keys(&peer, timing());
    let before = {
        answer(&peer, 1, Some("max-age=0"), set(&[signer.listed("known")]));
        keys.key("known").await.unwrap().unwrap().thumbprint().to_owned()
    };
    let many: Vec<Value> = (0..101).map(|number| thief.listed(&format!("k{number}"))).collect();
    let json = |body: String| Lie::Answer { status: 200, headers: Vec::new(), body: body.into_bytes() };
    let lies: Vec<(&str, Lie, Judge)> = vec![
        ("redirect", Lie::redirect(302, format!("http://{}{PATH}", elsewhere.address())), |error| {
            matches!(error, RemoteKeysError::Status(302))
        }),
        ("not found", Lie::status(404), |error| matches!(error, RemoteKeysError::Status(404))),
        ("no content", Lie::status(204), |error| matches!(error, RemoteKeysError::Status(204))),
        ("endless", Lie::Endless { status: 200, headers: Vec::new() }, |error| {
            matches!(error, RemoteKeysError::TooLong)
        }),
        ("silence", Lie::Silence, |error| matches!(error, RemoteKeysError::Exchange(_))),
        ("garbage", json("<html>".into()), |error| matches!(error, RemoteKeysError::Json(_))),
        ("cut", json("{\"keys\":[".into()), |error| matches!(error, RemoteKeysError::Json(_))),
        ("no keys", json("{\"keys\":[]}".into()), |error| matches!(error, RemoteKeysError::Empty)),
        ("another document", json("{\"error\":\"x\"}".into()), |error| matches!(error, RemoteKeysError::Empty)),
        ("private keys", json(set(&[made::with(&thief.listed("known"), &json!({ "d": "AA" }))])), |error| {
            matches!(error, RemoteKeysError::Empty)
        }),
        ("too many", json(set(&many)), |error| matches!(error, RemoteKeysError::TooMany(101))),
    ];
    for (name, lie, is_expected) in lies {
        peer.lie("GET", PATH, 2, lie);
        let known = keys.key("known").await.unwrap().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(known.thumbprint(), before, "{name}");
        let error = keys.key("new").await.expect_err(name);
        assert!(error.0.as_ref().is_some_and(|cause| is_expected(cause)), "{name}: {error:?}");
    }
    assert!(elsewhere.heard().is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn without_any_keys_the_answer_is_that_nobody_can_tell() {
    let peer = peer().await;
    let rules = TokenRules { issuer: "i".into(), audience: "a".into(), tenant_claim: "tenant".into() };
    let verifier = TokenVerifier::new(rules, Arc::new(keys(&peer, timing())));
    let token = Signer::es256().sign(&json!({ "alg": "ES256", "kid": "k" }), &claims());
    assert!(matches!(verifier.verify(&token, now()).await, Err(AuthError::Unavailable(_))));
    for address in ["", "x", "ftp://h/jwks", "https://user:pass@h/jwks"] {
        assert!(RemoteKeys::new(address, None, timing()).is_err(), "{address}");
    }
}
