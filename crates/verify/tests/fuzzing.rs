//! The fuzz targets without a fuzzer: their corpus, and changes of it that are the same every time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "how much is tried is a setting of the tests")]

#[path = "offline/made.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod made;
#[path = "offline/packed.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod packed;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use export_canon::tar::header_bytes;
use export_verify::fuzzing::TARGETS;
use made::{Made, compressed};
use packed::{Layout, ORDER, delivery, ended, member};

/// Changes of each seed; with `EXPORT_TESTS_SOAK` a hundred times as many.
const ROUNDS: usize = 4_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// The seeds of a target, in the order of their names.
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

const WORDS: [&[u8]; 18] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x28\xb5\x2f\xfd",
    b"\x5e\x2a\x4d\x18",
    b"\x50\x2a\x4d\x18",
    b"\x80\0\0\0\0\0\0\0",
    b"ustar\x0000",
    b"../",
    b"18 path=../../etc/x\n",
    b"[[[[[[[[",
    b"{\"a\":{\"a\":",
    b"null",
    b"-1",
    b"1e999",
    b"\\ud800",
    b"\"\"",
    b"\xc3\x28",
    b"77777777777",
];

/// One to four changes; headers of tars get their checksum put right half of the time, or nothing would get past it.
fn change(seed: &[u8], other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len() + 1).min(bytes.len());
        let end = (at + 1 + numbers.below(24)).min(bytes.len());
        match numbers.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
            2 => _ = bytes.drain(at..end),
            3 => _ = bytes.splice(at..at, bytes[at..end].to_vec()),
            4 => _ = bytes.splice(at..end, WORDS[numbers.below(WORDS.len())].iter().copied()),
            5 => bytes.truncate(at),
            _ => {
                let from = numbers.below(other.len());
                let to = (from + numbers.below(64)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    if numbers.below(2) == 0 {
        for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    bytes
}

#[test]
fn every_target_takes_its_corpus_and_changes_of_it() {
    let rounds = if std::env::var_os("EXPORT_TESTS_SOAK").is_some() { ROUNDS * 100 } else { ROUNDS };
    for (name, target) in TARGETS {
        let seeds: Vec<(String, Vec<u8>)> = seeds(name).into_iter().collect();
        assert!(seeds.len() > 1, "{name} has no corpus");
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

/// The corpus holds what the targets are for: a good input each, which the parsers take whole.
#[test]
fn the_corpus_holds_what_is_good() {
    for (name, _) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.contains_key("good"), "{name} has no good seed");
        assert!(seeds.values().map(Vec::len).sum::<usize>() < 64 << 10, "the corpus of {name} is large");
    }
    export_verify::PublicKey::from_pem(std::str::from_utf8(&seeds("public_key")["good"]).unwrap()).unwrap();
}

/// Writes the seeds. Run it when a format changes:
/// `EXPORT_TESTS_WRITE_CORPUS=1 cargo test -p export-verify --test fuzzing -- --ignored seeds_are_written`.
#[test]
#[ignore = "writes fuzz/corpus"]
fn seeds_are_written() {
    if std::env::var_os("EXPORT_TESTS_WRITE_CORPUS").is_none() {
        return;
    }
    let made = Made::good();
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus().join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    };
    let long = format!("{}/name", "folder".repeat(20));
    put("tar", "good", &made.0["bundle.tar"]);
    put("tar", "extended", &[header_bytes(&long, 1).unwrap(), b"x".to_vec(), vec![0; 511], vec![0; 1024]].concat());
    put("tar", "link", &ended(&[packed::header("z", 0, b'2')]));
    let packed = delivery(&made, &ORDER);
    put("delivery", "good", &packed);
    put(
        "delivery",
        "folders",
        &ended(&[packed::header("./", 0, b'5'), packed::header("./d/", 0, b'5'), member("./d/x", b"x")]),
    );
    put("bundle", "good", &packed);
    put("bundle", "without_files", &delivery(&Made::of(&[]), &ORDER));
    put("frames", "good", &compressed(&["one\n", "two\n", ""]));
    put("frames", "single", &compressed(&["one\n"]));
    put("frames", "text", b"{}\n");
    let table = compressed(&["one\n", "two\n"]);
    put("seek_table", "good", &table[table.len() - 33..]);
    put("seek_table", "of_none", &[0x5e, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0xb1, 0xea, 0x92, 0x8f]);
    put("manifest", "good", &made.0["export.json"]);
    let delta = "\"delta\":{\"added\":[\"a\"],\"baseExportId\":\"\",\"baseManifestDigest\":\"sha256:";
    let delta = format!("{delta}{}\",\"removed\":[\"b\"],\"tombstones\":1}},\"distribution\"", "0".repeat(64));
    let text = String::from_utf8(made.0["export.json"].clone()).unwrap();
    put(
        "manifest",
        "delta",
        text.replacen("\"distribution\"", &delta, 1).replace("\"variant\":\"raw\"", "\"variant\":\"delta\"").as_bytes(),
    );
    put("sigstore_bundle", "good", &made.0["export.json.sigstore.json"]);
    put("sigstore_bundle", "envelope", &made.0["provenance.sigstore.json"]);
    put("statement", "good", &made.0["provenance.json"]);
    let envelope = serde_json::from_slice::<serde_json::Value>(&made.0["provenance.sigstore.json"]).unwrap();
    put("statement", "envelope", envelope["dsseEnvelope"].to_string().as_bytes());
    let refresh = made::refresh(&made.0["export.json"], &made.0["bundle.tar"]);
    put("refresh", "good", &export_canon::jcs::to_vec(&refresh).unwrap());
    put("refresh", "provenance", &made.0["provenance.json"]);
    put("public_key", "good", &made.0["cosign.pub"]);
    put("public_key", "ed25519", b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n");
    let signature = std::str::from_utf8(&made.0["export.json.sig"]).unwrap();
    put("signature", "good", &export_signing::bundle::from_base64(signature).unwrap());
    put("signature", "ones", &[0x30, 6, 2, 1, 1, 2, 1, 1]);
    let layout = Layout::of(&made, true);
    put("layout", "good", &layout.files["index.json"]);
    let manifest =
        layout.files.iter().find(|(_, bytes)| bytes.windows(8).any(|window| window == b"\"layers\"")).unwrap();
    put("layout", "manifest", manifest.1);
}
