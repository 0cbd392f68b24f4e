//! Input that is broken or means harm: refused by name, and everything else still taken.

use export_evidence::import::{ImportLimits, RefusalCode};

use crate::bench::{Bench, osv, zstd};

#[tokio::test]
async fn every_refused_document_is_named_with_its_reason_and_the_rest_is_taken() {
    let bench = Bench::new();
    bench.file("a.json", "{\"id\":");
    bench.file("b.json", "");
    bench.file("c.json", "[1,2]");
    bench.file("d.json", r#"{"hello":"world"}"#);
    bench.file("e.xml", r#"<bom xmlns="http://cyclonedx.org/schema/bom/1.4"/>"#);
    bench.file("f.spdx", "SPDXVersion: SPDX-2.3\n");
    bench.file("g.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    bench.file("h.tar.gz", b"\x1f\x8b");
    bench.file("i.json", osv("GOOD", "x"));
    bench.file("j.jsonl", format!("{}\nbroken\n\"text\"\n{}", osv("L1", "x"), osv("L4", "x")));
    bench.file("k.json", b"{\"id\":\"\xff\"}");
    bench.file("l.json.zst", b"no zstd at all");
    bench.file("m.json", format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)));
    let summary = bench.import().await;
    let expected = [
        ("a.json", None, "malformed"),
        ("b.json", None, "malformed"),
        ("c.json", None, "unknown_format"),
        ("d.json", None, "unknown_format"),
        ("e.xml", None, "unsupported_format"),
        ("f.spdx", None, "unsupported_format"),
        ("g.json", None, "git_lfs_pointer"),
        ("h.tar.gz", None, "unsupported_format"),
        ("j.jsonl", Some(2), "malformed"),
        ("j.jsonl", Some(3), "unknown_format"),
        ("k.json", None, "malformed"),
        ("l.json.zst", None, "unreadable"),
        ("m.json", None, "too_large"),
    ];
    let expected: Vec<_> = expected.map(|(name, line, code)| (name.to_owned(), line, code.to_owned())).into();
    assert_eq!(bench.refusals(), expected);
    assert_eq!((summary.total.added, summary.total.refused, summary.total.read), (3, 13, 16));
    assert_eq!(summary.refused_by_code[&RefusalCode::Malformed], 4);
    let reason = bench.rejects()[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("document ends early"), "{reason}");
    let table = summary.to_string();
    assert!(table.contains("refused, malformed: 4") && table.contains("and 3 more, all in the reject file"), "{table}");
}

#[tokio::test]
async fn documents_and_lines_over_the_limit_are_refused_alone() {
    let mut bench = Bench::new();
    bench.options.limits = ImportLimits { document_bytes: 200, ..ImportLimits::default() };
    bench.file("big.json", osv("BIG", &"x".repeat(300)));
    bench.file("lines.jsonl", [osv("A", "x"), osv("BIG", &"x".repeat(300)), osv("C", "x")].join("\n"));
    let summary = bench.import().await;
    assert_eq!(summary.total.added, 2);
    let too_large = |name: &str, line| (name.to_owned(), line, "too_large".to_owned());
    assert_eq!(bench.refusals(), [too_large("big.json", None), too_large("lines.jsonl", Some(2))]);
}

#[tokio::test]
async fn a_file_that_unpacks_to_too_much_is_cut_off_and_the_next_file_read() {
    let mut bench = Bench::new();
    bench.options.limits = ImportLimits { document_bytes: 1 << 16, ratio: 10, ..ImportLimits::default() };
    let good = osv("GOOD", "x");
    let bomb = format!("{good}\n{}", "\n".repeat(1 << 24));
    bench.file("a.jsonl.zst", zstd(bomb.as_bytes()));
    bench.file("b.json.zst", zstd(&vec![b' '; 1 << 24]));
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["1.json", "2.json", "3.json"] {
        use std::io::Write as _;
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&vec![b' '; 40_000]).unwrap();
    }
    bench.file("c.zip", archive.finish().unwrap().into_inner());
    bench.file("d.json", &good);
    let summary = bench.import().await;
    assert_eq!(bench.names(), ["given d.json#GOOD", "given/a GOOD"]);
    let codes: Vec<_> = bench.refusals().into_iter().map(|(name, _, code)| format!("{name} {code}")).collect();
    assert_eq!(codes[0], "a.jsonl.zst limit_reached", "{summary}");
    assert!(codes.contains(&"c.zip limit_reached".to_owned()), "{codes:?}");
    assert!(!codes.iter().any(|code| code.starts_with("3.json")), "{codes:?}");
}

#[tokio::test]
async fn archives_inside_archives_and_hostile_names_do_no_harm() {
    let bench = Bench::new();
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &[u8], bytes: &[u8], kind: tar::EntryType| {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(kind);
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    };
    let good = osv("A", "x");
    add(b"../../etc/passwd", good.as_bytes(), tar::EntryType::Regular);
    add(b"/abs\x07olute.json", good.as_bytes(), tar::EntryType::Regular);
    add(b"inner.zip", b"PK", tar::EntryType::Regular);
    add(b"inner.json.zst", b"x", tar::EntryType::Regular);
    add(b"link.json", b"", tar::EntryType::Symlink);
    add(b"folder", b"", tar::EntryType::Directory);
    bench.file("t.tar", builder.into_inner().unwrap());
    bench.import().await;
    assert_eq!(bench.names(), ["given/t ../../etc/passwd#A", "given/t /abs_olute.json#A"]);
    let nested = |name: &str| (name.to_owned(), None, "nested_archive".to_owned());
    assert_eq!(bench.refusals(), [nested("inner.zip"), nested("inner.json.zst")]);
}

#[tokio::test]
async fn a_cut_archive_gives_what_came_before_the_cut() {
    let bench = Bench::new();
    let mut builder = tar::Builder::new(Vec::new());
    for name in ["a.json", "b.json"] {
        let text = osv(name, "x");
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let mut whole = builder.into_inner().unwrap();
    whole.truncate(512 + 512 + 512 + 10);
    bench.file("t.tar", whole);
    let summary = bench.import().await;
    assert_eq!(bench.names(), ["given/t a.json#a.json"]);
    assert!(summary.total.refused >= 1, "{summary}");
}

#[tokio::test]
async fn an_import_without_refusals_leaves_an_empty_reject_file() {
    let bench = Bench::new();
    bench.file("a.json", "{");
    bench.import().await;
    assert_eq!(bench.rejects().len(), 1);
    bench.file("a.json", osv("A", "x"));
    bench.import().await;
    assert!(bench.rejects().is_empty());
}
