//! A gateway whose tokens come from an authority elsewhere.

use std::time::Duration;

use export_client::ProofKey;
use export_targets::liar::{Liar, Lie};
use export_tests::{Deployment, Setup, light};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::forge::{Forge, with};
use crate::rows::{Row, UNAUTHENTICATED, assert_refused};

const RUNS: &str = "/api/export/runs";
const ISSUER: &str = "https://authority.test";

struct Caller<'a> {
    server: &'a str,
    key: &'a ProofKey,
    http: Client,
}

impl Caller<'_> {
    fn read(&self, token: &str) -> RequestBuilder {
        let address = format!("{}{RUNS}", self.server);
        let proof = self.key.proof("GET", &address, Some(token), None).unwrap();
        self.http.get(address).header("authorization", format!("DPoP {token}")).header("dpop", proof)
    }

    async fn status(&self, token: &str) -> StatusCode {
        self.read(token).send().await.unwrap().status()
    }
}

fn publish(peer: &Liar, keys: &Value) {
    peer.be_honest();
    let headers = vec![("cache-control".to_owned(), "max-age=60".to_owned())];
    let body = keys.to_string().into_bytes();
    peer.lie("GET", "/keys", 1_000, Lie::Answer { status: 200, headers, body });
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_authority_elsewhere_are_taken_while_it_rotates_and_is_out() {
    let _turn = light().await;
    let peer = Liar::alone().await;
    let key = ProofKey::generate().unwrap();
    let first = Forge::elsewhere("first", ISSUER, &key);
    publish(&peer, &first.keys);
    let settings = format!(
        "[authority]\nissuer = \"{ISSUER}\"\naudience = \"exports\"\ntenant_claim = \"org\"\njwks_url = \"http://{}/keys\"\n",
        peer.address()
    );
    let deployment = Deployment::start_with(Setup::together(), "", &settings).await.unwrap();
    let caller = Caller { server: deployment.server(), key: &key, http: Client::new() };
    let ours = json!({ "aud": ["other", "exports"], "org": "acme", "tenant": null });
    let token = first.claims(&ours);
    assert_eq!(caller.status(&token).await, 200);

    // There is no local authority, and no client of one.
    let http = &caller.http;
    for path in ["/authority/token", "/authority/jwks.json", "/v2/token"] {
        let address = format!("{}{path}", deployment.server());
        let request = if path == "/authority/token" { http.post(address) } else { http.get(address) };
        assert_eq!(request.send().await.unwrap().status(), 404, "{path}");
    }
    assert!(!deployment.data().join("authority").exists() && !deployment.data().join("credentials.json").exists());
    assert!(deployment.exportd(&["client", "put", "x", "--tenant", "t", "--server", "s", "--out", "x"]).is_err());

    // Scanners bring a token that is bound to no key to the registry, and only there.
    let loose = first.claims(&json!({ "aud": "exports", "org": "acme", "cnf": null }));
    let registry = format!("{}/v2/", deployment.server());
    assert_eq!(http.get(&registry).bearer_auth(&loose).send().await.unwrap().status(), 200);
    assert_eq!(http.get(&registry).bearer_auth(&token).send().await.unwrap().status(), 401);
    assert_refused(vec![
        Row::new("bound to no key", caller.read(&loose), UNAUTHENTICATED, "bound to no key"),
        Row::new(
            "of the wrong claim",
            caller.read(&first.claims(&with(&ours, &json!({ "org": null, "tenant": "acme" })))),
            UNAUTHENTICATED,
            "no tenant",
        ),
        Row::new(
            "for another audience",
            caller.read(&first.claims(&json!({ "org": "acme" }))),
            UNAUTHENTICATED,
            "another audience",
        ),
    ])
    .await;

    // A flood of forged key ids is one question at most, and a new key is found once it may be asked for.
    let asked = peer.heard().len();
    for number in 0..30 {
        let forged = first.sign(&with(&first.header, &json!({ "kid": format!("forged-{number}") })), &first.claims);
        assert_eq!(caller.status(&forged).await, 401);
    }
    assert!(peer.heard().len() <= asked + 1, "{} questions", peer.heard().len());
    let second = Forge::elsewhere("second", ISSUER, &key);
    publish(&peer, &json!({ "keys": [first.keys["keys"][0], second.keys["keys"][0]] }));
    let new = second.claims(&ours);
    while caller.status(&new).await != 200 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(caller.status(&token).await, 200);

    // Out: what is known goes on.
    peer.be_honest();
    peer.lie("GET", "/keys", 1_000, Lie::Silence);
    assert_eq!(caller.status(&token).await, 200);
    assert_eq!(caller.status(&new).await, 200);
}
