//! Readers that are not ours read the files.

use std::path::{Path, PathBuf};
use std::process::Command;

use export_contract::profile::Frames;

use crate::world::{World, decompress};

/// Reads the whole of argv[1] and, where argv[2] says so, reads it again in one call; prints lines and bytes of each.
const SCRIPT: &str = r#"
import io, sys, zstandard
data = open(sys.argv[1], "rb").read()
plain = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
print(plain.count(b"\n"), len(plain))
if sys.argv[2] == "single":
    assert zstandard.ZstdDecompressor().decompress(data) == plain
"#;

/// The interpreter with the pinned packages, else the one on the path.
fn python() -> PathBuf {
    let pinned = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    if pinned.exists() { pinned } else { PathBuf::from("python3") }
}

#[tokio::test(flavor = "multi_thread")]
async fn zstd_and_zstandard_read_every_file_whole() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    for (run, frames, shape) in [(1, Frames::Multi, "multi"), (2, Frames::Single, "single")] {
        let adapted = world.whole_run(run, 2, frames).await;
        for file in adapted.files.iter().filter(|file| file.records.is_some()) {
            let bytes = world.bytes(&adapted, &file.path).await;
            let expected = decompress(&bytes);
            let path = folder.path().join("file.zst");
            std::fs::write(&path, &bytes).unwrap();

            let zstd = |flags: &str| {
                Command::new("zstd")
                    .arg(flags)
                    .arg(&path)
                    .output()
                    .expect("the zstd command is needed; run `make tools`")
            };
            assert!(zstd("-tq").status.success(), "{} {shape}", file.path);
            assert!(zstd("-dcq").stdout == expected.as_bytes(), "{} {shape}", file.path);

            let read = Command::new(python()).args(["-c", SCRIPT]).arg(&path).arg(shape).output().unwrap();
            let complaint = String::from_utf8_lossy(&read.stderr);
            assert!(read.status.success(), "Python's zstandard is needed; run `make tools`\n{complaint}");
            let counts = format!("{} {}\n", file.records.unwrap(), file.plain_bytes.unwrap());
            assert_eq!(String::from_utf8_lossy(&read.stdout), counts, "{} {shape}", file.path);
        }
    }
}
