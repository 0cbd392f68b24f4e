//! Real documents that went through BSON come out as their import does.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use export_evidence::SqliteLedger;
use export_evidence::import::{NoProgress, import};
use export_evidence::policy::SqlitePolicyStore;
use export_mongo::bson::{Bson, Document};
use export_mongo::mongodb::Collection;
use serde_json::Value;

use crate::bench::{Bench, lines, wrapped};

/// Of each pack.
const DOCUMENTS: usize = 15;

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
fn evidence() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence");
    let folder = std::env::var_os("EXPORT_EVIDENCE").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no real evidence at {}", folder.display());
    None
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("MANIFEST.json")).unwrap()).unwrap();
    // Catalogues are no evidence, and no peer keeps them among it.
    let packs = manifest["packs"].as_array().unwrap().iter().filter(|pack| pack["kind"] != "enrichment");
    let paths = packs.map(|pack| pack["path"].as_str().unwrap());
    paths.filter(|path| path.ends_with("/docs.jsonl.zst")).map(|path| folder.join(path)).collect()
}

/// Some documents of a pack, from all over it.
fn some(pack: &Path) -> Vec<String> {
    let plain = zstd::Decoder::new(std::fs::File::open(pack).unwrap()).unwrap();
    let all: Vec<String> = BufReader::new(plain).lines().map(Result::unwrap).collect();
    let step = all.len().div_ceil(DOCUMENTS).max(1);
    all.into_iter().step_by(step).collect()
}

/// The line without what the way it came decides: the number behind a shared id, and with the form of numbers the digest.
fn comparable(line: &str) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    let members = line.as_object_mut().unwrap();
    members.remove("document_id");
    members.remove("content_hash");
    // The subject of a document without any id is its digest, which the form of its numbers decides.
    if members["subject"].as_str().is_some_and(|subject| subject.starts_with("sha256:")) {
        members.remove("subject");
    }
    // A double has one form in BSON; import keeps what is written.
    let mut text = String::new();
    plain(&line, &mut text);
    text
}

fn plain(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => *out += &number.as_f64().unwrap().to_string(),
        Value::Array(elements) => elements.iter().for_each(|element| {
            plain(element, out);
            out.push(',');
        }),
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            *out += name;
            out.push(':');
            plain(member, out);
            out.push(';');
        }),
        other => *out += &other.to_string(),
    }
}

#[tokio::test]
async fn real_documents_come_out_as_their_import_does() {
    let Some(folder) = evidence() else { return };
    let Some(mut bench) = Bench::new().await else { return };
    bench.options.source_name = Some("real".to_owned());
    bench.options.observed_at = "2026-04-01T00:00:00Z".parse().unwrap();
    let collection: Collection<Document> = bench.peer.database.collection("advisory_raw");
    let (mut kept, mut not_kept) = (Vec::new(), 0);
    for pack in packs(&folder) {
        for text in some(&pack) {
            let raw = serde_json::from_str::<Value>(&text).unwrap();
            let Ok(raw) = Bson::try_from(raw) else { continue };
            let id = i64::try_from(kept.len()).unwrap();
            // FerretDB does not take names with dots or dollars; MongoDB does.
            match collection.insert_one(wrapped(id, raw)).await {
                Ok(_) => kept.push(text),
                Err(_) => not_kept += 1,
            }
        }
    }
    println!("{} documents, {not_kept} that FerretDB did not take", kept.len());
    assert!(kept.len() > 300 && not_kept < kept.len() / 5);
    let pulled = bench.pull().await;

    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("real.jsonl");
    std::fs::write(&file, kept.join("\n")).unwrap();
    let ledger = SqliteLedger::open(&scratch.path().join("e.db")).unwrap();
    let policy = SqlitePolicyStore::open(&scratch.path().join("p.db")).unwrap();
    let mut options = bench.options.clone();
    options.reject_file = None;
    let imported = import(&ledger, &policy, &[file], options, Arc::new(NoProgress)).await.unwrap();

    assert_eq!(
        (pulled.total.added, pulled.total.refused, pulled.total.unchanged),
        (imported.total.added, imported.total.refused, imported.total.unchanged),
        "{pulled}{imported}"
    );
    let sorted = |lines: Vec<String>| {
        let mut lines: Vec<String> = lines.iter().map(|line| comparable(line)).collect();
        lines.sort();
        lines
    };
    let (pulled, imported) = (sorted(bench.lines().await), sorted(lines(&ledger).await));
    assert_eq!(pulled.len(), imported.len());
    for (pulled, imported) in pulled.iter().zip(&imported) {
        assert!(pulled == imported, "{}\n{}", short(pulled), short(imported));
    }
}

fn short(text: &str) -> String {
    text.chars().take(2_000).collect()
}
