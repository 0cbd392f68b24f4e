//! Memory of the writer does not grow with the database. Alone in its process, because the kernel counts by process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "format/checker.rs"]
mod checker;

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufReader;
use std::path::Path;

use checker::{Event, check};
use export_bolt::{BoltWriter, MAX_KEY, Written};

/// Peak of resident memory in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What a database holds, in one number.
#[derive(Default)]
struct Sum(DefaultHasher, u64);

impl Sum {
    fn add(&mut self, event: Event<'_>) {
        match event {
            Event::Enter(name) => (0, name, name).hash(&mut self.0),
            Event::Put(key, value) => (1, key, value).hash(&mut self.0),
            Event::Leave => 2.hash(&mut self.0),
        }
        self.1 += 1;
    }

    fn finish(self) -> (u64, u64) {
        (self.0.finish(), self.1)
    }
}

/// Writes what `rows` gives, checks it, and gives the KiB that writing took.
fn cost(path: &Path, rows: impl Fn(&mut dyn FnMut(Event<'_>))) -> (u64, Written) {
    // Sets the peak back to what is in use now (proc(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak();
    let mut put = Sum::default();
    let mut writer = BoltWriter::create(path).unwrap();
    rows(&mut |event| {
        put.add(event);
        match event {
            Event::Enter(name) => writer.enter(name).unwrap(),
            Event::Put(key, value) => writer.put(key, value).unwrap(),
            Event::Leave => writer.leave().unwrap(),
        }
    });
    let written = writer.finish().unwrap();
    let cost = peak() - before;
    let mut read = Sum::default();
    check(BufReader::new(File::open(path).unwrap()), &mut |event| read.add(event)).unwrap();
    assert_eq!(read.finish(), put.finish());
    (cost, written)
}

/// A database like Trivy's: four advisories in each package's bucket, and a flat bucket of a quarter as many vulnerabilities.
fn advisories(packages: u64, row: &mut dyn FnMut(Event<'_>)) {
    let value = vec![b'v'; 1200];
    row(Event::Enter(b"npm::Synthetic"));
    for package in 0..packages {
        row(Event::Enter(format!("package-{package:09}").as_bytes()));
        for id in 0..4 {
            let size = usize::try_from((package * 7 + id * 13) % 400).unwrap();
            row(Event::Put(format!("CVE-2024-{id}{package:06}").as_bytes(), &value[..size]));
        }
        row(Event::Leave);
    }
    row(Event::Leave);
    row(Event::Enter(b"vulnerability"));
    for id in 0..packages {
        row(Event::Put(format!("CVE-2024-{id:09}").as_bytes(), &value[..usize::try_from(id % 1200).unwrap()]));
    }
    row(Event::Leave);
}

#[test]
fn memory_grows_neither_with_rows_nor_with_long_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    #[expect(clippy::disallowed_methods, reason = "tests know no configuration")]
    let soak = std::env::var_os("EXPORT_TESTS_SOAK").is_some();
    // 1,000,000 rows, or 3,750,000.
    let packages = if soak { 750_000 } else { 200_000 };
    let (of_rows, rows) = cost(&path, |row| advisories(packages, row));
    assert!(rows.bytes > packages * 1200, "{rows:?}");

    // The branches hold as many bytes as the leaves.
    let (of_keys, keys) = cost(&path, |row| {
        let mut key = vec![b'k'; MAX_KEY];
        row(Event::Enter(b"b"));
        for n in 0_u32..2000 {
            key[MAX_KEY - 4..].copy_from_slice(&n.to_be_bytes());
            row(Event::Put(&key, b""));
        }
        row(Event::Leave);
    });
    assert!(keys.bytes > 2 * 2000 * MAX_KEY as u64, "{keys:?}");

    // 1 MiB of it is the buffer in front of the file.
    assert!(of_rows < 4 << 10, "{} rows took {of_rows} KiB", packages * 5);
    assert!(of_keys < 4 << 10, "long keys took {of_keys} KiB");
}
