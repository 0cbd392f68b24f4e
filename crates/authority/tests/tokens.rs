//! Tokens of the local authority, and tokens that must be refused.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;

use export_authority::{AuthError, Authority as _, Binding, LocalAuthority, Scope, TokenRefused, TokenRequest};

/// The thumbprint of some key.
const KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn open(folder: &tempfile::TempDir) -> LocalAuthority {
    LocalAuthority::open(folder.path(), "https://authority.test", "export-center").unwrap()
}

fn request(id: &str, secret: &str) -> TokenRequest {
    TokenRequest {
        grant_type: "client_credentials".into(),
        client_id: id.into(),
        client_secret: secret.into(),
        scope: None,
    }
}

#[tokio::test]
async fn a_client_with_its_secret_gets_a_token_that_says_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(&folder);
    let scopes = BTreeSet::from([Scope::Read, Scope::Run]);
    let client = authority.put_client("ci", vec!["acme".parse().unwrap()], &scopes).unwrap();
    let token = authority.issue(&request("ci", &client.client_secret), KEY).unwrap().access_token;
    let caller = authority.authenticate(&token).await.unwrap();
    assert_eq!((caller.subject.as_str(), caller.scopes), ("ci", scopes));
    assert_eq!(caller.tenants, ["acme".parse().unwrap()]);
    assert_eq!(caller.binding, Binding::Key(KEY.into()));

    // Another process with the same folder has the same key.
    assert!(open(&folder).authenticate(&token).await.is_ok());
}

#[tokio::test]
async fn a_wrong_secret_or_a_scope_too_many_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(&folder);
    let client = authority.put_client("ci", vec!["acme".parse().unwrap()], &BTreeSet::from([Scope::Read])).unwrap();
    assert_eq!(authority.issue(&request("ci", "guess"), KEY).unwrap_err(), TokenRefused::InvalidClient);
    assert_eq!(
        authority.issue(&request("other", &client.client_secret), KEY).unwrap_err(),
        TokenRefused::InvalidClient
    );
    let greedy = TokenRequest { scope: Some("export:run".into()), ..request("ci", &client.client_secret) };
    assert_eq!(authority.issue(&greedy, KEY).unwrap_err(), TokenRefused::InvalidScope);
}

#[tokio::test]
async fn foreign_forged_and_unsigned_tokens_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(&folder);
    let client = authority.put_client("ci", vec!["acme".parse().unwrap()], &BTreeSet::from([Scope::Read])).unwrap();
    let good = authority.issue(&request("ci", &client.client_secret), KEY).unwrap().access_token;

    let other_folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(&other_folder).authenticate(&good).await, Err(AuthError::UnknownKey)));

    let other_issuer = LocalAuthority::open(folder.path(), "https://elsewhere.test", "export-center").unwrap();
    assert!(matches!(other_issuer.authenticate(&good).await, Err(AuthError::Invalid(_))));

    let mut parts: Vec<&str> = good.split('.').collect();
    let swapped = "eyJzdWIiOiJyb290In0";
    parts[1] = swapped;
    assert!(authority.authenticate(&parts.join(".")).await.is_err());

    // {"alg":"none","typ":"JWT"}
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", good.split('.').nth(1).unwrap());
    assert!(matches!(authority.authenticate(&unsigned).await, Err(AuthError::Malformed(_))));
    assert!(authority.authenticate("").await.is_err());
    assert!(authority.authenticate(&"a".repeat(100_000)).await.is_err());
}

#[test]
fn secrets_are_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).put_client("ci", vec!["acme".parse().unwrap()], &BTreeSet::new()).unwrap();
    assert!(!format!("{client:?}").contains(&client.client_secret));
    let stored = std::fs::read_to_string(folder.path().join("clients.json")).unwrap();
    assert!(!stored.contains(&client.client_secret));
}

#[tokio::test]
async fn a_token_for_pulling_pulls_and_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let authority = open(&folder);
    let tenants = vec!["acme".parse().unwrap()];
    let client = authority.put_client("scanner", tenants.clone(), &BTreeSet::from([Scope::Download])).unwrap();
    assert_eq!(authority.puller("scanner", &client.client_secret), Ok(tenants.clone()));
    assert_eq!(authority.puller("scanner", "guess"), Err(TokenRefused::InvalidClient));
    let pull = authority.pull_token("scanner", &tenants).unwrap();
    assert!(!format!("{pull:?}").contains(&pull.token));
    let caller = authority.authenticate_pull(&pull.token).await.unwrap();
    assert_eq!((caller.subject.as_str(), caller.tenants), ("scanner", tenants.clone()));
    assert_eq!(caller.binding, Binding::None);
    // Neither token stands in for the other.
    assert!(matches!(authority.authenticate(&pull.token).await, Err(AuthError::Invalid(_))));
    let api = authority.issue(&request("scanner", &client.client_secret), KEY).unwrap().access_token;
    assert!(matches!(authority.authenticate_pull(&api).await, Err(AuthError::Invalid(_))));
    // Who may not download may not pull.
    let reader = authority.put_client("reader", tenants, &BTreeSet::from([Scope::Read])).unwrap();
    assert_eq!(authority.puller("reader", &reader.client_secret), Err(TokenRefused::InvalidScope));
}
