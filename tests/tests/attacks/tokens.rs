//! Tokens that are forged, of others, over, or used without their key.

use std::process::Command;

use aws_lc_rs::hmac;
use export_tests::{Api, Deployment, LOCAL_TENANT, light, output, programs, python, workspace};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::forge::{Forge, b64, seconds_now};
use crate::rows::{Row, UNAUTHENTICATED, assert_refused};

const RUNS: &str = "/api/export/runs";
/// The answer where there are none.
const EMPTY: &str = "{\"runs\":[],\"nextCursor\":null}";

/// A request with any token, and a proof that is good for it.
fn with_token(api: &Api, token: &str) -> RequestBuilder {
    let proof = api.key().proof("GET", &api.address(RUNS), Some(token), None).unwrap();
    api.anonymous(Method::GET, RUNS).header("authorization", format!("DPoP {token}")).header("dpop", proof)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_but_a_good_one_with_its_key_is_taken() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    let forge = Forge::of(&deployment, &api).await;
    // The forge can make good ones: whatever is refused below is refused for what is wrong with it.
    let good = forge.claims(&json!({}));
    assert_eq!(with_token(&api, &good).send().await.unwrap().status(), 200);
    let mut rows = forged(&api, &forge, &Forge::stranger(&api).await);
    rows.extend(without_the_key(&api, &good));
    rows.extend(of_others(&deployment, &api).await);
    assert_refused(rows).await;
    nothing_secret_is_logged(&deployment, &[api.token(), &good]);
}

/// Neither what was sent nor what it was made with is in a log.
fn nothing_secret_is_logged(deployment: &Deployment, tokens: &[&str]) {
    let credentials = std::fs::read(deployment.data().join("credentials.json")).unwrap();
    let credentials: Value = serde_json::from_slice(&credentials).unwrap();
    let log = std::fs::read_to_string(deployment.folder().join("logs/all")).unwrap();
    assert!(log.contains("request refused"));
    let signatures = tokens.iter().map(|token| token.rsplit('.').next().unwrap());
    for secret in signatures.chain([credentials["clientSecret"].as_str().unwrap()]) {
        assert!(!log.contains(secret), "{secret}");
    }
}

fn forged(api: &Api, forge: &Forge, stranger: &Forge) -> Vec<Row> {
    let now = seconds_now();
    let none = format!("{}.{}.", b64(json!({ "alg": "none" }).to_string()), b64(forge.claims.to_string()));
    let hmac = |secret: &str| {
        let header = json!({ "alg": "HS256", "typ": "JWT", "kid": forge.header["kid"] });
        let message = format!("{}.{}", b64(header.to_string()), b64(forge.claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
        format!("{message}.{}", b64(tag))
    };
    let key = &forge.keys["keys"][0];
    let of_header = |changes: Value| forge.header(&changes);
    let of_claims = |changes: Value| forge.claims(&changes);
    [
        ("alg none", none, "none of ES256"),
        ("HMAC with the public key", hmac(&key.to_string()), "none of ES256"),
        ("HMAC with its coordinate", hmac(key["x"].as_str().unwrap()), "none of ES256"),
        ("a stranger's signature", stranger.header(&json!({})), "signature does not verify"),
        ("a key in the header", stranger.header(&json!({ "jwk": api.key().jwk() })), "signature does not verify"),
        (
            "a key behind an address",
            stranger.header(&json!({ "jku": api.address("/jwks") })),
            "signature does not verify",
        ),
        ("kid as a path", of_header(json!({ "kid": "../../etc/passwd" })), "does not list"),
        ("kid as a device", of_header(json!({ "kid": "/dev/null" })), "does not list"),
        ("kid as SQL", of_header(json!({ "kid": "x' UNION SELECT 'key" })), "does not list"),
        ("kid as an operator", of_header(json!({ "kid": { "$gt": "" } })), "header cannot be read"),
        ("no kid", of_header(json!({ "kid": null })), "does not list"),
        ("critical header", of_header(json!({ "crit": ["exp"] })), "critical"),
        ("a proof as token", of_header(json!({ "typ": "dpop+jwt" })), "`typ`"),
        ("another issuer", of_claims(json!({ "iss": "https://evil.test" })), "another issuer"),
        ("another audience", of_claims(json!({ "aud": "other" })), "another audience"),
        ("a token for pulling", of_claims(json!({ "aud": "export-center-registry" })), "another audience"),
        ("expired", of_claims(json!({ "exp": now - 61 })), "expired"),
        ("not yet valid", of_claims(json!({ "nbf": now + 120 })), "not valid yet"),
        ("without an end", of_claims(json!({ "exp": null })), "claims cannot be read"),
        ("no tenant", of_claims(json!({ "tenant": null })), "no tenant"),
        ("tenant as an operator", of_claims(json!({ "tenant": { "$ne": null } })), "no tenant"),
        ("bound to no key", of_claims(json!({ "cnf": null })), "bound to no key"),
        ("bound to a certificate", of_claims(json!({ "cnf": { "x5t#S256": "x" } })), "bound to no key"),
        ("bound to another key", of_claims(json!({ "cnf": { "jkt": b64([7; 32]) } })), "another key"),
        ("bound to nothing", of_claims(json!({ "cnf": { "jkt": "" } })), "another key"),
        ("garbage", "garbage".to_owned(), "three parts"),
        ("9 KiB", "a".repeat(9 << 10), "too long"),
    ]
    .into_iter()
    .map(|(name, token, says)| Row::new(name, with_token(api, &token), UNAUTHENTICATED, says))
    .collect()
}

/// A good token in the wrong hands.
fn without_the_key(api: &Api, good: &str) -> Vec<Row> {
    let proof = || api.key().proof("GET", &api.address(RUNS), Some(good), None).unwrap();
    let bare = || api.anonymous(Method::GET, RUNS);
    let dpop = format!("DPoP {good}");
    [
        ("nothing at all", bare(), "send a token"),
        ("bearer instead of DPoP", bare().bearer_auth(good), "a bearer token is not taken"),
        ("bearer with a proof", bare().bearer_auth(good).header("dpop", proof()), "a bearer token is not taken"),
        ("no proof", bare().header("authorization", &dpop), "send a proof"),
        ("token in the query", api.anonymous(Method::GET, &format!("{RUNS}?access_token={good}")), "send a token"),
        (
            "two tokens",
            bare().header("authorization", &dpop).header("authorization", "DPoP x").header("dpop", proof()),
            "send one header",
        ),
        ("basic", bare().basic_auth("local", Some("secret")).header("dpop", proof()), "not of the form"),
        (
            "no token behind the scheme",
            bare().header("authorization", "DPoP").header("dpop", proof()),
            "not of the form",
        ),
    ]
    .into_iter()
    .map(|(name, request, says)| Row::new(name, request, UNAUTHENTICATED, says))
    .collect()
}

/// Callers that are who they say and want more.
async fn of_others(deployment: &Deployment, api: &Api) -> Vec<Row> {
    let reader = deployment.put_client("reader", LOCAL_TENANT, &["export:read"]).unwrap();
    let reader = Api::login(&reader).await.unwrap();
    let rival = Api::login(&deployment.put_client("rival", "rival", &[]).unwrap()).await.unwrap();
    let scope = (403, "ERR_EXPORT_SCOPE_MISSING");
    let mismatch = (403, "ERR_EXPORT_TENANT_MISMATCH");
    let disguised = |tenant: &str| rival.request(Method::GET, RUNS).header("x-stella-tenant", tenant);
    // The token of one with the proof of another.
    let mixed = rival
        .anonymous(Method::GET, RUNS)
        .header("authorization", format!("DPoP {}", api.token()))
        .header("dpop", rival.key().proof("GET", &rival.address(RUNS), Some(api.token()), None).unwrap());
    vec![
        Row::new("a stolen token with one's own key", mixed, UNAUTHENTICATED, "another key"),
        Row::new("no scope", reader.request(Method::POST, RUNS).json(&json!({})), scope, "`export:run`"),
        Row::new("another tenant", disguised(LOCAL_TENANT), mismatch, "does not speak for"),
        Row::new("a tenant as an operator", disguised("{\"$ne\":\"rival\"}"), mismatch, "does not speak for"),
        Row::new("every tenant", disguised("*"), mismatch, "does not speak for"),
        Row::new("tenant in other case", disguised("RIVAL"), mismatch, "does not speak for"),
    ]
}

/// What the documentation tells people to type, word for word.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_by_hand_as_documented_and_curl_with_our_headers_are_served() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let data = deployment.data();
    let page = std::fs::read_to_string(workspace().join("docs/authority.md")).unwrap();
    let script = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let said = output(python().args(["-c", script]).current_dir(&data)).unwrap();
    assert_eq!(said.trim(), "{'runs': [], 'nextCursor': None}");

    let exportctl = &programs().unwrap().exportctl;
    let api = |arguments: &[&str]| {
        let mut command = Command::new(exportctl);
        output(command.arg("--credentials").arg(data.join("credentials.json")).arg("api").args(arguments))
    };
    let profile = json!({ "id": "mine", "name": "Mine", "kind": "json:raw" }).to_string();
    let made: Value =
        serde_json::from_str(&api(&["POST", "/api/export/profiles", "--data", &profile]).unwrap()).unwrap();
    assert_eq!(made["id"], "mine");
    let listed = api(&["GET", "/api/export/runs?limit=5", "-H", "accept: application/json"]).unwrap();
    assert_eq!(listed, EMPTY);
    assert!(api(&["GET", "/api/export/runs/none"]).unwrap_err().to_string().contains("ERR_EXPORT_RUN_NOT_FOUND"));
    assert!(api(&["GET", "api/export/runs"]).is_err());

    let headers = deployment.folder().join("headers");
    std::fs::write(&headers, api(&["GET", RUNS, "--print-headers"]).unwrap()).unwrap();
    let curl = || {
        let mut command = Command::new("curl");
        command.args(["-sS", "-H"]).arg(format!("@{}", headers.display()));
        output(command.arg(format!("{}{RUNS}?limit=5", deployment.server()))).unwrap()
    };
    assert_eq!(curl(), EMPTY);
    assert!(curl().contains("used before"), "the headers are good once");
}
