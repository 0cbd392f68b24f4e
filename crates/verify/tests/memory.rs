//! Memory of the verifier does not grow with the bundle. Alone in its process, because the kernel counts by process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use export_canon::digesting::DigestingReader;
use export_canon::jcs;
use export_canon::tar::TarWriter;
use export_canon::zst::{FrameEncoder, seek_table};
use export_contract::Digest;
use export_contract::manifest::{ExportManifest, ManifestContent, PATH};
use export_verify::{Policy, verify};

const SAMPLE: &str = include_str!("../../contract/tests/wire/export_manifest.1.0.json");
const FRAMES: u64 = 128;
const LINES: u64 = 4 << 15;
const BLOB: u64 = 256 << 20;

/// Peak of resident memory in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn digest(reader: impl Read) -> Digest {
    let mut reader = DigestingReader::new(reader);
    io::copy(&mut reader, &mut io::sink()).unwrap();
    Digest::from_bytes(*reader.finish().1.sha256.as_bytes())
}

/// A bundle of one file of 256 MiB and one that decompresses to 512 MiB.
fn write(folder: &Path) {
    let frame: Vec<u8> = (0..LINES).flat_map(|n| format!("{{\"record\":{n:020}}}\n").into_bytes()).collect();
    let mut lines = Vec::new();
    let mut encoder = FrameEncoder::new(1).unwrap();
    let infos: Vec<_> = (0..FRAMES).map(|_| encoder.encode(&frame, &mut lines).unwrap()).collect();
    lines.extend(seek_table(&infos).unwrap());

    let mut manifest: ExportManifest = serde_json::from_str(SAMPLE).unwrap();
    let content = |path: &str, digest, bytes| ManifestContent {
        path: path.to_owned(),
        digest,
        bytes,
        content_type: "application/octet-stream".to_owned(),
        records: None,
        plain_bytes: None,
        frames: None,
    };
    let mut of_lines = content("data/lines.jsonl.zst", digest(lines.as_slice()), lines.len() as u64);
    of_lines.records = Some(FRAMES * LINES);
    of_lines.plain_bytes = Some(FRAMES * frame.len() as u64);
    of_lines.frames = Some(FRAMES);
    manifest.contents = vec![content("data/blob", digest(io::repeat(7).take(BLOB)), BLOB), of_lines];
    let mut digests: Vec<&str> = manifest.contents.iter().map(|content| content.digest.as_str()).collect();
    digests.sort_unstable();
    manifest.rerun_hash = digest(digests.join("\n").as_bytes());
    let export_json = jcs::to_vec(&manifest).unwrap();

    let mut tar = TarWriter::new(BufWriter::new(File::create(folder.join("bundle.tar")).unwrap()));
    tar.append("data/blob", BLOB, io::repeat(7).take(BLOB)).unwrap();
    tar.append("data/lines.jsonl.zst", lines.len() as u64, lines.as_slice()).unwrap();
    tar.append(PATH, export_json.len() as u64, export_json.as_slice()).unwrap();
    tar.finish().unwrap();
}

#[test]
fn memory_does_not_grow_with_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    // Sets the peak back to what is in use now (proc(5)).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    let report = verify(folder.path(), &Policy { allow_unsigned: true, ..Policy::default() }).unwrap();
    assert_eq!(report.records, FRAMES * LINES);
    let grown = peak() - before;
    assert!(grown < 48 << 10, "verifying took {grown} KiB more");
}
