//! What fuzzers feed: the readers of tokens and proofs, with what must hold of any input.
//!
//! `fuzz/` calls these under libFuzzer; a test calls the very same on the corpus and on changes of it, without any special toolchain.

#![expect(clippy::missing_panics_doc, reason = "each of them panics when what must hold of any input does not")]

use export_contract::Timestamp;

use crate::dpop::{Proof, Proven, normalised};
use crate::jwk::VerifyingKey;
use crate::jws::Jws;
use crate::keys::FixedKeys;

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// The targets by name; `fuzz/corpus` has a folder of that name for each.
pub const TARGETS: [(&str, Target); 2] = [("jwt", jwt), ("dpop", dpop)];

/// Tokens, keys and key sets: what is read has an allowed algorithm, and a key has one thumbprint.
pub fn jwt(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(jws) = Jws::read(text, 8 << 10) {
        assert!(["ES256", "EdDSA", "RS256"].contains(&jws.algorithm.name()));
        assert_eq!(format!("{}.{}", jws.message, jws.signature), text);
    }
    if let Ok(value) = serde_json::from_slice(bytes) {
        if let Ok(key) = VerifyingKey::from_jwk(&value) {
            assert_eq!(key.thumbprint().len(), 43);
        }
        drop(FixedKeys::of_set(&value));
    }
}

/// Proofs and addresses: nothing but a signed proof for the method passes, and a normal address stays as it is.
pub fn dpop(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(address) = normalised(text) {
        assert_eq!(normalised(&address), Some(address));
    }
    // The time of the corpus, so that changes of it get past the clock.
    let Ok(now) = Timestamp::from_micros(1_800_000_000_000_000) else { return };
    let proven = Proven { method: "GET", address: "https://export.example/api", token: None, bound_to: None };
    if let Ok(proof) = Proof::read(text, &proven, now) {
        assert_eq!(proof.thumbprint.len(), 43);
        let elsewhere = Proven { method: "POST", ..proven };
        assert!(Proof::read(text, &elsewhere, now).is_err());
    }
}
