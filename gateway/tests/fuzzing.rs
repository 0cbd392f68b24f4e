//! The fuzz targets without a fuzzer: their corpus, and changes of it that are the same every time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "how much is tried is a setting of the tests")]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use export_gateway::fuzzing::TARGETS;

/// Changes of each seed; with `EXPORT_TESTS_SOAK` a hundred times as many.
const ROUNDS: usize = 1_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
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

const WORDS: [&[u8]; 12] = [
    b"null",
    b"-1",
    b"4294967296",
    b"3.0",
    b"1e400",
    b"\"*\"",
    b"{}",
    b"[]",
    b"bytes=",
    b"18446744073709551615",
    b"\"encryption\":{\"mode\":\"age\"},",
    b"\"last\":\"7d\"",
];

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
