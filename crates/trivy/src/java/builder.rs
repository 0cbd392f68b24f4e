//! From sorted claims to the SQLite file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Claim;
use crate::report::{Example, Report};
use crate::row::{BadRow, Row, Table};

/// Why no index was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A staged row is damaged.
    #[error("a staged row is damaged")]
    Row(#[from] BadRow),
    /// SQLite failed.
    #[error("cannot write the index `{}`", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rusqlite::Error,
    },
    /// The file cannot be made durable.
    #[error("cannot make the index `{}` durable", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

/// Trivy asks for these tables and columns by name.
const TABLES: &str = "
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16384;
CREATE TABLE artifacts (id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
CREATE TABLE indices (artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT,
  FOREIGN KEY (artifact_id) REFERENCES artifacts (id));
CREATE UNIQUE INDEX artifacts_idx ON artifacts (artifact_id, group_id);
BEGIN;
";
/// Made when the rows are there, which is faster and always the same.
const INDEXES: &str = "
COMMIT;
CREATE INDEX indices_artifact_idx ON indices (artifact_id);
CREATE UNIQUE INDEX indices_sha1_idx ON indices (sha1);
VACUUM;
";
/// Most different claims of one archive that are counted.
const MAX_CLAIMS: usize = 1_000;

/// Writes an index from rows that come in the order of their keys. The same rows give the same bytes: SQLite writes its own version
/// into a file, and that one is compiled in.
#[derive(Debug)]
pub struct Builder {
    connection: Connection,
    path: PathBuf,
    open: Option<(String, BTreeMap<Claim, u64>)>,
    report: Report,
}

impl Builder {
    /// Begins an index at `path`, where no file may be.
    ///
    /// # Errors
    /// When SQLite cannot make it.
    pub fn create(path: &Path) -> Result<Self, BuildError> {
        let failed = |cause| BuildError::Sqlite { path: path.to_owned(), cause };
        let connection = Connection::open(path).map_err(failed)?;
        connection.execute_batch(TABLES).map_err(failed)?;
        Ok(Self { connection, path: path.to_owned(), open: None, report: Report::default() })
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// When the row is damaged or SQLite fails.
    pub fn push(&mut self, row: Row) -> Result<(), BuildError> {
        let Row { key, value } = row;
        if key.table == Table::Report {
            let example: Example = serde_json::from_slice(&value).map_err(|_| BadRow::Value)?;
            self.report.take(&key.bucket, example);
            return Ok(());
        }
        let claim: Claim = serde_json::from_slice(&value).map_err(|_| BadRow::Value)?;
        if self.open.as_ref().is_none_or(|(digest, _)| *digest != key.package) {
            self.close()?;
        }
        let (_, claims) = self.open.get_or_insert_with(|| (key.package, BTreeMap::new()));
        if claims.len() < MAX_CLAIMS || claims.contains_key(&claim) {
            *claims.entry(claim).or_default() += 1;
        }
        Ok(())
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// When SQLite or the disk fails.
    pub fn finish(mut self) -> Result<Report, BuildError> {
        self.close()?;
        let Self { connection, path, report, .. } = self;
        let failed = |cause| BuildError::Sqlite { path: path.clone(), cause };
        connection.execute_batch(INDEXES).map_err(failed)?;
        connection.close().map_err(|(_, cause)| failed(cause))?;
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|cause| BuildError::Sync { path, cause })?;
        Ok(report)
    }

    fn close(&mut self) -> Result<(), BuildError> {
        let Some((digest, claims)) = self.open.take() else { return Ok(()) };
        if claims.len() > 1 {
            self.report.contested_archives += 1;
        }
        // Without a classifier before with one, then the most frequent, then the first by name.
        let best = claims.into_iter().min_by(|(a, count), (b, other)| {
            (a.classified, std::cmp::Reverse(count), a).cmp(&(b.classified, std::cmp::Reverse(other), b))
        });
        let Some((claim, _)) = best else { return Ok(()) };
        self.write(&digest, &claim).map_err(|cause| BuildError::Sqlite { path: self.path.clone(), cause })?;
        *self.report.entries.entry("indices".to_owned()).or_default() += 1;
        Ok(())
    }

    fn write(&self, digest: &str, claim: &Claim) -> rusqlite::Result<()> {
        let Claim { group, artifact, version, .. } = claim;
        let mut known =
            self.connection.prepare_cached("SELECT id FROM artifacts WHERE artifact_id = ? AND group_id = ?")?;
        let id = known.query_row(params![artifact, group], |row| row.get::<_, i64>(0)).optional()?;
        let id = match id {
            Some(id) => id,
            None => {
                let mut add =
                    self.connection.prepare_cached("INSERT INTO artifacts (group_id, artifact_id) VALUES (?, ?)")?;
                add.insert(params![group, artifact])?
            }
        };
        let digest = bytes(digest);
        let mut add = self.connection.prepare_cached("INSERT INTO indices VALUES (?, ?, ?, 'jar')")?;
        add.execute(params![id, version, digest]).map(drop)
    }
}

/// The bytes of hex digits, which the mapper has checked.
fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::Builder;
    use crate::Record;
    use crate::java::Mapper;
    use crate::report::Report;
    use crate::row::Row;

    fn sbom(components: &[(&str, &str)]) -> String {
        let components: Vec<String> = components
            .iter()
            .map(|(purl, sha1)| format!(r#"{{"purl":"{purl}","hashes":[{{"alg":"SHA-1","content":"{sha1}"}}]}}"#))
            .collect();
        format!(r#"{{"bomFormat":"CycloneDX","components":[{}]}}"#, components.join(","))
    }

    fn rows(documents: &[String]) -> Vec<Row> {
        let mut rows = Vec::new();
        for (number, raw) in documents.iter().enumerate() {
            let id = format!("doc-{number}");
            let record =
                Record { source: "s", document_id: &id, subject: "subject", format: "cyclonedx", raw: raw.as_bytes() };
            Mapper.map(&record, &mut |row| rows.push(row));
        }
        rows.sort_by_key(|row| row.key.encode());
        rows
    }

    fn build(path: &Path, rows: Vec<Row>) -> Report {
        let mut builder = Builder::create(path).unwrap();
        for row in rows {
            builder.push(row).unwrap();
        }
        builder.finish().unwrap()
    }

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    #[test]
    fn a_contested_archive_is_given_to_the_most_frequent_claim_without_a_classifier() {
        let folder = tempfile::tempdir().unwrap();
        let documents = [
            sbom(&[("pkg:maven/org.x/shaded@1", A), ("pkg:maven/org.x/y@2?classifier=sources", B)]),
            sbom(&[
                ("pkg:maven/org.x/true@1?type=jar", A),
                ("pkg:maven/org.x/y@2", B),
                ("pkg:maven/org.x/pom@1?type=pom", A),
            ]),
            sbom(&[("pkg:maven/org.x/true@1", A), ("pkg:maven/org.x/none@1", "short"), ("pkg:npm/x@1", A)]),
        ];
        let path = folder.path().join("java.db");
        let report = build(&path, rows(&documents));
        assert_eq!((report.contested_archives, report.entries["indices"]), (2, 2));
        assert_eq!(
            report.not_expressed.iter().map(|(reason, found)| (reason.as_str(), found.count)).collect::<Vec<_>>(),
            [("a SHA-1 that is none", 1), ("not a jar", 1)]
        );
        let connection = Connection::open(&path).unwrap();
        let mut query = connection
            .prepare("SELECT hex(sha1), typeof(sha1), group_id, a.artifact_id, version, archive_type FROM indices i JOIN artifacts a ON a.id = i.artifact_id ORDER BY sha1")
            .unwrap();
        let found: Vec<String> = query
            .query_map([], |row| (0..6).map(|column| row.get::<_, String>(column)).collect::<Result<Vec<_>, _>>())
            .unwrap()
            .map(|row| row.unwrap().join(" "))
            .collect();
        assert_eq!(found, [format!("{} blob org.x true 1 jar", A.to_uppercase()), format!("{B} blob org.x y 2 jar")]);
    }

    #[test]
    fn the_same_claims_in_any_order_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut documents: Vec<String> = (0..300)
            .map(|n| sbom(&[(&format!("pkg:maven/g{}/a{}@{n}", n % 7, n % 40), &format!("{:040x}", n * 7919))]))
            .collect();
        let build = |documents: &[String], name: &str| {
            let path = folder.path().join(name);
            // Origins differ, claims do not.
            build(&path, rows(documents));
            std::fs::read(path).unwrap()
        };
        let one = build(&documents, "one");
        documents.reverse();
        assert!(one == build(&documents, "two"));
        documents.pop();
        assert!(one != build(&documents, "three"));
    }
}
