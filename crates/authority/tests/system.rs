//! The system's own tokens, from an authority that is slow, out, or no authority at all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::sync::Arc;

use export_authority::{SecretError, SystemClient, SystemSecrets, SystemTokenError, SystemTokens};
use export_targets::liar::{Liar, Lie};
use serde_json::json;

struct Bench {
    peer: Liar,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        // Several TLS providers are in the tree of the tests; rustls wants to be told which one. It is told once.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "s3cr3t:%\n").unwrap();
        Self { peer: Liar::alone().await, folder }
    }

    fn tokens(&self) -> SystemTokens {
        SystemTokens::new(SystemClient {
            token_url: format!("http://{}/token", self.peer.address()),
            client_id: "export center".into(),
            client_secret_file: self.folder.path().join("secret"),
            scope: "policy:read ledger:read".into(),
            ca_file: None,
        })
        .unwrap()
    }

    fn answer(&self, times: usize, status: u16, body: &serde_json::Value) {
        let body = body.to_string().into_bytes();
        self.peer.lie("POST", "/token", times, Lie::Answer { status, headers: Vec::new(), body });
    }
}

fn good(token: &str, seconds: u64) -> serde_json::Value {
    json!({ "access_token": token, "token_type": "Bearer", "expires_in": seconds })
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_and_kept_while_it_is_good() {
    let bench = Bench::new().await;
    bench.answer(1, 200, &good("one", 3_600));
    bench.answer(100, 200, &good("another", 3_600));
    let tokens = Arc::new(bench.tokens());
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let tokens = Arc::clone(&tokens);
        asked.spawn(async move { tokens.token().await.unwrap().to_string() });
    }
    assert!(asked.join_all().await.iter().all(|token| token == "one"));
    let heard = bench.peer.heard();
    assert_eq!((heard.len(), heard[0].credentials), (1, true));
    assert!(!format!("{tokens:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_goes_on_while_there_is_no_other() {
    let bench = Bench::new().await;
    let tokens = bench.tokens();
    // What lives no time at all is asked for again each time.
    bench.answer(1, 200, &good("short", 0));
    bench.answer(1, 200, &good("long", 3_600));
    assert_eq!(tokens.token().await.unwrap().as_str(), "short");
    assert_eq!(tokens.token().await.unwrap().as_str(), "long");
    assert_eq!(tokens.token().await.unwrap().as_str(), "long");
    assert_eq!(bench.peer.heard().len(), 2);
}

#[tokio::test]
async fn an_authority_that_refuses_is_left_alone_for_a_while() {
    let bench = Bench::new().await;
    bench.answer(100, 401, &json!({ "error": "invalid_client", "error_description": "s3cr3t is wrong" }));
    let tokens = bench.tokens();
    let error = tokens.token().await.unwrap_err();
    assert_eq!(error.to_string(), "the authority answers with status 401: invalid_client");
    for _ in 0..20 {
        assert!(matches!(tokens.token().await, Err(SystemTokenError::Paused(1))));
    }
    assert_eq!(bench.peer.heard().len(), 1);
}

#[tokio::test]
async fn what_is_no_bearer_token_is_refused_by_name() {
    let bench = Bench::new().await;
    let elsewhere = Liar::alone().await;
    for (name, lie, says) in [
        ("redirect", Lie::redirect(307, format!("http://{}/token", elsewhere.address())), "status 307"),
        ("endless", Lie::Endless { status: 200, headers: Vec::new() }, "too long"),
        ("garbage", Lie::Answer { status: 200, headers: Vec::new(), body: b"<html>".to_vec() }, "form of RFC 6749"),
        ("nothing", Lie::status(204), "status 204"),
    ] {
        bench.peer.lie("POST", "/token", 1, lie);
        let error = bench.tokens().token().await.expect_err(name).to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
    for (answer, says) in [
        (json!({ "access_token": "a b", "token_type": "Bearer" }), "characters"),
        (json!({ "access_token": "", "token_type": "Bearer" }), "characters"),
        (json!({ "access_token": "a\r\nx: y", "token_type": "Bearer" }), "characters"),
        (json!({ "access_token": "a", "token_type": "DPoP" }), "another type"),
        (json!({ "token_type": "Bearer" }), "form of RFC 6749"),
    ] {
        bench.answer(1, 200, &answer);
        let error = bench.tokens().token().await.unwrap_err().to_string();
        assert!(error.contains(says), "{answer}: {error}");
    }
    assert!(elsewhere.heard().is_empty(), "a redirect was followed");
    std::fs::write(bench.folder.path().join("secret"), "\n").unwrap();
    assert!(matches!(bench.tokens().token().await, Err(SystemTokenError::Secret(_))));
    std::fs::remove_file(bench.folder.path().join("secret")).unwrap();
    assert!(matches!(bench.tokens().token().await, Err(SystemTokenError::File { .. })));
}

/// Answers to the question for a secret.
fn give(bench: &Bench, name: &str, times: usize, body: &serde_json::Value) {
    let body = body.to_string().into_bytes();
    bench.peer.lie("GET", &format!("/secrets/{name}"), times, Lie::Answer { status: 200, headers: Vec::new(), body });
}

fn secrets(bench: &Bench) -> SystemSecrets {
    bench.answer(100, 200, &good("token", 3_600));
    let base = format!("http://{}/secrets/", bench.peer.address());
    SystemSecrets::new(&base, Arc::new(bench.tokens())).unwrap()
}

#[tokio::test]
async fn a_secret_is_fetched_once_for_all_and_renewed_before_it_ends() {
    let bench = Bench::new().await;
    let secrets = Arc::new(secrets(&bench));
    // What lives no time at all is asked for again each time.
    give(&bench, "registry/prod", 1, &json!({ "values": { "username": "u", "password": "one" }, "expires_in": 0 }));
    give(&bench, "registry/prod", 1, &json!({ "values": { "username": "u", "password": "two" }, "expires_in": 3600 }));
    assert_eq!(secrets.get("registry/prod").await.unwrap().member("password").unwrap(), "one");
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let secrets = Arc::clone(&secrets);
        asked.spawn(async move {
            let secret = secrets.get("registry/prod").await.unwrap();
            assert!(!format!("{secret:?} {secrets:?}").contains("two"));
            secret.member("password").unwrap().to_owned()
        });
    }
    assert!(asked.join_all().await.iter().all(|password| password == "two"));
    let heard = bench.peer.heard();
    // One token, and the secret twice.
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard.iter().all(|request| request.credentials));
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_named_and_nothing_of_it_is_told() {
    let bench = Bench::new().await;
    let secrets = secrets(&bench);
    let elsewhere = Liar::alone().await;
    for (name, lie, says) in [
        ("absent", Lie::status(404), "status 404"),
        ("moved", Lie::redirect(307, format!("http://{}/x", elsewhere.address())), "status 307"),
        ("endless", Lie::Endless { status: 200, headers: Vec::new() }, "too long"),
        (
            "numbers",
            Lie::Answer { status: 200, headers: Vec::new(), body: br#"{"values": {"password": 12345}}"#.to_vec() },
            "form",
        ),
    ] {
        bench.peer.lie("GET", &format!("/secrets/{name}"), 1, lie);
        let error = secrets.get(name).await.expect_err(name).to_string();
        assert!(error.contains(says) && error.contains(&format!("`{name}`")), "{name}: {error}");
        assert!(!error.contains("12345"), "{error}");
        assert!(matches!(secrets.get(name).await, Err(SecretError::Paused { seconds: 1, .. })), "{name}");
    }
    assert!(elsewhere.heard().is_empty(), "a redirect was followed");
    give(&bench, "half", 1, &json!({ "values": { "username": "u", "password": "" } }));
    let error = secrets.get("half").await.unwrap().member("password").unwrap_err().to_string();
    assert!(error.ends_with("it has no member `password`"), "{error}");
    let heard = bench.peer.heard().len();
    for name in ["", "/", "a/", "../token", "a/../b", "a//b", "a b", "a?b", "a#b", "a%2fb", "ä", &"a".repeat(201)] {
        assert!(matches!(secrets.get(name).await, Err(SecretError::Name(_))), "{name}");
    }
    assert_eq!(bench.peer.heard().len(), heard, "a bad name was asked for");
    let tokens = Arc::new(bench.tokens());
    for base in ["secrets", "ftp://a/b", "https://u:p@a/b", "https://a/b?c=d", "https://a/b#c"] {
        assert!(matches!(SystemSecrets::new(base, Arc::clone(&tokens)), Err(SecretError::Address(_))), "{base}");
    }
}
