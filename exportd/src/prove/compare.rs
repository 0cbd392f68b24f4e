//! Where two bundles differ: the first record of each file that does.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};

use anyhow::Context as _;
use export_blobs::Workspace;
use export_canon::zst::BoundedDecoder;
use export_contract::Digest;
use export_contract::manifest::ManifestContent;
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::original::Original;
use super::rebuild::Rebuilt;

/// A file that is not the same.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Difference {
    /// Which file; `export.json` where the manifests differ in themselves.
    pub(crate) path: String,
    /// `original`, `rebuilt` or `both`: where there is such a file.
    pub(crate) found_in: &'static str,
    /// The first record that differs, for files of records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<FirstRecord>,
}

/// A record, by its line and by its name in each of the bundles.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FirstRecord {
    /// Line, from 1.
    pub(crate) line: u64,
    /// Document id of the original's record, or what its finding is about; none where its file ends before.
    pub(crate) original: Option<String>,
    /// Document id of the rebuilt record.
    pub(crate) rebuilt: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in {}", self.path, self.found_in)?;
        let Some(record) = &self.record else { return Ok(()) };
        let name = |id: &Option<String>| id.clone().unwrap_or_else(|| "(nothing)".to_owned());
        write!(f, ", first in line {}: {} and {}", record.line, name(&record.original), name(&record.rebuilt))
    }
}

/// Every file that differs, by path. Bundles that differ have at least one: their manifests.
pub(crate) async fn differences(original: &Original, rebuilt: &Rebuilt) -> anyhow::Result<Vec<Difference>> {
    let contents = |contents: &[ManifestContent]| -> BTreeMap<String, Digest> {
        contents.iter().map(|file| (file.path.clone(), file.digest.clone())).collect()
    };
    let (before, after) = (contents(&original.manifest.contents), contents(&rebuilt.manifest.contents));
    let mut found = Vec::new();
    for (path, digest) in &before {
        match after.get(path) {
            None => found.push(Difference { path: path.clone(), found_in: "original", record: None }),
            Some(other) if other == digest => {}
            Some(other) => {
                let record = if path.ends_with(".jsonl.zst") {
                    first_record(&original.workspace(), digest, &rebuilt.workspace, other).await?
                } else {
                    None
                };
                found.push(Difference { path: path.clone(), found_in: "both", record });
            }
        }
    }
    let added = after.keys().filter(|path| !before.contains_key(*path));
    found.extend(added.map(|path| Difference { path: path.clone(), found_in: "rebuilt", record: None }));
    if found.is_empty() {
        found.push(Difference { path: "export.json".to_owned(), found_in: "both", record: None });
    }
    Ok(found)
}

async fn first_record(
    one: &Workspace,
    digest: &Digest,
    other: &Workspace,
    other_digest: &Digest,
) -> anyhow::Result<Option<FirstRecord>> {
    let (one, other) = (fetch(one, digest).await?, fetch(other, other_digest).await?);
    tokio::task::spawn_blocking(move || {
        let lines = |file| -> anyhow::Result<_> { Ok(BufReader::new(BoundedDecoder::new(file, u64::MAX)?)) };
        first_difference(lines(one)?, lines(other)?)
    })
    .await?
}

/// A copy that can be read from its beginning.
async fn fetch(workspace: &Workspace, digest: &Digest) -> anyhow::Result<File> {
    let mut pieces = workspace.read_artefact(digest).await.with_context(|| format!("cannot read {digest}"))?;
    let mut file = tempfile::tempfile().context("cannot make a temporary file")?;
    while let Some(piece) = pieces.try_next().await.with_context(|| format!("cannot read {digest}"))? {
        file.write_all(&piece).context("cannot write a temporary file")?;
    }
    std::io::Seek::rewind(&mut file).context("cannot go back in a temporary file")?;
    Ok(file)
}

/// The first line that differs; none where the texts are the same and only their packing differs.
fn first_difference(mut one: impl BufRead, mut other: impl BufRead) -> anyhow::Result<Option<FirstRecord>> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for line in 1.. {
        a.clear();
        b.clear();
        one.read_until(b'\n', &mut a).context("cannot read the original's records")?;
        other.read_until(b'\n', &mut b).context("cannot read the rebuilt records")?;
        if a != b {
            return Ok(Some(FirstRecord { line, original: document(&a), rebuilt: document(&b) }));
        }
        if a.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// What a line is about: the document id of evidence, subject and advisory of a finding.
fn document(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Named {
        Evidence { document_id: String },
        Finding { subject: String, advisory: Option<String> },
    }
    if line.is_empty() {
        return None;
    }
    Some(match serde_json::from_slice(line) {
        Ok(Named::Evidence { document_id }) => document_id,
        Ok(Named::Finding { subject, advisory }) => format!("{subject} {}", advisory.unwrap_or_default()),
        Err(_) => "a line that is no record".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{FirstRecord, first_difference};

    fn lines(ids: &[&str]) -> String {
        ids.iter().map(|id| format!("{{\"document_id\":\"{id}\"}}\n")).collect()
    }

    #[test]
    fn a_finding_is_called_by_what_it_is_about() {
        let line = br#"{"advisory":"CVE-1","raw":{},"snapshot_id":"s","subject":"pkg:npm/a","tenant":"t"}"#;
        assert_eq!(super::document(line).as_deref(), Some("pkg:npm/a CVE-1"));
        assert_eq!(super::document(b"{}").as_deref(), Some("a line that is no record"));
    }

    #[test]
    fn the_first_record_that_differs_is_named_wherever_it_is() {
        let first =
            |one: &[&str], other: &[&str]| first_difference(lines(one).as_bytes(), lines(other).as_bytes()).unwrap();
        let record = |line, original: Option<&str>, rebuilt: Option<&str>| {
            Some(FirstRecord { line, original: original.map(str::to_owned), rebuilt: rebuilt.map(str::to_owned) })
        };
        assert_eq!(first(&["a", "b"], &["a", "b"]), None);
        assert_eq!(first(&["a", "b", "c"], &["a", "x", "c"]), record(2, Some("b"), Some("x")));
        assert_eq!(first(&["a"], &["a", "b"]), record(2, None, Some("b")));
        assert_eq!(first(&["a", "b"], &["a"]), record(2, Some("b"), None));
        assert_eq!(first(&[], &["a"]), record(1, None, Some("a")));
    }
}
