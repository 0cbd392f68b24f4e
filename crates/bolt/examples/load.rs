//! Makes synthetic advisories, and loads rows into a database: our side of `benches/bolt.sh`.
//!
//! `load generate ADVISORIES FILE` writes sorted rows, `load write FILE DATABASE` loads them. A row is a bucket, a package (empty in
//! buckets of one level), an id and a value, each with its length in front, four bytes with the lowest first.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};

use export_bolt::BoltWriter;

const BUCKETS: [&str; 6] =
    ["alma 9", "debian 12", "maven::Synthetic", "npm::Synthetic", "pip::Synthetic", "ubuntu 24.04"];
const BUFFER: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", advisories, file] => generate(advisories.parse()?, file),
        ["write", file, database] => write(file, database),
        _ => Err("usage: load generate ADVISORIES FILE | load write FILE DATABASE".into()),
    }
}

/// Numbers that look random and are the same everywhere (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn words(&mut self, count: u64) -> String {
        const WORDS: [&str; 8] = ["crafted", "input", "allows", "remote", "attackers", "heap", "overflow", "parser"];
        (0..count).map(|_| WORDS[usize::try_from(self.below(8)).unwrap_or(0)]).collect::<Vec<_>>().join(" ")
    }
}

fn generate(advisories: u64, file: &str) -> Result<(), Box<dyn Error>> {
    let mut numbers = Numbers(1);
    let mut rows = BTreeMap::new();
    let vulnerabilities = (advisories / 4).max(1);
    while (rows.len() as u64) < advisories {
        let bucket = BUCKETS[usize::try_from(numbers.below(BUCKETS.len() as u64))?];
        // Few packages have many advisories and most have one, as in the world.
        let bound = 1 + numbers.below(advisories);
        let package = format!("package-{:07}", numbers.below(bound));
        let id = cve(numbers.below(vulnerabilities));
        let (major, minor) = (numbers.below(20), numbers.below(60));
        let mut value = format!(r#"{{"PatchedVersions":["{major}.{minor}.1"],"VulnerableVersions":["#);
        for branch in 0..=numbers.below(3) {
            let comma = if branch == 0 { "" } else { "," };
            write!(value, r#"{comma}"\u003e={major}.{branch}.0, \u003c{major}.{minor}.1""#)?;
        }
        value.push_str("]}");
        rows.insert((bucket, package, id), value);
    }
    for number in 0..vulnerabilities {
        let id = cve(number);
        let (title, description) = (numbers.words(8), numbers.words(20 + number % 100));
        let value = format!(
            r#"{{"Title":"{title}","Description":"{description}","Severity":"HIGH","CweIDs":["CWE-{}"],"VendorSeverity":{{"nvd":3,"ghsa":2}},"References":["https://example.org/{id}"],"PublishedDate":"2024-01-01T00:00:00Z"}}"#,
            numbers.below(1000),
        );
        rows.insert(("vulnerability", String::new(), id), value);
    }
    let mut out = BufWriter::with_capacity(BUFFER, File::create(file)?);
    for ((bucket, package, id), value) in &rows {
        for part in [bucket, package.as_str(), id.as_str(), value.as_str()] {
            out.write_all(&u32::try_from(part.len())?.to_le_bytes())?;
            out.write_all(part.as_bytes())?;
        }
    }
    Ok(out.flush()?)
}

fn cve(number: u64) -> String {
    format!("CVE-{}-{:06}", 2005 + number % 20, number / 20)
}

#[derive(Default)]
struct Row {
    bucket: Vec<u8>,
    package: Vec<u8>,
    id: Vec<u8>,
    value: Vec<u8>,
}

impl Row {
    /// Reads the next row; false at the end.
    fn read(&mut self, from: &mut impl Read) -> Result<bool, Box<dyn Error>> {
        for (at, part) in [&mut self.bucket, &mut self.package, &mut self.id, &mut self.value].into_iter().enumerate() {
            let mut size = [0; 4];
            match from.read_exact(&mut size) {
                Err(cause) if at == 0 && cause.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
                read => read?,
            }
            part.resize(u32::from_le_bytes(size) as usize, 0);
            from.read_exact(part)?;
        }
        Ok(true)
    }
}

fn write(file: &str, database: &str) -> Result<(), Box<dyn Error>> {
    let mut rows = BufReader::with_capacity(BUFFER, File::open(file)?);
    let mut writer = BoltWriter::create(database)?;
    let (mut bucket, mut package) = (Vec::new(), Vec::new());
    let mut row = Row::default();
    while row.read(&mut rows)? {
        let moved = row.bucket != bucket;
        if moved || row.package != package {
            if !package.is_empty() {
                writer.leave()?;
            }
            if moved {
                if !bucket.is_empty() {
                    writer.leave()?;
                }
                writer.enter(&row.bucket)?;
                bucket.clone_from(&row.bucket);
            }
            if !row.package.is_empty() {
                writer.enter(&row.package)?;
            }
            package.clone_from(&row.package);
        }
        writer.put(&row.id, &row.value)?;
    }
    for open in [package, bucket] {
        if !open.is_empty() {
            writer.leave()?;
        }
    }
    writer.finish()?;
    Ok(())
}
