//! Files, folders, lines, archives and packs.

use std::io::{Cursor, Write as _};

use crate::bench::{Bench, osv, zstd};

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[tokio::test]
async fn every_container_gives_its_documents_under_its_own_name() {
    let bench = Bench::new();
    let doc = |id: &str| osv(id, "x").into_bytes();
    let long = format!("{}/L.json", "long".repeat(60));
    let entries: Vec<(&str, Vec<u8>)> = vec![("d/A.json", doc("A")), (&long, doc("L")), ("lines.ndjson", doc("N"))];
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    bench.file("one.tar", tar(&entries));
    bench.file("two.tar.zst", zstd(&tar(&entries)));
    bench.file("three.zip", zip(&entries));
    bench.file("sub/four.jsonl.zst", zstd(&[doc("A"), b"\r\n\n".to_vec(), doc("B")].concat()));
    bench.file("five.json.zst", zstd(&doc("A")));
    bench.file("six.ndjson", [doc("A"), doc("B")].join(&b'\n'));
    let summary = bench.import().await;
    assert_eq!(summary.total.refused, 0, "{summary}");
    let mut expected = vec!["given five.json.zst#A".to_owned()];
    for archive in ["one", "three", "two"] {
        expected.push(format!("given/{archive} d/A.json#A"));
        expected.push(format!("given/{archive} lines.ndjson#N"));
        expected.push(format!("given/{archive} {long}#L"));
    }
    expected.extend(["given/six A", "given/six B", "given/sub/four A", "given/sub/four B"].map(str::to_owned));
    let (mut names, mut expected) = (bench.names(), expected);
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_pack_calls_its_documents_by_their_upstream_paths() {
    let bench = Bench::new();
    bench.file(
        "vex/hub/docs.jsonl.zst",
        zstd(format!("{}\n{{\n{}\n{}\n", osv("A", "x"), osv("C", "x"), osv("D", "x")).as_bytes()),
    );
    bench.file("vex/hub/paths.txt.zst", zstd(b"repo:a/A.json\nb/broken.json\nc/C.json\n"));
    bench.import().await;
    assert_eq!(bench.names(), ["given/vex/hub D", "given/vex/hub c/C.json#C", "given/vex/hub repo:a/A.json#A"]);
    let reject = &bench.rejects()[0];
    assert_eq!((reject["line"].as_u64(), reject["upstreamPath"].as_str()), (Some(2), Some("b/broken.json")));
}

#[tokio::test]
async fn a_pack_has_one_name_however_it_is_given() {
    let bench = Bench::new();
    bench.file("MANIFEST.json", r#"{"packs":[]}"#);
    let file = bench.file("advisories/osv/x/docs.jsonl", osv("A", "x"));
    bench.file("advisories/more.jsonl", osv("A", "x"));
    let expected = ["advisories/more A", "advisories/osv/x A"];
    for path in [bench.folder(), bench.folder().join("advisories"), bench.folder().join("advisories/osv/x"), file] {
        bench.try_import(&[path]).await.unwrap();
        assert_eq!(bench.names(), expected);
    }
}

#[tokio::test]
async fn what_is_no_evidence_by_name_is_skipped_and_counted_but_read_when_it_is_named() {
    let bench = Bench::new();
    for name in
        ["README.md", "MANIFEST.json", "LICENSES/x.json", ".git/y.json", ".hidden.json", "sum.sha256", "License.json"]
    {
        bench.file(name, osv("S", "x"));
    }
    bench
        .file("pack.zip", zip(&[("README.md", b"x"), ("LICENSES/a.json", b"x"), ("a.json", osv("A", "x").as_bytes())]));
    #[cfg(unix)]
    std::os::unix::fs::symlink(bench.folder().join("README.md"), bench.folder().join("link.json")).unwrap();
    let summary = bench.import().await;
    assert_eq!((summary.total.added, summary.total.refused), (1, 0), "{summary}");
    assert_eq!(summary.total.skipped, if cfg!(unix) { 10 } else { 9 }, "{summary}");
    let named = bench.try_import(&[bench.folder().join("License.json")]).await.unwrap();
    assert_eq!(named.total.added, 1);
    assert!(bench.names().contains(&"files License.json#S".to_owned()));
}

#[tokio::test]
async fn the_order_of_reading_depends_on_names_alone_whatever_the_threads_do() {
    // Numbers given to repeats, and with them the ids, come from the order.
    let bench = Bench::new();
    let lines: Vec<String> = (0..3_000).map(|n| osv("A", &"y".repeat(n % 700))).collect();
    bench.file("feed.jsonl", lines.join("\n"));
    bench.import().await;
    let ledger = bench.ledger.all();
    assert_eq!(ledger.len(), 700);
    for record in &ledger {
        let number: usize = record.key.document_id.strip_prefix("A#").map_or(1, |number| number.parse().unwrap());
        let text = std::str::from_utf8(&record.raw).unwrap();
        assert_eq!(text.replace("summary", "").matches('y').count() + 1, number);
    }
}
