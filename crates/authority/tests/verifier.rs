//! Tokens, each with what the verifier says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "made/keys.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod made;

use std::sync::Arc;

use aws_lc_rs::hmac;
use export_authority::{AuthError, Binding, Caller, FixedKeys, Scope, TokenRules, TokenVerifier};
use made::{NOW, Signer, b64, claims, now, with};
use serde_json::{Value, json};

struct World {
    es: Signer,
    ed: Signer,
    rsa: Signer,
    stranger: Signer,
}

impl World {
    fn new() -> Self {
        Self { es: Signer::es256(), ed: Signer::ed25519(), rsa: Signer::rs256(), stranger: Signer::es256() }
    }

    fn verifier(&self) -> TokenVerifier {
        let set = json!({ "keys": [
            self.es.listed("es"), self.ed.listed("ed"), self.rsa.listed("rsa"),
            with(&self.stranger.listed("for-encryption"), &json!({ "use": "enc" })),
            with(&self.stranger.listed("other-algorithm"), &json!({ "alg": "RS256" })),
            { "kty": "oct", "kid": "shared", "k": "c2VjcmV0" },
            self.stranger.jwk,
            "no key at all",
        ]});
        let rules = TokenRules {
            issuer: "https://authority.test".into(),
            audience: "export-center".into(),
            tenant_claim: "tenant".into(),
        };
        TokenVerifier::new(rules, Arc::new(FixedKeys::of_set(&set)))
    }

    async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        self.verifier().verify(token, now()).await
    }
}

fn header() -> Value {
    json!({ "alg": "ES256", "typ": "at+jwt", "kid": "es" })
}

#[tokio::test]
async fn good_tokens_of_every_algorithm_and_form_give_their_caller() {
    let world = World::new();
    for (signer, id) in [(&world.es, "es"), (&world.ed, "ed"), (&world.rsa, "rsa")] {
        let header = json!({ "alg": signer.algorithm, "kid": id });
        for typ in [json!(null), json!("JWT"), json!("jwt"), json!("at+jwt"), json!("application/at+JWT")] {
            let token = signer.sign(&with(&header, &json!({ "typ": typ })), &claims());
            let caller = world.verify(&token).await.unwrap();
            assert_eq!((caller.subject.as_str(), caller.token_id.as_str()), ("ci", "token-1"));
            assert_eq!(caller.scopes.into_iter().collect::<Vec<_>>(), [Scope::Run, Scope::Read]);
            assert_eq!(caller.tenants, ["acme".parse().unwrap()]);
            assert_eq!(caller.binding, Binding::Key("a-thumbprint".into()));
        }
    }
    for (changes, tenants, binding) in [
        (json!({ "aud": ["other", "export-center"] }), vec!["acme"], Binding::Key("a-thumbprint".into())),
        (json!({ "nbf": null, "iat": null, "scope": null }), vec!["acme"], Binding::Key("a-thumbprint".into())),
        (json!({ "exp": NOW - 59, "nbf": NOW + 60 }), vec!["acme"], Binding::Key("a-thumbprint".into())),
        (json!({ "exp": 1_800_000_000.5, "iat": 1_799_999_999.9 }), vec!["acme"], Binding::Key("a-thumbprint".into())),
        (json!({ "cnf": null, "tenants": ["beta", "acme"] }), vec!["acme", "beta"], Binding::None),
        (json!({ "cnf": { "x5t#S256": "x" }, "tenant": ["a", "b"] }), vec!["a", "b"], Binding::Other),
        (json!({ "cnf": "text", "tenant": null, "tenants": ["b"] }), vec!["b"], Binding::Other),
    ] {
        let token = world.es.sign(&header(), &with(&claims(), &changes));
        let caller = world.verify(&token).await.unwrap_or_else(|error| panic!("{changes}: {error}"));
        let names: Vec<&str> = caller.tenants.iter().map(export_contract::TenantId::as_str).collect();
        assert_eq!((names, caller.binding), (tenants, binding), "{changes}");
    }
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused_with_the_reason() {
    let world = World::new();
    let (header, good) = (header(), claims());
    let of_header = |changes: Value| world.es.sign(&with(&header, &changes), &good);
    let of_claims = |changes: Value| world.es.sign(&header, &with(&good, &changes));
    let raw = |header: &str, claims: &str| {
        let message = format!("{}.{}", b64(header), b64(claims));
        let signature = b64(world.es.signature(message.as_bytes()));
        format!("{message}.{signature}")
    };
    // The public key as the secret of an HMAC.
    let confused = |secret: &[u8]| {
        let message = format!("{}.{}", b64(json!({ "alg": "HS256", "kid": "es" }).to_string()), b64(good.to_string()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", b64(tag))
    };
    let token = world.es.sign(&header, &good);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let unsigned = format!("{}.{}.", b64(json!({ "alg": "none" }).to_string()), b64(good.to_string()));
    let duplicate = good.to_string().replacen('{', "{\"iss\":\"https://elsewhere.test\",", 1);
    let deep = format!("{{\"alg\":\"ES256\",\"kid\":\"es\",\"jwk\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000));
    for (name, token, reason) in [
        ("empty", String::new(), "three parts"),
        ("one part", "a".into(), "three parts"),
        ("two parts", "a.b".into(), "three parts"),
        ("four parts", format!("{token}.x"), "three parts"),
        ("too long", "a".repeat(9_000), "too long"),
        ("not base64", "!.!.!".into(), "not base64url"),
        ("padded", format!("{message}.{signature}="), "not base64url"),
        ("blank inside", format!(" {token}"), "not base64url"),
        ("header is no JSON", raw("{", &good.to_string()), "header cannot be read"),
        ("header is a list", raw("[]", &good.to_string()), "header cannot be read"),
        ("header is deep", raw(&deep, &good.to_string()), "header cannot be read"),
        ("two algorithms", raw("{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"es\"}", "{}"), "header cannot be read"),
        ("none", unsigned.clone(), "none of ES256"),
        ("none, signed", format!("{unsigned}{signature}"), "none of ES256"),
        ("None", of_header(json!({ "alg": "None" })), "none of ES256"),
        ("HMAC with the public key", confused(world.es.jwk["x"].as_str().unwrap().as_bytes()), "none of ES256"),
        ("HMAC with the key set", confused(world.es.jwk.to_string().as_bytes()), "none of ES256"),
        ("ES384", of_header(json!({ "alg": "ES384" })), "none of ES256"),
        ("PS256", of_header(json!({ "alg": "PS256" })), "none of ES256"),
        ("critical", of_header(json!({ "crit": ["exp"] })), "critical"),
        ("critical, empty", of_header(json!({ "crit": [] })), "critical"),
        ("a proof", of_header(json!({ "typ": "dpop+jwt" })), "`typ`"),
        ("an id token's type", of_header(json!({ "typ": "secevent+jwt" })), "`typ`"),
        ("no key id", of_header(json!({ "kid": null })), "does not list"),
        ("key id of nobody", of_header(json!({ "kid": "nobody" })), "does not list"),
        ("key id as a path", of_header(json!({ "kid": "../../etc/passwd" })), "does not list"),
        ("key id as SQL", of_header(json!({ "kid": "x' UNION SELECT 'key" })), "does not list"),
        ("long key id", of_header(json!({ "kid": "k".repeat(300) })), "does not list"),
        ("key for encryption", of_header(json!({ "kid": "for-encryption" })), "does not list"),
        ("key for another algorithm", of_header(json!({ "kid": "other-algorithm" })), "does not list"),
        ("symmetric key", of_header(json!({ "kid": "shared" })), "does not list"),
        ("another's key id", of_header(json!({ "kid": "ed" })), "signature"),
        ("another algorithm", of_header(json!({ "alg": "RS256" })), "signature"),
        ("forged", world.stranger.sign(&header, &good), "signature"),
        (
            "key in the header",
            world.stranger.sign(&with(&header, &json!({ "jwk": world.stranger.jwk })), &good),
            "signature",
        ),
        (
            "key behind an address",
            world.stranger.sign(&with(&header, &json!({ "jku": "https://evil.test/jwks.json" })), &good),
            "signature",
        ),
        (
            "certificate in the header",
            world.stranger.sign(&with(&header, &json!({ "x5c": ["MIIB"], "x5u": "https://evil.test" })), &good),
            "signature",
        ),
        ("changed claims", format!("{}.{}.{signature}", b64(header.to_string()), b64("{}")), "signature"),
        ("cut signature", format!("{message}.{}", signature.get(..40).unwrap()), "signature"),
        ("no signature", format!("{message}."), "signature"),
        ("claims are no JSON", raw(&header.to_string(), "{"), "claims cannot be read"),
        ("two issuers", raw(&header.to_string(), &duplicate), "claims cannot be read"),
        ("another issuer", of_claims(json!({ "iss": "https://authority.test/" })), "another issuer"),
        ("no issuer", of_claims(json!({ "iss": null })), "claims cannot be read"),
        ("another audience", of_claims(json!({ "aud": "export-center-registry" })), "another audience"),
        ("other audiences", of_claims(json!({ "aud": ["a", "b"] })), "another audience"),
        ("no audience in the list", of_claims(json!({ "aud": [] })), "another audience"),
        ("no audience", of_claims(json!({ "aud": null })), "claims cannot be read"),
        ("expired", of_claims(json!({ "exp": NOW - 60 })), "expired"),
        ("never expires", of_claims(json!({ "exp": null })), "claims cannot be read"),
        ("expires at a text", of_claims(json!({ "exp": "2999" })), "claims cannot be read"),
        ("expires beyond time", of_claims(json!({ "exp": 1e300 })), "times cannot be read"),
        ("not yet", of_claims(json!({ "nbf": NOW + 61 })), "not valid yet"),
        ("issued tomorrow", of_claims(json!({ "iat": NOW + 86_400 })), "not valid yet"),
        ("no subject", of_claims(json!({ "sub": "" })), "`sub`"),
        ("long subject", of_claims(json!({ "sub": "s".repeat(256) })), "`sub`"),
        ("no id", of_claims(json!({ "jti": null })), "claims cannot be read"),
        ("no tenant", of_claims(json!({ "tenant": null })), "no tenant"),
        ("no tenant in the list", of_claims(json!({ "tenant": [] })), "no tenant"),
        ("tenant as a path", of_claims(json!({ "tenant": "../acme" })), "no tenant"),
        ("tenant as an operator", of_claims(json!({ "tenant": { "$gt": "" } })), "no tenant"),
        ("one bad tenant of two", of_claims(json!({ "tenants": ["beta", "B%"] })), "no tenant"),
    ] {
        let error = world.verify(&token).await.expect_err(name);
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
}

#[tokio::test]
async fn the_tenant_may_stand_in_another_claim() {
    let world = World::new();
    let rules = TokenRules {
        issuer: "https://authority.test".into(),
        audience: "export-center".into(),
        tenant_claim: "urn:org".into(),
    };
    let keys = FixedKeys::of_set(&json!({ "keys": [world.es.listed("es")] }));
    let verifier = TokenVerifier::new(rules, Arc::new(keys));
    let token = world.es.sign(&header(), &with(&claims(), &json!({ "urn:org": "beta" })));
    assert_eq!(verifier.verify(&token, now()).await.unwrap().tenants, ["beta".parse().unwrap()]);
    let token = world.es.sign(&header(), &claims());
    assert!(matches!(verifier.verify(&token, now()).await, Err(AuthError::NoTenant)));
}
