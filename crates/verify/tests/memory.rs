//! Memory of the verifier grows neither with the bundle nor with what somebody puts into it. Alone in its process, because the kernel
//! counts by process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "offline/made.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod made;
#[path = "offline/packed.rs"]
#[allow(dead_code, reason = "made for more tests than these")]
mod packed;

use std::fs;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use export_canon::digesting::DigestingReader;
use export_canon::jcs;
use export_canon::tar::TarWriter;
use export_canon::zst::{FrameEncoder, seek_table};
use export_contract::Digest;
use export_contract::manifest::PATH;
use export_verify::{Report, VerifyError, verify, verify_stream};
use made::{File, Made, OURS, compressed, manifest, rehash, trusting};

const FRAMES: u64 = 128;
const LINES: u64 = 4 << 15;
const BLOB: u64 = 256 << 20;

/// Peak of resident memory in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Verifies, and gives the MiB that it took.
fn cost(folder: &Path) -> (Result<Report, VerifyError>, u64) {
    cost_of(|| verify(folder, &trusting()))
}

fn cost_of(act: impl FnOnce() -> Result<Report, VerifyError>) -> (Result<Report, VerifyError>, u64) {
    // Sets the peak back to what is in use now (proc(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    let outcome = act();
    (outcome, (peak() - before) >> 10)
}

fn digest(reader: impl Read) -> Digest {
    let mut reader = DigestingReader::new(reader);
    io::copy(&mut reader, &mut io::sink()).unwrap();
    Digest::from_bytes(*reader.finish().1.sha256.as_bytes())
}

/// A bundle of one file of 256 MiB and one that decompresses to 512 MiB, without provenance.
fn write(folder: &Path) {
    let frame: Vec<u8> = (0..LINES).flat_map(|n| format!("{{\"record\":{n:020}}}\n").into_bytes()).collect();
    let mut lines = Vec::new();
    let mut encoder = FrameEncoder::new(1).unwrap();
    let infos: Vec<_> = (0..FRAMES).map(|_| encoder.encode(&frame, &mut lines).unwrap()).collect();
    lines.extend(seek_table(&infos).unwrap());

    let of_lines = File {
        records: Some(FRAMES * LINES),
        plain: Some(FRAMES * frame.len() as u64),
        frames: Some(FRAMES),
        ..File::plain("data/lines.jsonl.zst", &lines)
    };
    let mut manifest = manifest(&[File::plain("data/blob", b""), of_lines]);
    manifest.contents[0].digest = digest(io::repeat(7).take(BLOB));
    manifest.contents[0].bytes = BLOB;
    rehash(&mut manifest);
    let export_json = jcs::to_vec(&manifest).unwrap();

    Made::sealed(&export_json, b"", &OURS).without(&["provenance.json", "provenance.sigstore.json"]).write(folder);
    let mut tar = TarWriter::new(BufWriter::new(fs::File::create(folder.join("bundle.tar")).unwrap()));
    tar.append("data/blob", BLOB, io::repeat(7).take(BLOB)).unwrap();
    tar.append("data/lines.jsonl.zst", lines.len() as u64, lines.as_slice()).unwrap();
    tar.append(PATH, export_json.len() as u64, export_json.as_slice()).unwrap();
    tar.finish().unwrap();
}

/// The files of a folder as one stream: the small ones, then the tar.
fn streamed(folder: &Path) -> impl Read {
    let small: Vec<u8> = ["export.json", "export.json.sig", "export.json.sigstore.json"]
        .iter()
        .flat_map(|name| packed::member(name, &fs::read(folder.join(name)).unwrap()))
        .collect();
    let tar = fs::File::open(folder.join("bundle.tar")).unwrap();
    let length = usize::try_from(tar.metadata().unwrap().len()).unwrap();
    let start = [small, packed::header("bundle.tar", length, b'0')].concat();
    let end = vec![0; length.next_multiple_of(512) - length + 1024];
    io::Cursor::new(start).chain(tar).chain(io::Cursor::new(end))
}

/// A bundle signed as it should be, with a frame of 512 MiB that is said to hold 1000 bytes.
fn bomb() -> Made {
    let bytes = compressed(&[&"\n".repeat(512 << 20)]);
    let (records, plain, frames) = (Some(1000), Some(1000), Some(1));
    Made::of(&[File { records, plain, frames, ..File::plain("data/raw/vex.jsonl.zst", &bytes) }])
}

/// A good bundle with a text of about 23 MB beside it, of which a reader may make a hundred times as much.
fn stuffed(name: &'static str, before: &str, element: &str, after: &str) -> Made {
    let elements = vec![element; (23 << 20) / (element.len() + 1)].join(",");
    Made::good().with(name, |text| *text = format!("{before}{elements}{after}").into_bytes())
}

#[test]
fn memory_does_not_grow_with_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let (report, grown) = cost(folder.path());
    assert_eq!(report.unwrap().records, FRAMES * LINES);
    assert!(grown < 48, "verifying took {grown} MiB more");

    let stream = streamed(folder.path());
    let (report, grown) = cost_of(|| verify_stream(stream, &trusting(), &|_| ()));
    assert_eq!(report.unwrap().records, FRAMES * LINES);
    assert!(grown < 48, "verifying a stream took {grown} MiB more");

    let provenance = "provenance.sigstore.json";
    let media_type = "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\"";
    let material = format!("{media_type},\"verificationMaterial\":{{\"publicKey\":{{\"hint\":\"\"}},\"tlogEntries\":[");
    for (name, most, made) in [
        ("a bomb", 24, bomb()),
        ("log entries", 48, stuffed(provenance, &material, "0", "]}}")),
        ("objects as log entries", 48, stuffed(provenance, &material, "{\"a\":{}}", "]}}")),
        ("unknown members", 48, stuffed(provenance, &format!("{media_type},\"more\":["), "[]", "]}")),
        ("a long signature", 24, stuffed("export.json.sig", "", "AAAA", "")),
        ("a long bundle", 24, stuffed("export.json.sigstore.json", "[", "0", "]")),
        ("a manifest of nothing but numbers", 48, stuffed("export.json", "[", "0", "]")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        made.write(folder.path());
        drop(made);
        let (outcome, grown) = cost(folder.path());
        let code = outcome.expect_err(name).exit_code();
        assert!([10, 14].contains(&code), "{name} gave {code}");
        assert!(grown < most, "{name} took {grown} MiB");
    }
}
