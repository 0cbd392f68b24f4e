//! Every document of the real evidence keeps its meaning and its literals, as Python's `json` reads them.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use export_canon::CanonError;
use export_canon::json::{Canonicalizer, Limits};
use export_canon::jsonl::LineReader;
use export_canon::zst::BoundedDecoder;

use crate::python;

/// Reads pairs of lines, the original and ours. Numbers become their text, marked so that `1` and `"1"` differ; members of
/// ours must be sorted by code point, which is how Python compares strings. Of members with equal names it takes the last.
const SCRIPT: &str = r#"
import json, sys
def number(text): return ("number", text)
def in_order(pairs):
    keys = [key for key, _ in pairs]
    assert all(a <= b for a, b in zip(keys, keys[1:])), keys
    return dict(pairs)
strict = dict(parse_float=number, parse_int=number)
doubled = False
def noting_doubles(pairs):
    global doubled
    members = dict(pairs)
    doubled = doubled or len(members) != len(pairs)
    return members
original_of = json.JSONDecoder(object_pairs_hook=noting_doubles, **strict).decode
canonical_of = json.JSONDecoder(object_pairs_hook=in_order, **strict).decode
lines = sys.stdin.buffer
count = doubles = 0
while True:
    original, canonical = lines.readline(), lines.readline()
    if not original: break
    doubled = False
    original, canonical = original.decode(), canonical.rstrip(b"\n").decode()
    if original_of(original) != canonical_of(canonical):
        sys.exit(f"document {count} differs: {original[:200]}")
    count += 1
    doubles += doubled
print(count, doubles)
"#;

fn evidence() -> Option<PathBuf> {
    let folder = std::env::var_os("EXPORT_EVIDENCE")
        .map_or_else(|| python::workspace().join("../shared/evidence"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn packs(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            packs(&entry, found);
        } else if entry.ends_with("docs.jsonl.zst") {
            found.push(entry);
        }
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn every_real_document_keeps_its_value_and_its_literals() {
    let Some(folder) = evidence() else {
        eprintln!("skipped: no evidence folder; set EXPORT_EVIDENCE");
        return;
    };
    let mut paths = Vec::new();
    packs(&folder, &mut paths);
    let (mut written, mut doubled, mut largest) = (0_u32, 0_u32, 0);
    let judged = python::run(&[], SCRIPT, &[], |out| {
        let mut canonicalizer = Canonicalizer::new(Limits::default());
        let mut lenient = Canonicalizer::new(Limits::default()).keep_duplicates();
        for path in &paths {
            let plain = BoundedDecoder::new(File::open(path).unwrap(), 4 << 30).unwrap();
            let mut lines = LineReader::new(BufReader::with_capacity(1 << 20, plain), 64 << 20);
            while let Some(line) = lines.next_line().unwrap() {
                let canonical = match canonicalizer.canonicalize(line.bytes) {
                    Ok(canonical) => canonical,
                    Err(CanonError::DuplicateKey { .. }) => {
                        doubled += 1;
                        lenient.canonicalize(line.bytes).unwrap()
                    }
                    Err(error) => panic!("{} line {}: {error}", path.display(), line.number),
                };
                largest = largest.max(line.bytes.len());
                written += 1;
                for part in [line.bytes, b"\n", &canonical, b"\n"] {
                    out.write_all(part).unwrap();
                }
            }
        }
        out.flush().unwrap();
    });
    // Documents, and documents with duplicate keys as Python counts them.
    assert_eq!(judged.trim(), format!("{written} {doubled}"));
    assert!(written > 83_000, "{written} documents");
    assert!(largest > 18_000_000, "the 18 MB document is among them");
}
