//! The fuzz targets without a fuzzer: their corpus, and changes of it that are the same every time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "how much is tried is a setting of the tests")]

#[path = "made/keys.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod made;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use export_authority::fuzzing::TARGETS;
use made::{NOW, Signer, claims};
use serde_json::json;

/// Changes of each seed; with `EXPORT_TESTS_SOAK` a hundred times as many.
const ROUNDS: usize = 1_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn seeds(target: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = corpus().join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = files.map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

/// A row of numbers that is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

const WORDS: [&[u8]; 8] =
    [b"\0", b"\xff\xff\xff\xff", b".", b"eyJ", b"\"alg\":\"none\"", b"[[[[[[", b"\"d\":\"AA\",", b"%2f"];

fn change(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len() + 1).min(bytes.len());
        let end = (at + 1 + numbers.below(24)).min(bytes.len());
        match numbers.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 => _ = bytes.drain(at..end),
            2 => _ = bytes.splice(at..at, bytes[at..end].to_vec()),
            3 => _ = bytes.splice(at..end, WORDS[numbers.below(WORDS.len())].iter().copied()),
            4 => bytes.truncate(at),
            _ => {
                let from = numbers.below(other.len());
                let to = (from + numbers.below(64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn every_target_takes_its_corpus_and_changes_of_it() {
    let rounds = if std::env::var_os("EXPORT_TESTS_SOAK").is_some() { ROUNDS * 100 } else { ROUNDS };
    for (name, target) in TARGETS {
        let seeds: Vec<(String, Vec<u8>)> = seeds(name).into_iter().collect();
        assert!(seeds.len() > 1 && seeds.iter().any(|(name, _)| name == "good"), "{name} has no corpus");
        assert!(seeds.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() < 64 << 10, "the corpus of {name} is large");
        let mut numbers = Numbers(7);
        for (file, seed) in &seeds {
            target(seed);
            for round in 0..rounds {
                let other = &seeds[numbers.below(seeds.len())].1;
                let input = change(seed, other, &mut numbers);
                let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
                assert!(outcome.is_ok(), "{name}, change {round} of {file}: {input:?}");
            }
        }
    }
}

/// Writes the seeds. Run it when a format changes:
/// `EXPORT_TESTS_WRITE_CORPUS=1 cargo test -p export-authority --test fuzzing -- --ignored seeds_are_written`.
#[test]
#[ignore = "writes fuzz/corpus"]
fn seeds_are_written() {
    if std::env::var_os("EXPORT_TESTS_WRITE_CORPUS").is_none() {
        return;
    }
    let put = |target: &str, name: &str, text: String| {
        let folder = corpus().join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    };
    let (ec, ed, rsa) = (Signer::es256(), Signer::ed25519(), Signer::rs256());
    put("jwt", "good", ec.sign(&json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k" }), &claims()));
    put("jwt", "critical", ec.sign(&json!({ "alg": "ES256", "crit": ["exp"] }), &claims()));
    put("jwt", "key", rsa.jwk.to_string());
    put(
        "jwt",
        "key_set",
        json!({ "keys": [ec.listed("ec"), ed.listed("ed"), { "kty": "oct", "k": "AA" }] }).to_string(),
    );
    let proof = json!({ "jti": "1", "htm": "GET", "htu": "https://export.example/api", "iat": NOW });
    for (name, signer) in [("good", &ec), ("ed25519", &ed), ("rsa", &rsa)] {
        let header = json!({ "typ": "dpop+jwt", "alg": signer.algorithm, "jwk": signer.jwk });
        put("dpop", name, signer.sign(&header, &proof));
    }
    put("dpop", "address", "HTTPS://Export.Example:443/a%2fb/%7Ec?d#e".to_owned());
}
