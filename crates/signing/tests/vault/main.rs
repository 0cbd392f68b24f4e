//! The Vault driver against a small server that keeps its keys with openssl and speaks the documented subset of the API.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod server;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use export_signing::bundle::to_base64;
use export_signing::vault::{VaultError, VaultSettings, VaultSigner};
use export_signing::{PublicKey, SignError, Signer as _, suite};

use crate::server::{Fault, VaultServer, sha256};

fn settings(server: &VaultServer) -> VaultSettings {
    VaultSettings {
        address: server.address(),
        mount: "site/transit".to_owned(),
        key: "export".to_owned(),
        version: None,
        namespace: String::new(),
        token_file: server.token_file(),
        ca_file: None,
        timeout: Duration::from_secs(20),
    }
}

#[tokio::test]
async fn the_vault_driver_conforms() {
    let server = VaultServer::start().await;
    let signer = VaultSigner::open(&settings(&server)).await.unwrap();
    suite::conformance(&signer).await;
}

#[tokio::test]
async fn the_server_sees_a_digest_a_token_and_a_namespace_and_never_the_message() {
    let server = VaultServer::start().await;
    let asked = VaultSettings { namespace: "site/a".to_owned(), ..settings(&server) };
    let signer = VaultSigner::open(&asked).await.unwrap();
    signer.sign(b"the message itself").await.unwrap();
    let requests = server.requests();
    let [key, sign] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert_eq!(key.line, "GET /v1/site/transit/keys/export HTTP/1.1");
    assert_eq!(sign.line, "POST /v1/site/transit/sign/export/sha2-256 HTTP/1.1");
    for request in [key, sign] {
        assert_eq!(request.headers["x-vault-namespace"], "site/a");
        assert_eq!(request.headers["x-vault-token"], "a token");
    }
    let body: serde_json::Value = serde_json::from_slice(&sign.body).unwrap();
    let digest = to_base64(&sha256(b"the message itself"));
    let expected = serde_json::json!({
        "input": digest, "prehashed": true, "marshaling_algorithm": "asn1", "key_version": 1,
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_rotation_at_the_server_changes_the_key_at_the_next_start_and_the_former_one_still_verifies() {
    let server = VaultServer::start().await;
    let before = VaultSigner::open(&settings(&server)).await.unwrap();
    let old = before.sign(b"export").await.unwrap();
    server.rotate();
    let still = before.sign(b"export").await.expect("the running process keeps its version");
    before.public_key().verify(b"export", &still).unwrap();

    let after = VaultSigner::open(&settings(&server)).await.unwrap();
    assert_eq!((before.version(), after.version()), (1, 2));
    assert_ne!(before.public_key().key_id(), after.public_key().key_id());
    let new = after.sign(b"export").await.unwrap();
    assert!(before.public_key().verify(b"export", &new).is_err());
    let former = PublicKey::from_pem(before.public_key().pem()).unwrap();
    former.verify(b"export", &old).unwrap();

    let pinned = VaultSigner::open(&VaultSettings { version: Some(1), ..settings(&server) }).await.unwrap();
    assert_eq!(pinned.public_key().key_id(), former.key_id());
    let error = VaultSigner::open(&VaultSettings { version: Some(3), ..settings(&server) }).await.unwrap_err();
    assert!(matches!(error, VaultError::NoVersion(3)), "{error}");
}

#[tokio::test]
async fn a_token_that_an_agent_renews_is_used_at_once() {
    let server = VaultServer::start().await;
    let signer = VaultSigner::open(&settings(&server)).await.unwrap();
    server.expect_token("another token");
    let error = signer.sign(b"x").await.unwrap_err();
    assert!(matches!(error, SignError::Refused(_)), "{error}");
    std::fs::write(server.token_file(), "another token\n").unwrap();
    signer.sign(b"x").await.unwrap();
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(|error| format!("{error}: ")).collect()
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again_and_what_does_not_is_refused() {
    let server = VaultServer::start().await;
    let signer = VaultSigner::open(&settings(&server)).await.unwrap();
    let status = |status| Fault::Answers(status, r#"{"errors":["said so"]}"#);
    for (fault, kind, says) in [
        (status(429), "unavailable", "said so"),
        (status(412), "unavailable", "412"),
        (status(500), "unavailable", "500"),
        (status(503), "unavailable", "503"),
        (Fault::Closes, "unavailable", "does not answer"),
        (Fault::StopsHalfway, "unavailable", "does not answer"),
        (status(400), "refused", "said so"),
        (status(403), "refused", "403: said so"),
        (status(404), "refused", "404"),
        (Fault::Answers(400, "no JSON\u{1b}[31m"), "refused", "status 400"),
        (Fault::Redirects, "refused", "307"),
        (Fault::Endless, "refused", "longer than"),
        (Fault::Answers(200, "{}"), "refused", "not understood"),
        (Fault::Answers(200, "<html>"), "refused", "not understood"),
        (Fault::Answers(200, r#"{"data":{"signature":"vault:v2:AAAA"}}"#), "refused", "vault:v1:"),
        (Fault::Answers(200, r#"{"data":{"signature":"vault:v1:*"}}"#), "refused", "vault:v1:"),
        (Fault::Answers(200, r#"{"data":{"signature":"vault:v1:AAAA"}}"#), "invalid", "not verify"),
        (Fault::HashesTwice, "invalid", "not verify"),
        (Fault::SignsWithAnother, "invalid", "not verify"),
    ] {
        server.next(fault.clone());
        let error = signer.sign(b"export").await.expect_err(&format!("{fault:?} signs"));
        assert_eq!(error.kind(), kind, "{fault:?}: {}", chain(&error));
        assert!(chain(&error).contains(says), "{fault:?}: {}", chain(&error));
        assert!(!chain(&error).contains("a token"), "{fault:?} tells the token");
        signer.sign(b"export").await.expect("the fault is over");
    }
    assert_eq!(server.elsewhere(), 0, "a redirect was followed, with the token");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = VaultServer::start().await;
    let impatient = VaultSettings { timeout: Duration::from_secs(2), ..settings(&server) };
    let signer = VaultSigner::open(&impatient).await.unwrap();
    server.next(Fault::Hangs);
    let error = signer.sign(b"export").await.unwrap_err();
    assert_eq!(error.kind(), "unavailable", "{}", chain(&error));
}

#[tokio::test]
async fn a_server_that_is_gone_is_waited_for() {
    let server = VaultServer::start().await;
    let asked = settings(&server);
    let signer = VaultSigner::open(&asked).await.unwrap();
    server.stop().await;
    let error = signer.sign(b"export").await.unwrap_err();
    assert_eq!(error.kind(), "unavailable", "{}", chain(&error));
    assert!(signer.check().await.is_err(), "ready without a server");
}

#[tokio::test]
async fn opening_names_what_is_wrong_and_tells_no_secret() {
    let server = VaultServer::start().await;
    let good = || settings(&server);
    let token = server.folder().join("odd");
    std::fs::write(&token, "hunter2\u{1}\n").unwrap();
    let empty = server.folder().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let missing = PathBuf::from("no/such/file");
    for (settings, says, is_transient) in [
        (VaultSettings { address: "vault.example".to_owned(), ..good() }, "address", false),
        (VaultSettings { address: "ftp://vault.example".to_owned(), ..good() }, "address", false),
        (VaultSettings { mount: "a/../b".to_owned(), ..good() }, "mount", false),
        (VaultSettings { mount: String::new(), ..good() }, "mount", false),
        (VaultSettings { key: "a/b".to_owned(), ..good() }, "key", false),
        (VaultSettings { key: "nobody".to_owned(), ..good() }, "404", false),
        (VaultSettings { key: "symmetric".to_owned(), ..good() }, "`aes256-gcm96`", false),
        (VaultSettings { key: "p384".to_owned(), ..good() }, "`ecdsa-p384`", false),
        (VaultSettings { namespace: "a\nb".to_owned(), ..good() }, "namespace", false),
        (VaultSettings { token_file: token, ..good() }, "token", false),
        (VaultSettings { token_file: empty, ..good() }, "token", false),
        (VaultSettings { token_file: missing.clone(), ..good() }, "no/such/file", true),
        (VaultSettings { ca_file: Some(missing), ..good() }, "no/such/file", true),
    ] {
        let error = VaultSigner::open(&settings).await.expect_err(says);
        assert!(chain(&error).contains(says), "{says}: {}", chain(&error));
        assert_eq!(error.is_transient(), is_transient, "{says}");
        assert!(!chain(&error).contains("hunter2"));
    }
    let signer = VaultSigner::open(&good()).await.unwrap();
    assert!(!format!("{signer:?}").contains("a token"));
}
