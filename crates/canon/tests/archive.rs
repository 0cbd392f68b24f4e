//! Archives: what the writer writes the `tar` crate reads, and what is hostile the reader refuses by name.
#![allow(clippy::unwrap_used, clippy::string_slice, reason = "tests")]

use std::collections::BTreeMap;
use std::io::{self, Read};

use export_canon::tar::{
    END_OF_ARCHIVE, Headers, Refusal, TarError, TarLimits, TarReader, TarWriter, header_bytes, padding,
};
use proptest::prelude::*;

type Files = Vec<(String, Vec<u8>)>;

fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (path, body) in files {
        writer.append(path, body.len() as u64, body).unwrap();
    }
    writer.finish().unwrap()
}

fn read(archive: &[u8], limits: TarLimits) -> Result<Files, TarError> {
    let mut reader = TarReader::new(archive, limits);
    let mut files = Vec::new();
    while let Some(mut entry) = reader.next_entry()? {
        let mut body = Vec::new();
        entry.read_to_end(&mut body).map_err(|error| error.downcast::<TarError>().unwrap())?;
        assert_eq!(entry.size(), body.len() as u64);
        files.push((entry.path().to_owned(), body));
    }
    assert!(reader.next_entry()?.is_none(), "the end stays the end");
    Ok(files)
}

fn refusal(archive: &[u8]) -> String {
    match read(archive, TarLimits::default()) {
        Err(TarError::Refused { refusal, .. }) => refusal.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn header_has_the_bytes_of_ustar() {
    let header = header_bytes("data/raw/vex.jsonl.zst", 1234).unwrap();
    assert_eq!(header.len(), 512);
    let field = |at: usize, length: usize| {
        std::str::from_utf8(&header[at..at + length]).unwrap().trim_end_matches('\0').to_owned()
    };
    assert_eq!(field(0, 100), "data/raw/vex.jsonl.zst");
    assert_eq!((field(100, 8), field(108, 8), field(116, 8)), ("0000644".into(), "0000000".into(), "0000000".into()));
    assert_eq!((field(124, 12), field(136, 12)), ("00000002322".into(), "00000000000".into()));
    assert_eq!((field(156, 1), field(157, 100)), ("0".into(), String::new()));
    assert_eq!(field(257, 8), "ustar\u{0}00");
    assert_eq!((field(265, 32), field(297, 32)), (String::new(), String::new()));
    assert!(header[500..].iter().all(|byte| *byte == 0));
    assert_eq!(
        (padding(0).len(), padding(1).len(), padding(511).len(), padding(512).len(), padding(513).len()),
        (0, 511, 1, 0, 511)
    );
}

#[test]
fn headers_for_async_callers_give_the_same_bytes_as_the_writer() {
    let files = [("a", &b"one"[..]), ("b/c", &[7; 512]), ("b/d", b"")];
    let mut headers = Headers::new();
    let mut bytes = Vec::new();
    for (path, body) in files {
        bytes.extend(headers.file(path, body.len() as u64).unwrap());
        bytes.extend(body);
        bytes.extend(padding(body.len() as u64));
    }
    bytes.extend(END_OF_ARCHIVE);
    assert_eq!(bytes, archive(files));
    assert!(matches!(headers.file("b/d", 0), Err(TarError::Order { .. })));
}

#[test]
fn extended_headers_come_only_where_they_are_needed() {
    let long = |length: usize| format!("{}/{}", "p".repeat(155), "n".repeat(length));
    for (path, size, blocks) in [
        ("n".repeat(100), 0, 1),
        (long(100), 0, 1),
        (long(101), 0, 3),
        (format!("{}/n", "p".repeat(156)), 0, 3),
        (format!("{}/{}", "p".repeat(50), "n".repeat(90)), 0, 1),
        ("é".to_owned(), 0, 3),
        ("n".to_owned(), (8 << 30) - 1, 1),
        ("n".to_owned(), 8 << 30, 3),
    ] {
        assert_eq!(header_bytes(&path, size).unwrap().len(), blocks * 512, "{path} {size}");
    }
}

#[test]
fn sizes_past_eight_gibibytes_are_understood_by_the_tar_crate_and_by_the_reader() {
    let header = header_bytes("big", 9 << 30).unwrap();
    let mut theirs = tar::Archive::new(&header[..]);
    assert_eq!(theirs.entries().unwrap().next().unwrap().unwrap().size(), 9 << 30);
    let mut ours = TarReader::new(&header[..], TarLimits::default());
    assert_eq!(ours.next_entry().unwrap().unwrap().size(), 9 << 30);
}

#[test]
fn unsafe_paths_are_not_written() {
    let long = "x".repeat(2049);
    for path in [
        "",
        "/etc/passwd",
        "..",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "C:/x",
        "a\nb",
        "a\0b",
        "a/\u{7f}",
        &long,
        &"x".repeat(256),
    ] {
        assert!(matches!(header_bytes(path, 0), Err(TarError::Path { .. })), "{path:?}");
    }
    // A colon is fine further in: it is part of many advisory ids.
    assert!(header_bytes("advisories/ALSA-2025:10073.json", 0).is_ok());
}

#[test]
fn entries_out_of_order_are_refused_and_the_archive_stays_good() {
    let mut writer = TarWriter::new(Vec::new());
    writer.append("b", 1, &b"1"[..]).unwrap();
    for path in ["b", "a", "B"] {
        let error = writer.append(path, 0, io::empty()).unwrap_err();
        assert_eq!(error.to_string(), format!("path `{path}` does not come after `b`"));
    }
    writer.append("b-", 0, io::empty()).unwrap();
    writer.append_folder("b").unwrap();
    writer.append("b/c", 0, io::empty()).unwrap();
    let bytes = writer.finish().unwrap();
    let mut theirs = tar::Archive::new(&bytes[..]);
    let entries: Vec<_> = theirs
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path_bytes().into_owned(), entry.header().mode().unwrap()))
        .collect();
    assert_eq!(
        entries,
        [(b"b".to_vec(), 0o644), (b"b-".to_vec(), 0o644), (b"b/".to_vec(), 0o755), (b"b/c".to_vec(), 0o644)]
    );
}

#[test]
fn body_of_another_length_breaks_the_archive() {
    for (size, expected) in [(2, "body of `a` goes on after 2 bytes"), (4, "body of `a` ends after 3 of 4 bytes")] {
        let mut writer = TarWriter::new(Vec::new());
        assert_eq!(writer.append("a", size, &b"abc"[..]).unwrap_err().to_string(), expected);
        assert!(matches!(writer.append("b", 0, io::empty()), Err(TarError::Broken)));
        assert!(matches!(writer.finish(), Err(TarError::Broken)));
    }
}

/// An archive made by the `tar` crate, which writes what it is told.
fn foreign(entries: &[(tar::EntryType, &[u8], &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, body) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(*kind);
        header.set_size(body.len() as u64);
        header.set_mtime(1_700_000_000);
        header.set_mode(0o4755);
        header.set_uid(1000);
        header.set_cksum();
        builder.append(&header, *body).unwrap();
    }
    builder.into_inner().unwrap()
}

fn pax(records: &[u8]) -> Vec<u8> {
    use tar::EntryType::{Regular, XHeader};
    foreign(&[(XHeader, b"x", records), (Regular, b"a", b"1")])
}

fn changed(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = archive([("a", &b"one"[..]), ("b", b"two")]);
    change(&mut bytes);
    bytes
}

/// Writes the checksum anew, so that another fault shows.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

#[test]
fn hostile_archives_are_refused_by_name() {
    use tar::EntryType::{
        Block, Char, Continuous, Directory, Fifo, GNULongName, GNUSparse, Link, Regular, Symlink, XGlobalHeader,
        XHeader,
    };
    let one = |kind, path: &[u8]| foreign(&[(kind, path, b"")]);
    let two = |first: &[u8], second: &[u8]| foreign(&[(Regular, first, b""), (Regular, second, b"")]);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (one(Symlink, b"a"), "entry `a` is a symbolic link; only regular files are allowed"),
        (one(Link, b"a"), "entry `a` is a hard link; only regular files are allowed"),
        (one(Char, b"a"), "entry `a` is a character device; only regular files are allowed"),
        (one(Block, b"a"), "entry `a` is a block device; only regular files are allowed"),
        (one(Fifo, b"a"), "entry `a` is a named pipe; only regular files are allowed"),
        (one(Directory, b"a"), "entry `a` is a folder; only regular files are allowed"),
        (one(Continuous, b"a"), "entry `a` is a contiguous file; only regular files are allowed"),
        (one(GNUSparse, b"a"), "entry `a` is a sparse file; only regular files are allowed"),
        (one(GNULongName, b"a"), "entry `a` is a GNU long name; only regular files are allowed"),
        (one(XGlobalHeader, b"a"), "entry `a` is a global extended header; only regular files are allowed"),
        (one(tar::EntryType::new(b'Z'), b"a"), "entry `a` is an entry of unknown kind; only regular files are allowed"),
        (one(Regular, b"/etc/passwd"), "path `/etc/passwd` is not allowed: it is absolute"),
        (one(Regular, b"../a"), "path `../a` is not allowed: it has a `..` component"),
        (one(Regular, b"a/../../b"), "path `a/../../b` is not allowed: it has a `..` component"),
        (one(Regular, b"./a"), "path `./a` is not allowed: it has a `.` component"),
        (one(Regular, b"a\\b"), "path `a\\\\b` is not allowed: it holds a backslash"),
        (one(Regular, b"c:/a"), "path `c:/a` is not allowed: it starts with a drive letter"),
        (one(Regular, b""), "path `` is not allowed: it is empty"),
        (one(Regular, b"a/"), "path `a/` is not allowed: it has an empty component"),
        (one(Regular, b"a\x1b[2J"), "path `a\\u{1b}[2J` is not allowed: it holds a control character"),
        (one(Regular, b"a\xff"), "path `a\u{fffd}` is not allowed: it is not UTF-8"),
        (two(b"a", b"a"), "path `a` occurs twice"),
        (two(b"README", b"readme"), "paths `readme` and `README` differ in case only"),
        (two("É".as_bytes(), "é".as_bytes()), "paths `é` and `É` differ in case only"),
        (two(b"a", b"a/b"), "path `a` is a file, but `a/b` is inside it"),
        (two(b"a/b", b"A"), "path `A` is a file, but `a/b` is inside it"),
        (two(b"b", b"a"), "path `a` does not come after `b`"),
        (pax(b"9 path=a\n9 path=b\n"), "invalid extended header: two paths"),
        (pax(b"15 path=../../a\n"), "invalid extended header: a record does not end with a line feed"),
        (pax(b"16 path=../../a\n"), "path `../../a` is not allowed: it has a `..` component"),
        (pax(b"16 path=/etc/pw\n"), "path `/etc/pw` is not allowed: it is absolute"),
        (pax(b"14 linkpath=b\n"), "invalid extended header: it names a link target"),
        (pax(b"22 GNU.sparse.major=1\n"), "invalid extended header: it describes a sparse file"),
        (pax(&[b'x'; 20_000]), "more than 16384 bytes in an extended header"),
        (pax(b"28 size=1000000000000000000\n"), "more than 68719476736 bytes in one file"),
        (
            foreign(&[(XHeader, b"x", b"9 path=a\n"), (XHeader, b"x", b"9 path=b\n"), (Regular, b"a", b"")]),
            "invalid extended header: two in a row",
        ),
        (foreign(&[(XHeader, b"x", b"9 path=a\n")]), "invalid extended header: no entry follows it"),
        (changed(|bytes| bytes[0] = b'x'), "invalid header: its checksum is wrong"),
        (changed(|bytes| bytes[257] = b'U'), "invalid header: it is no POSIX ustar header"),
        (sealed(changed(|bytes| bytes[50] = b'x')), "invalid header: a name goes on after its end"),
        (sealed(changed(|bytes| bytes[124] = 0x80)), "invalid header: its size is no octal number"),
        (sealed(changed(|bytes| bytes[124..136].fill(b' '))), "invalid header: its size is no octal number"),
        (sealed(changed(|bytes| bytes[134] = b'8')), "invalid header: its size is no octal number"),
        (changed(|bytes| bytes[512 + 3] = 1), "unexpected data in the padding of an entry"),
        (changed(|bytes| bytes.extend(b"more")), "unexpected data after the end"),
        (changed(|bytes| bytes.extend(vec![0; (1 << 20) + 1])), "more than 1048576 zero bytes after the end"),
        (changed(|bytes| bytes[2048 + 512] = 1), "invalid header: one zero block stands alone"),
        (changed(|bytes| bytes.truncate(2048 + 512)), "it is cut off"),
        (changed(|bytes| bytes.truncate(2048)), "it is cut off"),
        (changed(|bytes| bytes.truncate(512 + 2)), "it is cut off"),
        (changed(|bytes| bytes.truncate(512 + 100)), "it is cut off"),
        (vec![], "it is cut off"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(refusal(&bytes), expected);
    }
}

#[test]
fn harmless_differences_are_accepted() {
    use tar::EntryType::Regular;
    // Times, owners and modes of others; padding to ten kibibytes; an order that the caller allows.
    let mut bytes = foreign(&[(Regular, b"b", b"2"), (Regular, b"a", b"1")]);
    bytes.resize(10_240, 0);
    let limits = TarLimits { require_sorted: false, ..TarLimits::default() };
    assert_eq!(read(&bytes, limits).unwrap(), [("b".to_owned(), b"2".to_vec()), ("a".to_owned(), b"1".to_vec())]);
    assert_eq!(
        read(&pax(b"13 path=a/b/c\n"), limits).unwrap_err().to_string(),
        "archive refused at byte 512: invalid extended header: a record does not end with a line feed"
    );
    assert_eq!(
        read(&pax(b"14 path=a/b/c\n20 mtime=1700000000\n"), limits).unwrap(),
        [("a/b/c".to_owned(), b"1".to_vec())]
    );
}

#[test]
fn limits_are_exact() {
    let bytes = archive([("a", &b"123"[..]), ("b", b"45")]);
    let exact = TarLimits { max_entries: 2, max_entry_bytes: 3, max_total_bytes: 5, require_sorted: true };
    assert_eq!(read(&bytes, exact).unwrap().len(), 2);
    for (limits, expected) in [
        (TarLimits { max_entries: 1, ..exact }, Refusal::Limit { what: "entries", limit: 1 }),
        (TarLimits { max_entry_bytes: 2, ..exact }, Refusal::Limit { what: "bytes in one file", limit: 2 }),
        (TarLimits { max_total_bytes: 4, ..exact }, Refusal::Limit { what: "bytes in all files", limit: 4 }),
    ] {
        assert!(matches!(read(&bytes, limits), Err(TarError::Refused { refusal, .. }) if refusal == expected));
    }
}

#[test]
fn body_left_unread_is_skipped_but_must_be_there() {
    let bytes = archive([("a", &[1; 5000][..]), ("b", b"two")]);
    let mut reader = TarReader::new(&bytes[..], TarLimits::default());
    let mut first = reader.next_entry().unwrap().unwrap();
    first.read_exact(&mut [0; 10]).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().path(), "b");
    let mut cut = TarReader::new(&bytes[..3000], TarLimits::default());
    assert!(cut.next_entry().is_ok());
    assert!(matches!(cut.next_entry(), Err(TarError::Refused { refusal: Refusal::Truncated, .. })));
}

fn files() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let component = prop_oneof![4 => "[a-z0-9._:@ +-]{1,30}", 1 => "[a-zé€]{1,12}", 1 => "[a-z]{101,150}"]
        .prop_filter("safe", |name| !matches!(name.as_str(), "." | "..") && !name.contains(':'));
    let path = prop::collection::vec(component, 1..8).prop_map(|components| components.join("/"));
    let body = prop_oneof![prop::collection::vec(any::<u8>(), 0..1100), Just(vec![7; 512]), Just(vec![])];
    prop::collection::btree_map(path, body, 0..8).prop_filter("no file is a folder", |files| {
        files.keys().all(|path| path.match_indices('/').all(|(at, _)| !files.contains_key(path.get(..at).unwrap())))
    })
}

proptest! {
    #[test]
    fn archive_comes_back_through_the_tar_crate_and_through_the_reader(files in files()) {
        let bytes = archive(files.iter().map(|(path, body)| (path.as_str(), body.as_slice())));
        let expected: Files = files.into_iter().collect();
        let mut theirs = Files::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            prop_assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap()), (0, 0, 0, 0o644));
            prop_assert_eq!((header.username_bytes(), header.groupname_bytes()), (Some(&b""[..]), Some(&b""[..])));
            let mut body = Vec::new();
            entry.read_to_end(&mut body).unwrap();
            theirs.push((String::from_utf8(entry.path_bytes().into_owned()).unwrap(), body));
        }
        prop_assert_eq!(&theirs, &expected);
        prop_assert_eq!(read(&bytes, TarLimits::default()).unwrap(), expected);
    }

    #[test]
    fn damaged_archive_never_panics(files in files(), at: prop::sample::Index, byte: u8) {
        let mut bytes = archive(files.iter().map(|(path, body)| (path.as_str(), body.as_slice())));
        *at.get_mut(&mut bytes) = byte;
        let _either_way = read(&bytes, TarLimits::default()).is_ok();
    }
}
