//! Proofs that are stolen, repeated, for something else, or of the wrong make.

use std::time::Duration;

use export_authority::LinkKey;
use export_contract::Timestamp;
use export_tests::{Api, Deployment, Setup, Store, light};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::forge::{ath, b64, seconds_now, with};
use crate::rows::{Row, UNAUTHENTICATED, assert_refused};

const RUNS: &str = "/api/export/runs";

fn header(api: &Api) -> Value {
    json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": api.key().jwk() })
}

fn claims(api: &Api, id: &str) -> Value {
    json!({ "jti": id, "htm": "GET", "htu": api.address(RUNS), "iat": seconds_now(), "ath": ath(api.token()) })
}

/// A request with the token and any proof.
fn with_proof(api: &Api, proof: &str) -> RequestBuilder {
    let request = api.anonymous(Method::GET, RUNS).header("authorization", format!("DPoP {}", api.token()));
    request.header("dpop", proof)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proof_but_a_good_one_is_taken() {
    let _turn = light().await;
    let deployment = Deployment::all().await.unwrap();
    let api = deployment.api().await.unwrap();
    let good = api.key().sign(&header(&api), &claims(&api, "good")).unwrap();
    assert_eq!(with_proof(&api, &good).send().await.unwrap().status(), 200);
    let of_header = |changes: Value| api.key().sign(&with(&header(&api), &changes), &claims(&api, "x")).unwrap();
    let of_claims =
        |id: &str, changes: Value| api.key().sign(&header(&api), &with(&claims(&api, id), &changes)).unwrap();
    let now = seconds_now();
    let private = with(api.key().jwk(), &json!({ "d": b64([1; 32]) }));
    let mut rows: Vec<Row> = [
        ("the same once more", good.clone(), "used before"),
        ("the same id anew", of_claims("good", json!({ "more": 1 })), "used before"),
        ("for another method", of_claims("a", json!({ "htm": "POST" })), "`htm` must be `GET`"),
        ("for another path", of_claims("b", json!({ "htu": api.address("/api/export/profiles") })), "`htu`"),
        ("for another host", of_claims("c", json!({ "htu": format!("https://evil.test{RUNS}") })), "`htu`"),
        ("for another scheme", of_claims("d", json!({ "htu": api.address(RUNS).replace("http:", "https:") })), "`htu`"),
        ("for another token", of_claims("e", json!({ "ath": ath("another") })), "`ath`"),
        ("for no token", of_claims("f", json!({ "ath": null })), "`ath`"),
        ("old", of_claims("g", json!({ "iat": now - 90 })), "`iat`"),
        ("of tomorrow", of_claims("h", json!({ "iat": now + 86_400 })), "`iat`"),
        ("without an id", of_claims("i", json!({ "jti": null })), "claims cannot be read"),
        ("with a long id", of_claims("j", json!({ "jti": "j".repeat(129) })), "`jti`"),
        ("with a nonce of nobody", of_claims("k", json!({ "nonce": b64([7; 32]) })), "DPoP-Nonce"),
        ("with a private key", of_header(json!({ "jwk": private })), "private key"),
        ("with a symmetric key", of_header(json!({ "jwk": { "kty": "oct", "k": "AA" } })), "private key"),
        ("with no key", of_header(json!({ "jwk": null })), "no `jwk`"),
        ("with alg none", of_header(json!({ "alg": "none" })), "none of ES256"),
        ("with HMAC", of_header(json!({ "alg": "HS256" })), "none of ES256"),
        ("with another type", of_header(json!({ "typ": "JWT" })), "`typ`"),
        ("the token as proof", api.token().to_owned(), "`typ`"),
        ("garbage", "x".to_owned(), "three parts"),
        ("empty", String::new(), "three parts"),
        ("9 KiB", "a".repeat(9 << 10), "too long"),
    ]
    .into_iter()
    .map(|(name, proof, says)| Row::new(name, with_proof(&api, &proof), UNAUTHENTICATED, says))
    .collect();
    let two = with_proof(&api, &api.proof(&Method::GET, RUNS)).header("dpop", api.proof(&Method::GET, RUNS));
    rows.push(Row::new("two proofs", two, UNAUTHENTICATED, "send one proof"));
    let one_for_two = format!("{0},{0}", api.proof(&Method::GET, RUNS));
    rows.push(Row::new("two in one header", with_proof(&api, &one_for_two), UNAUTHENTICATED, "three parts"));
    assert_refused(rows).await;
    at_the_token_endpoint(&api).await;
}

/// Tokens are bound to the key of a proof; without a good one there is none.
async fn at_the_token_endpoint(api: &Api) {
    let ask = |proof: Option<String>| {
        let request = api.anonymous(Method::POST, "/authority/token").body("grant_type=client_credentials");
        proof.into_iter().fold(request, |request, proof| request.header("dpop", proof)).send()
    };
    let address = api.address("/authority/token");
    let proof = api.key().proof("POST", &address, None, None).unwrap();
    let elsewhere = api.key().proof("POST", "https://evil.test/authority/token", None, None).unwrap();
    for (name, proof, status, error) in [
        ("no proof", None, 400, "invalid_dpop_proof"),
        ("for another address", Some(elsewhere), 400, "invalid_dpop_proof"),
        ("a good one, and no client", Some(proof.clone()), 401, "invalid_client"),
        ("the same once more", Some(proof), 400, "invalid_dpop_proof"),
    ] {
        let answer = ask(proof).await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
        assert_eq!(answer.json::<Value>().await.unwrap()["error"], error, "{name}");
    }
}

/// Whoever reads a request at one gateway repeats it at another.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_one_gateway_took_is_taken_by_no_other() {
    let _turn = light().await;
    let mut deployment = Deployment::apart(Store::Sqlite, 1).await.unwrap();
    let api = deployment.api().await.unwrap();
    let other = api.at(&deployment.another_gateway().await.unwrap());
    // Token and keys are good at both.
    assert_eq!(other.get(RUNS).await.unwrap().status(), 200);
    let host = deployment.server().trim_start_matches("http://").to_owned();
    let (first, second) = (api.proof(&Method::GET, RUNS), api.proof(&Method::GET, RUNS));
    let at_other = |proof: &str| with_proof(&other, proof).header("host", &host);
    assert_eq!(with_proof(&api, &first).send().await.unwrap().status(), 200);
    assert_eq!(at_other(&second).send().await.unwrap().status(), 200);
    assert_refused(vec![
        Row::new("at the other gateway", at_other(&first), UNAUTHENTICATED, "used before"),
        Row::new("back at the first", with_proof(&api, &second), UNAUTHENTICATED, "used before"),
        Row::new(
            "under the other's name",
            with_proof(&other, &api.proof(&Method::GET, RUNS)),
            UNAUTHENTICATED,
            "`htu`",
        ),
    ])
    .await;

    // Of many at once, at both gateways, one is served.
    let proof = api.proof(&Method::GET, RUNS);
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..20 {
        let request = if number % 2 == 0 { with_proof(&api, &proof) } else { at_other(&proof) };
        sent.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let answers = sent.join_all().await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 19, "{answers:?}");
    without_the_broker(&mut deployment, &api).await;
}

/// A broker that forgot is no way to use a proof again, and none that is away.
async fn without_the_broker(deployment: &mut Deployment, api: &Api) {
    let used = api.proof(&Method::GET, RUNS);
    assert_eq!(with_proof(api, &used).send().await.unwrap().status(), 200);
    deployment.kill_and_restart_broker(true).await.unwrap();
    while api.get(RUNS).await.unwrap().status() != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let unavailable = (503, "ERR_EXPORT_UNAVAILABLE");
    assert_refused(vec![Row::new("after the broker forgot", with_proof(api, &used), unavailable, "new one")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_are_asked_for_followed_by_clients_and_refused_when_stale() {
    let _turn = light().await;
    let setup = Setup::together();
    let deployment = Deployment::start_with(setup, "", "[authority]\nrequire_nonce = true\n").await.unwrap();
    deployment.generate("demo", 1, 50).unwrap();
    // The typed client fetches its first nonces by itself, for a run from beginning to end.
    deployment.run("json-raw").await.unwrap();
    let api = deployment.api().await.unwrap();
    assert_eq!(api.get(RUNS).await.unwrap().status(), 200);

    let with_nonce = |id: &str, nonce: Value| {
        let proof = api.key().sign(&header(&api), &with(&claims(&api, id), &json!({ "nonce": nonce }))).unwrap();
        with_proof(&api, &proof)
    };
    let key = LinkKey::open(&deployment.data().join("keys/links.key")).unwrap().nonce_key();
    let ago = |seconds: i64| key.nonce(Timestamp::from_micros((seconds_now() - seconds) * 1_000_000).unwrap());
    assert_eq!(with_nonce("ours", json!(ago(0))).send().await.unwrap().status(), 200);
    let asked = with_nonce("none", Value::Null).send().await.unwrap();
    assert_eq!(asked.headers()["www-authenticate"], "DPoP error=\"use_dpop_nonce\", algs=\"ES256 EdDSA RS256\"");
    let nonce = asked.headers()["dpop-nonce"].to_str().unwrap().to_owned();
    let answer = with_nonce("asked", json!(nonce)).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("dpop-nonce")), (200, true));
    assert_refused(vec![
        Row::new("no nonce", with_nonce("a", Value::Null), UNAUTHENTICATED, "DPoP-Nonce"),
        Row::new("a stale nonce", with_nonce("b", json!(ago(900))), UNAUTHENTICATED, "DPoP-Nonce"),
        Row::new("a nonce of tomorrow", with_nonce("c", json!(ago(-86_400))), UNAUTHENTICATED, "DPoP-Nonce"),
        Row::new("a made-up nonce", with_nonce("d", json!("nonce")), UNAUTHENTICATED, "DPoP-Nonce"),
    ])
    .await;
}

/// Two attempts a minute are not enough for anybody whose every nonce is out of date; a wrong token is a guess all the same.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_asked_for_a_nonce_guessed_nothing() {
    let _turn = light().await;
    let sections = "[authority]\nrequire_nonce = true\n[limits]\nfailures_per_second = 1\nfailure_burst = 2\n";
    let deployment = Deployment::start_with(Setup::together(), "", sections).await.unwrap();
    let api = deployment.api().await.unwrap();
    let bare = |number: usize| {
        let proof = api.key().sign(&header(&api), &claims(&api, &format!("n{number}"))).unwrap();
        with_proof(&api, &proof).send()
    };
    let asked = futures::future::join_all((0..40).map(bare)).await;
    assert!(asked.into_iter().all(|answer| answer.unwrap().status() == 401), "nobody is held");
    let wrong = |_| api.anonymous(Method::GET, RUNS).header("authorization", "DPoP not.a.token").send();
    let held = futures::future::join_all((0..40).map(wrong)).await;
    assert!(held.into_iter().any(|answer| answer.unwrap().status() == 429), "whoever guesses is");
}

/// A gateway that knows its own address does not believe `Host`: proofs for a server that lures clients are no good here.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_public_address_proofs_must_be_for_that() {
    let _turn = light().await;
    let deployment =
        Deployment::start_with(Setup::together(), "public_url = \"https://export.test/base/\"", "").await.unwrap();
    let file = deployment.data().join("credentials.json");
    let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let key = export_client::ProofKey::generate().unwrap();
    let http = Client::new();
    let member = |name: &str| file[name].as_str().unwrap();
    let body = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        member("clientId"),
        member("clientSecret")
    );
    let ask = |base: &str| {
        let proof = key.proof("POST", &format!("{base}/authority/token"), None, None).unwrap();
        let request = http.post(format!("{}/authority/token", deployment.server())).header("dpop", proof);
        request.header("content-type", "application/x-www-form-urlencoded").body(body.clone()).send()
    };
    assert_eq!(ask(deployment.server()).await.unwrap().status(), 400);
    let token: Value = ask("https://export.test/base").await.unwrap().json().await.unwrap();
    let token = token["access_token"].as_str().unwrap();
    let read = |base: &str, host: &str| {
        let proof = key.proof("GET", &format!("{base}{RUNS}"), Some(token), None).unwrap();
        let request = http.get(format!("{}{RUNS}", deployment.server())).header("host", host);
        request.header("authorization", format!("DPoP {token}")).header("dpop", proof)
    };
    for host in ["export.test", "whatever.test"] {
        assert_eq!(read("https://export.test/base", host).send().await.unwrap().status(), 200);
    }
    assert_refused(vec![
        Row::new("lured elsewhere", read("http://evil.test", "evil.test"), UNAUTHENTICATED, "`htu`"),
        Row::new("by its own name", read(deployment.server(), "127.0.0.1"), UNAUTHENTICATED, "`htu`"),
    ])
    .await;
}
