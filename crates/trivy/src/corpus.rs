//! Every advisory of the real evidence is in the database or in the report.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use crate::interval::split_sign;
use crate::mapper::{Mapper, Record};
use crate::row::{Row, Table};
use crate::{Merger, VULNERABILITY, ecosystem};

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment, and tell why they skip")]
fn evidence() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence");
    let folder = std::env::var_os("EXPORT_EVIDENCE").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no real evidence at {}", folder.display());
    None
}

/// Folder of packs, and the format that the evidence ledger recognises in them.
const PACKS: [(&str, &str); 6] = [
    ("advisories/osv", "osv"),
    ("advisories/cve5", "cve5"),
    ("advisories/raw/ruby-advisory-db", "ruby-advisory-db"),
    ("advisories/raw/friendsofphp", "friendsofphp"),
    ("advisories/raw/nodejs", "nodejs-security-wg"),
    ("advisories/raw/project-kb", "project-kb"),
];

fn packs(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            packs(&path, found);
        } else if path.file_name().is_some_and(|name| name == "docs.jsonl.zst") {
            found.push(path);
        }
    }
}

fn lines(pack: &Path) -> Vec<String> {
    let mut decoder = zstd::Decoder::new(std::fs::File::open(pack).unwrap()).unwrap();
    decoder.window_log_max(26).unwrap();
    BufReader::new(decoder).lines().map(Result::unwrap).collect()
}

/// Each bound of a language's entry is one that Trivy reads; an empty one would mean that all versions are affected.
fn check_ranges(row: &Row) {
    let Some(scheme) = ecosystem::scheme(&row.key.bucket) else { return };
    let fragment: serde_json::Value = serde_json::from_slice(&row.value).unwrap();
    let groups = fragment["vulnerable"].as_array().unwrap();
    assert!(!groups.is_empty(), "{:?}", row.key);
    for group in groups.iter().map(|group| group.as_str().unwrap()) {
        for bound in group.split(", ") {
            let (sign, version) = split_sign(bound);
            assert!(sign.is_some() && (version == "0" || scheme.reads(version)), "{:?} `{group}`", row.key);
        }
    }
}

#[test]
fn every_real_advisory_is_in_the_database_or_in_the_report() {
    let Some(evidence) = evidence() else { return };
    let (mut documents, mut rows) = (0_u64, Vec::new());
    let mut expressed: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (folder, format) in PACKS {
        let mut found = Vec::new();
        packs(&evidence.join(folder), &mut found);
        for pack in found {
            let name = pack.parent().unwrap().strip_prefix(&evidence).unwrap().display().to_string();
            let paths = lines(&pack.with_file_name("paths.txt.zst"));
            for (raw, path) in lines(&pack).iter().zip(&paths) {
                let document_id = format!("{name}/{path}");
                let subject = path.rsplit_once('.').map_or(path.as_str(), |(stem, _)| stem);
                let record = Record { source: &name, document_id: &document_id, subject, format, raw: raw.as_bytes() };
                let before = rows.len();
                Mapper.map(&record, &mut |row| rows.push(row));
                assert!(rows.len() > before, "no row for {document_id}");
                let in_database = rows[before..].iter().any(|row| row.key.table == Table::Database);
                rows[before..].iter().filter(|row| row.key.table == Table::Database).for_each(check_ranges);
                let counts = expressed.entry(name.clone()).or_default();
                counts.0 += 1;
                counts.1 += u64::from(in_database);
                documents += 1;
            }
        }
    }
    rows.sort_by_cached_key(|row| row.key.encode());
    let (mut merger, mut last, mut values) = (Merger::default(), BTreeMap::new(), 0_usize);
    let mut seen = std::collections::BTreeSet::new();
    for row in rows {
        let Some(entry) = merger.push(row).unwrap() else { continue };
        values += entry.value.len();
        let place = (entry.package.clone(), entry.id.clone());
        let before = last.insert(entry.bucket.clone(), place.clone());
        assert!(before.is_none_or(|before| before < place), "{} {place:?} is out of order", entry.bucket);
        let family = entry.bucket.split("::").next().unwrap().to_owned();
        assert!(seen.insert((family, place)), "{} {} stands in two buckets", entry.bucket, entry.id);
    }
    let (rest, report, summary) = merger.finish();
    assert!(rest.iter().any(|entry| entry.bucket == "data-source"));
    for (bucket, count) in &report.entries {
        let source = rest.iter().any(|entry| entry.bucket == "data-source" && entry.id == *bucket);
        assert!(source || bucket == VULNERABILITY, "{bucket} ({count}) has no data source");
    }
    eprintln!("{documents} advisories, {values} bytes of values");
    for (pack, (all, expressed)) in &expressed {
        eprintln!("{pack}: {expressed} of {all} in the database");
    }
    eprintln!("{}", serde_json::to_string_pretty(&summary).unwrap());
    eprintln!("{:#?}\nnames {}, sources {}", report.entries, report.merged_names, report.merged_sources);
    for (reason, found) in &report.not_expressed {
        let first: Vec<_> = found.examples.iter().take(2).collect();
        eprintln!("{:6} {reason}: {first:?}", found.count);
    }
    assert!(documents > 80_000, "{documents}");
}
