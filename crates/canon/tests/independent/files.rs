//! Frames, seek tables and archives against `zstandard`, `tarfile` and the commands.

use std::convert::Infallible;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use export_canon::digesting::sha256;
use export_canon::tar::TarWriter;
use export_canon::zst::{Frame, ParallelFrames, seek_table};

use crate::python;

const ZSTD_SCRIPT: &str = r#"
import hashlib, io, struct, sys, zstandard
data = open(sys.argv[1], "rb").read()
whole = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
assert data[-4:] == struct.pack("<I", 0x8F92EAB1), "footer magic"
count, descriptor = struct.unpack("<IB", data[-9:-4])
assert descriptor == 0
start = len(data) - 17 - 8 * count
assert struct.unpack("<II", data[start:start + 8]) == (0x184D2A5E, 8 * count + 9), "skippable header"
at, parts = 0, []
for index in range(count):
    compressed, plain = struct.unpack_from("<II", data, start + 8 + 8 * index)
    frame = data[at:at + compressed]
    parameters = zstandard.get_frame_parameters(frame)
    assert parameters.content_size == plain and parameters.has_checksum, "frame header"
    parts.append(zstandard.ZstdDecompressor().decompress(frame))
    at += compressed
assert at == start, "frames end where the table begins"
assert b"".join(parts) == whole, "frames alone give the whole"
print(count, hashlib.sha256(whole).hexdigest())
"#;

const TAR_SCRIPT: &str = r#"
import hashlib, sys, tarfile
with tarfile.open(sys.argv[1], "r:") as archive:
    for m in archive.getmembers():
        assert m.isreg() and (m.mode, m.uid, m.gid, m.mtime, m.uname, m.gname) == (0o644, 0, 0, 0, "", ""), m.get_info()
        print(m.name, m.size, hashlib.sha256(archive.extractfile(m).read()).hexdigest(), sep="\t")
"#;

fn plain(n: u32) -> Vec<u8> {
    (0..n * 3000)
        .flat_map(|i| {
            format!(
                "{{\"id\":\"CVE-{n}-{i}\"}}
"
            )
            .into_bytes()
        })
        .collect()
}

fn write_frames(path: &Path, frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut infos = Vec::new();
    let mut row = ParallelFrames::new(NonZeroUsize::new(2).unwrap(), 3, |frame: Frame<'_, ()>| {
        bytes.extend_from_slice(frame.bytes);
        infos.push(frame.info);
        Ok::<(), Infallible>(())
    })
    .unwrap();
    for n in 0..frames {
        row.submit(move |out: &mut Vec<u8>| {
            out.extend(plain(n));
            Ok(())
        })
        .unwrap();
    }
    row.finish().unwrap();
    bytes.extend(seek_table(&infos).unwrap());
    fs::write(path, &bytes).unwrap();
    (0..frames).flat_map(plain).collect()
}

#[test]
fn frames_and_seek_table_are_read_by_zstandard_and_by_zstd() {
    let folder = tempfile::tempdir().unwrap();
    for frames in [1, 9] {
        let path = folder.path().join("records.jsonl.zst");
        let whole = write_frames(&path, frames);
        let judged = python::run(&["zstandard"], ZSTD_SCRIPT, &[path.to_str().unwrap()], |_| ());
        assert_eq!(judged.trim(), format!("{frames} {}", sha256(&whole).hex()));
        let test =
            Command::new("zstd").arg("-tq").arg(&path).status().expect("the zstd command is needed; run `make tools`");
        assert!(test.success());
        let decoded = Command::new("zstd").arg("-dcq").arg(&path).output().unwrap();
        assert!(decoded.stdout == whole, "{frames} frames");
    }
}

#[test]
fn archive_is_read_by_tarfile_and_by_tar() {
    let long = format!("{}/{}", "folder".repeat(20), "x".repeat(99));
    let longer = format!("{}/{}", "folder".repeat(30), "y".repeat(120));
    let mut files = vec![
        ("README.md".to_owned(), vec![b'r'; 700]),
        ("data/raw/advisories.jsonl.zst".to_owned(), vec![0; 512]),
        ("data/raw/vex 1.jsonl.zst".to_owned(), vec![]),
        (long, vec![1; 511]),
        (longer, vec![2; 513]),
        ("mirror/Größe-€.json".to_owned(), b"{}".to_vec()),
    ];
    files.sort();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.tar");
    let mut writer = TarWriter::new(fs::File::create(&path).unwrap());
    for (name, body) in &files {
        writer.append(name, body.len() as u64, body.as_slice()).unwrap();
    }
    writer.finish().unwrap();

    let expected: Vec<String> =
        files.iter().map(|(name, body)| format!("{name}\t{}\t{}", body.len(), sha256(body).hex())).collect();
    let judged = python::run(&[], TAR_SCRIPT, &[path.to_str().unwrap()], |_| ());
    assert_eq!(judged.lines().collect::<Vec<_>>(), expected);

    let output = Command::new("tar")
        .args(["--quoting-style=literal", "--numeric-owner", "--utc", "-tvf"])
        .arg(&path)
        .output()
        .unwrap();
    let listing = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(listing.lines().count(), files.len());
    for (line, (name, body)) in listing.lines().zip(&files) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields[..5], ["-rw-r--r--", "0/0", &body.len().to_string(), "1970-01-01", "00:00"]);
        assert!(line.ends_with(&format!(" {name}")), "{line}");
    }
}
