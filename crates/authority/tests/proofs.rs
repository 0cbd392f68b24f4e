//! Proofs of possession, each with what the checker says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "made/keys.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod made;

use std::sync::Arc;

use export_authority::suite::conforms;
use export_authority::{MemoryRegister, NonceKey, Proof, ProofChecker, ProofRefused, ProofRegister, Proven};
use made::{NOW, Signer, ath, b64, now, with};
use serde_json::{Value, json};

const TOKEN: &str = "a.token.here";
const ADDRESS: &str = "https://export.example/api/export/runs";

fn proven(bound_to: Option<&str>) -> Proven<'_> {
    Proven { method: "GET", address: ADDRESS, token: Some(TOKEN), bound_to }
}

fn header(signer: &Signer) -> Value {
    json!({ "typ": "dpop+jwt", "alg": signer.algorithm, "jwk": signer.jwk })
}

fn claims() -> Value {
    json!({ "jti": "proof-1", "htm": "GET", "htu": ADDRESS, "iat": NOW, "ath": ath(TOKEN) })
}

fn thumbprint(signer: &Signer) -> String {
    Proof::read(&signer.sign(&header(signer), &claims()), &proven(None), now()).unwrap().thumbprint
}

#[test]
fn the_proof_of_the_rfc_is_good() {
    // RFC 9449 figure 13, with the token of figure 12 and the thumbprint of its `cnf`.
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let address = "https://resource.example.org/protectedresource";
    let bound_to = Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    let made = export_contract::Timestamp::from_micros(1_562_262_618_000_000).unwrap();
    let proven = Proven { method: "GET", address, token: Some(token), bound_to };
    Proof::read(proof, &proven, made).unwrap();
    assert!(matches!(Proof::read(proof, &proven, made.plus_seconds(61)), Err(ProofRefused::Time)));
}

#[test]
fn good_proofs_of_every_algorithm_pass() {
    for signer in [Signer::es256(), Signer::ed25519(), Signer::rs256()] {
        let bound_to = thumbprint(&signer);
        for changes in [
            json!({}),
            json!({ "htu": "HTTPS://EXPORT.example:443/api/export/runs?limit=1#x" }),
            json!({ "htu": "https://export.example/api/export/%72uns" }),
            json!({ "iat": NOW - 60 }),
            json!({ "iat": NOW + 5 }),
            json!({ "iat": 1_799_999_999.75 }),
            json!({ "jti": "j".repeat(128) }),
            json!({ "exp": NOW - 1_000, "more": { "x": [1] } }),
        ] {
            let proof = signer.sign(&header(&signer), &with(&claims(), &changes));
            Proof::read(&proof, &proven(Some(&bound_to)), now()).unwrap_or_else(|error| panic!("{changes}: {error}"));
        }
    }
}

#[test]
fn proofs_that_prove_nothing_are_refused_with_the_reason() {
    let (signer, other) = (Signer::es256(), Signer::es256());
    let (rsa, bound_to) = (Signer::rs256(), thumbprint(&signer));
    let of_header = |changes: Value| signer.sign(&with(&header(&signer), &changes), &claims());
    let of_jwk = |changes: Value| of_header(json!({ "jwk": with(&signer.jwk, &changes) }));
    let of_claims = |changes: Value| signer.sign(&header(&signer), &with(&claims(), &changes));
    let good = of_claims(json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{}.{}.", b64(with(&header(&signer), &json!({ "alg": "none" })).to_string()), b64("{}"));
    let short = with(&rsa.jwk, &json!({ "n": b64([0xff; 128]) }));
    for (name, proof, reason) in [
        ("empty", String::new(), "three parts"),
        ("too long", "a".repeat(9_000), "too long"),
        ("a token", of_header(json!({ "typ": "at+jwt" })), "`typ`"),
        ("no type", of_header(json!({ "typ": null })), "`typ`"),
        ("none", unsigned, "none of ES256"),
        ("HMAC", of_header(json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": "AA" } })), "none of ES256"),
        ("critical", of_header(json!({ "crit": ["b64"] })), "critical"),
        ("no key", of_header(json!({ "jwk": null })), "no `jwk`"),
        ("key by address only", of_header(json!({ "jwk": null, "jku": "https://evil.test" })), "no `jwk`"),
        ("private key", of_jwk(json!({ "d": b64([1; 32]) })), "private key"),
        ("symmetric key", of_header(json!({ "jwk": { "kty": "oct", "k": "AA" } })), "private key"),
        ("another curve", of_jwk(json!({ "crv": "secp256k1" })), "no public key"),
        ("short RSA", of_header(json!({ "alg": "RS256", "jwk": short })), "no public key"),
        ("key for encryption", of_jwk(json!({ "use": "enc" })), "not for verifying"),
        ("another's key", of_header(json!({ "jwk": other.jwk })), "signature"),
        ("key and algorithm do not fit", of_header(json!({ "alg": "RS256" })), "signature"),
        ("point on no curve", of_jwk(json!({ "y": signer.jwk["x"] })), "signature"),
        ("no signature", format!("{message}."), "signature"),
        ("cut", format!("{message}.{}", signature.get(..20).unwrap()), "signature"),
        ("another method", of_claims(json!({ "htm": "POST" })), "`htm` must be `GET`"),
        ("method in lower case", of_claims(json!({ "htm": "get" })), "`htm`"),
        ("no method", of_claims(json!({ "htm": null })), "claims cannot be read"),
        ("another path", of_claims(json!({ "htu": format!("{ADDRESS}/x") })), "`htu` must be"),
        ("a slash more", of_claims(json!({ "htu": format!("{ADDRESS}/") })), "`htu`"),
        ("path in other case", of_claims(json!({ "htu": ADDRESS.replace("api", "API") })), "`htu`"),
        ("another host", of_claims(json!({ "htu": ADDRESS.replace("export.ex", "evil.ex") })), "`htu`"),
        ("another port", of_claims(json!({ "htu": ADDRESS.replace(".example", ".example:444") })), "`htu`"),
        ("without TLS", of_claims(json!({ "htu": ADDRESS.replace("https", "http") })), "`htu`"),
        ("a path only", of_claims(json!({ "htu": "/api/export/runs" })), "`htu`"),
        ("dots", of_claims(json!({ "htu": ADDRESS.replace("/api", "/x/../api") })), "`htu`"),
        ("credentials", of_claims(json!({ "htu": ADDRESS.replace("://", "://u@") })), "`htu`"),
        ("old", of_claims(json!({ "iat": NOW - 61 })), "`iat`"),
        ("ahead", of_claims(json!({ "iat": NOW + 6 })), "`iat`"),
        ("far beyond", of_claims(json!({ "iat": 1e300 })), "`iat`"),
        ("at the end of numbers", of_claims(json!({ "iat": i64::MIN })), "`iat`"),
        ("no time", of_claims(json!({ "iat": null })), "claims cannot be read"),
        ("time as text", of_claims(json!({ "iat": NOW.to_string() })), "claims cannot be read"),
        ("no id", of_claims(json!({ "jti": null })), "claims cannot be read"),
        ("empty id", of_claims(json!({ "jti": "" })), "`jti`"),
        ("long id", of_claims(json!({ "jti": "j".repeat(129) })), "`jti`"),
        ("for another token", of_claims(json!({ "ath": ath("another") })), "`ath`"),
        ("for no token", of_claims(json!({ "ath": null })), "`ath`"),
        ("token's digest in hex", of_claims(json!({ "ath": hex::encode([0; 32]) })), "`ath`"),
        ("key of nobody's token", other.sign(&header(&other), &claims()), "another key"),
    ] {
        let error = Proof::read(&proof, &proven(Some(&bound_to)), now()).expect_err(name);
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
}

fn checker(needs_nonce: bool) -> ProofChecker {
    ProofChecker::new(NonceKey::new(&[7; 32]), needs_nonce, Arc::new(MemoryRegister::new(100)))
}

#[tokio::test]
async fn a_proof_is_used_once_and_comes_alone() {
    let (signer, other) = (Signer::es256(), Signer::es256());
    let checker = checker(false);
    let proof = signer.sign(&header(&signer), &claims());
    let check = async |proofs: &[&str]| checker.check(proofs, &proven(None), now()).await;
    assert!(matches!(check(&[]).await, Err(ProofRefused::Missing)));
    assert!(matches!(check(&[&proof, &proof]).await, Err(ProofRefused::Several)));
    assert_eq!(check(&[&proof]).await.unwrap(), thumbprint(&signer));
    assert!(matches!(check(&[&proof]).await, Err(ProofRefused::Replayed)));
    // The same id signed anew is the same proof; of another key it is another one.
    let again = signer.sign(&header(&signer), &with(&claims(), &json!({ "iat": NOW - 1 })));
    assert!(matches!(check(&[&again]).await, Err(ProofRefused::Replayed)));
    check(&[&other.sign(&header(&other), &claims())]).await.unwrap();
    // What was refused takes no place.
    let bad = signer.sign(&header(&signer), &with(&claims(), &json!({ "jti": "2", "ath": "x" })));
    assert!(matches!(check(&[&bad]).await, Err(ProofRefused::Token)));
    check(&[&signer.sign(&header(&signer), &with(&claims(), &json!({ "jti": "2" })))]).await.unwrap();
}

#[tokio::test]
async fn a_nonce_is_asked_for_and_a_stale_one_is_refused() {
    let signer = Signer::es256();
    let of =
        |id: &str, nonce: Value| signer.sign(&header(&signer), &with(&claims(), &json!({ "jti": id, "nonce": nonce })));
    let needs = checker(true);
    let check = async |checker: &ProofChecker, proof: String| checker.check(&[&proof], &proven(None), now()).await;
    assert!(matches!(check(&needs, of("1", Value::Null)).await, Err(ProofRefused::Nonce)));
    let nonce = needs.nonce_to_offer(now()).unwrap();
    check(&needs, of("1", json!(nonce))).await.unwrap();
    let stale = needs.nonce(now().plus_seconds(-601));
    let foreign = NonceKey::new(&[8; 32]).nonce(now());
    // Where none is asked for, a wrong one is wrong all the same.
    let free = checker(false);
    assert_eq!(free.nonce_to_offer(now()), None);
    for (id, checker) in [("2", &needs), ("3", &free)] {
        for nonce in [json!(stale), json!(foreign), json!(""), json!("x")] {
            assert!(matches!(check(checker, of(id, nonce)).await, Err(ProofRefused::Nonce)));
        }
    }
    check(&free, of("4", Value::Null)).await.unwrap();
}

/// A register that cannot tell: nothing passes.
#[tokio::test]
async fn a_proof_that_cannot_be_told_from_a_repeated_one_is_refused() {
    let signer = Signer::es256();
    let checker = ProofChecker::new(NonceKey::new(&[7; 32]), false, Arc::new(MemoryRegister::new(0)));
    let proof = signer.sign(&header(&signer), &claims());
    let checked = checker.check(&[&proof], &proven(None), now()).await;
    assert!(matches!(checked, Err(ProofRefused::Unavailable(_))), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_register_in_memory_keeps_the_promises_of_a_register() {
    let register: Arc<dyn ProofRegister> = Arc::new(MemoryRegister::new(1_000));
    conforms(async || Arc::clone(&register)).await;
}
