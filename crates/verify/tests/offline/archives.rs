//! Archives that other tools would unpack to other things than were signed, and words that terminals would obey.

use std::error::Error;

use export_canon::jcs;
use export_canon::tar::{header_bytes, padding};
use export_contract::manifest::PATH;
use serde_json::json;

use crate::made::{File, Made, files, manifest, trusting};

/// A header with some bytes changed and its checksum put right.
fn forged(path: &str, size: u64, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut header = header_bytes(path, size).unwrap();
    change(&mut header);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn put(header: &mut [u8], at: usize, text: &str) {
    header[at..at + text.len()].copy_from_slice(text.as_bytes());
}

fn body(bytes: &[u8]) -> Vec<u8> {
    [bytes, padding(bytes.len() as u64)].concat()
}

/// The good archive entry by entry, with headers of one's own.
fn entries() -> Vec<(String, Vec<u8>)> {
    let text = jcs::to_vec(&manifest(&files())).unwrap();
    let mut all: Vec<(String, Vec<u8>)> = files().into_iter().map(|File { path, bytes, .. }| (path, bytes)).collect();
    all.push((PATH.to_owned(), text));
    all.into_iter()
        .map(|(path, bytes)| {
            let header = header_bytes(&path, bytes.len() as u64).unwrap();
            (path, [header, body(&bytes)].concat())
        })
        .collect()
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

/// The good archive with something before entry `at`.
fn inserted(at: usize, extra: Vec<u8>) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = entries().into_iter().map(|(_, bytes)| bytes).collect();
    all.insert(at, extra);
    archive(&all)
}

/// The good archive with the first header changed.
fn first(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = entries().into_iter().map(|(_, bytes)| bytes).collect();
    let size = 11;
    let header = forged("README.md", size, change);
    all[0] = [header, body(b"# Evidence\n")].concat();
    archive(&all)
}

fn pax(record: &str) -> Vec<u8> {
    let header = forged("pax", record.len() as u64, |header| header[156] = b'x');
    [header, body(record.as_bytes())].concat()
}

#[test]
fn the_forge_makes_the_good_archive_when_nothing_is_forged() {
    let good = Made::good();
    assert!(archive(&entries().into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>()) == good.0["bundle.tar"]);
    assert!(first(|_| {}) == good.0["bundle.tar"]);
}

#[test]
fn hostile_archives_are_refused() {
    let order = |order: [usize; 4]| {
        let all = entries();
        archive(&order.map(|at| all[at].1.clone()))
    };
    let file = |path: &str| [header_bytes(path, 1).unwrap(), body(b"x")].concat();
    let named = |name: &str| [forged("a", 1, |header| put(header, 0, name)), body(b"x")].concat();
    let linked = |kind: u8| {
        forged("z", 0, |header| {
            header[156] = kind;
            put(header, 157, "/etc/passwd");
        })
    };
    let good = Made::good().0["bundle.tar"].clone();
    let mut padded = good.clone();
    padded[512 + 11] = 1;
    let mut marker = good.clone();
    *marker.last_mut().unwrap() = 1;
    for (name, tar) in [
        ("a file too many at the start", inserted(0, file("A"))),
        ("a file too many in the middle", inserted(1, file("b"))),
        ("a file too many at the end", inserted(4, file("z"))),
        ("a file of that name in other case", inserted(4, file("readme.MD"))),
        ("a file twice", inserted(1, entries()[0].1.clone())),
        ("a symbolic link", inserted(4, linked(b'2'))),
        ("a hard link", inserted(4, linked(b'1'))),
        ("a device", inserted(4, linked(b'3'))),
        ("a folder", inserted(4, linked(b'5'))),
        ("a pipe", inserted(4, linked(b'6'))),
        ("an absolute path", inserted(0, named("/etc/passwd"))),
        ("a path that leaves the folder", inserted(0, named("../x"))),
        ("a path that leaves it later", inserted(4, named("z/../../x"))),
        ("a path of Windows", inserted(0, named("C:\\x"))),
        ("a file inside a file", inserted(1, file("README.md/x"))),
        ("two files swapped", order([1, 0, 2, 3])),
        ("the manifest first", order([3, 0, 1, 2])),
        ("a modification time", first(|header| put(header, 136, "00000000001"))),
        ("an owner", first(|header| put(header, 265, "root"))),
        ("a user id", first(|header| put(header, 108, "0000001"))),
        ("set-user-id", first(|header| put(header, 100, "0004755"))),
        ("a size with blanks", first(|header| put(header, 124, "         13 "))),
        ("old-style kind", first(|header| header[156] = 0)),
        ("hidden bytes in the header", first(|header| header[505] = 7)),
        ("a superfluous extended header", inserted(0, pax("13 mtime=123\n"))),
        ("an extended path", inserted(0, pax("18 path=README.md\n"))),
        ("a global header", inserted(0, [forged("g", 0, |header| header[156] = b'g')].concat())),
        ("bytes in the padding", padded),
        ("bytes in the end marker", marker),
        ("zeros after the end", [good.clone(), vec![0; 512]].concat()),
        ("another archive after the end", [good.clone(), good.clone()].concat()),
        ("compressed", {
            let mut out = Vec::new();
            export_canon::zst::FrameEncoder::new(3).unwrap().encode(&good, &mut out).unwrap();
            out
        }),
    ] {
        let error = Made::good().with_tar(tar).verify(&trusting()).map(|_| ()).expect_err(name);
        assert_eq!(error.exit_code(), 14, "{name}: {error:?}");
    }
}

#[test]
fn words_of_the_bundle_do_not_reach_a_terminal_as_they_are() {
    let (message, evil) = ("export.json.sigstore.json", "\u{1b}[2J\u{9b}\u{202e}\n");
    for made in [
        Made::good().with_json(message, |bundle| bundle["mediaType"] = json!(evil)),
        Made::good().with_json(message, |bundle| bundle[evil] = json!(1)),
        Made::good().with_json(message, |bundle| bundle["messageSignature"][evil] = json!(1)),
        Made::good().with_tar(archive(&[forged("a", 0, |header| put(header, 0, evil))])),
    ] {
        let error = made.verify(&trusting()).unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn Error), |cause| (**cause).source());
        let said: Vec<String> = causes.map(ToString::to_string).collect();
        let whole = said.concat();
        assert!(!whole.contains(|c: char| c.is_control() || c == '\u{202e}'), "{whole:?}");
        assert!(whole.contains("[2J"), "{whole:?}");
    }
}
