//! The repository: one document per package, an index, one archive.

use std::collections::{BTreeMap, BTreeSet};

use export_canon::digesting::sha256;
use export_canon::jcs;
use export_canon::tar::TarWriter;
use export_canon::zst::FrameEncoder;
use export_contract::{Digest, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::OpenVexError;
use crate::statement::by_package;

/// The version of the VEX Repository Specification.
const SPEC_VERSION: &str = "0.1";
/// Level of the archive's compression.
const LEVEL: i32 = 3;
/// How long a scanner keeps what it has before it asks again.
const UPDATE_INTERVAL: &str = "1h";

/// Statements by package, as they come.
#[derive(Debug)]
pub struct Repository {
    packages: BTreeMap<String, Package>,
    bytes: u64,
    limit: u64,
}

#[derive(Debug, Default)]
struct Package {
    authors: BTreeSet<String>,
    /// By time and text: a scanner takes the last of several statements, and the order in which documents came must not matter.
    statements: BTreeSet<(String, Vec<u8>)>,
}

/// A finished archive.
#[derive(Clone, PartialEq, Eq)]
pub struct Archive {
    /// `.tar.zst`.
    pub bytes: Vec<u8>,
    /// Digest of `bytes`.
    pub digest: Digest,
    /// Packages inside.
    pub packages: usize,
    /// Statements inside; one about two packages counts twice.
    pub statements: usize,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("digest", &self.digest)
            .field("packages", &self.packages)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    location: String,
    format: &'static str,
}

impl Repository {
    /// An empty repository that holds statements of at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { packages: BTreeMap::new(), bytes: 0, limit }
    }

    /// Takes the statements of an OpenVEX document.
    ///
    /// # Errors
    /// When it is no JSON object, or there would be more than is held.
    pub fn add(&mut self, document: &str) -> Result<(), OpenVexError> {
        let document: Map<String, Value> = serde_json::from_str(document).map_err(OpenVexError::Unreadable)?;
        let author = document.get("author").and_then(Value::as_str).map(str::to_owned);
        for (name, statements) in by_package(&document) {
            self.bytes += name.len() as u64;
            let package = self.packages.entry(name).or_default();
            package.authors.extend(author.clone());
            for statement in statements {
                let time = statement.get("timestamp").and_then(Value::as_str).unwrap_or_default().to_owned();
                let text = jcs::to_vec(&statement).map_err(OpenVexError::Write)?;
                let length = text.len() as u64;
                if package.statements.insert((instant(&time), text)) {
                    self.bytes += length;
                }
                if self.bytes > self.limit {
                    return Err(OpenVexError::TooMuch { limit: self.limit });
                }
            }
        }
        Ok(())
    }

    /// The archive: `index.json` and a document per package. The same statements give the same bytes, in whatever order they came.
    ///
    /// `as_of` is the newest observation among them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self, as_of: Timestamp) -> Result<Archive, OpenVexError> {
        let mut files = BTreeMap::new();
        let mut index = Vec::new();
        let mut count = 0;
        for (id, package) in &self.packages {
            count += package.statements.len();
            // A name of our own: the package's could be anything.
            let location = format!("documents/{}.json", sha256(id.as_bytes()).hex());
            files.insert(location.clone(), document(package, as_of)?);
            index.push(Entry { id, location, format: "openvex" });
        }
        let index = json!({ "updated_at": as_of.to_string(), "packages": index });
        files.insert("index.json".to_owned(), jcs::to_vec(&index).map_err(OpenVexError::Write)?);
        let mut tar = TarWriter::new(Vec::new());
        for (path, bytes) in &files {
            tar.append(path, bytes.len() as u64, bytes.as_slice()).map_err(OpenVexError::Pack)?;
        }
        let tar = tar.finish().map_err(OpenVexError::Pack)?;
        let mut bytes = Vec::new();
        FrameEncoder::new(LEVEL)
            .and_then(|mut encoder| encoder.encode(&tar, &mut bytes))
            .map_err(OpenVexError::Compress)?;
        let digest = Digest::from_bytes(*sha256(&bytes).as_bytes());
        Ok(Archive { bytes, digest, packages: self.packages.len(), statements: count })
    }
}

/// A time in a form in which later ones sort later; what is no time sorts first.
fn instant(text: &str) -> String {
    text.parse::<Timestamp>().map_or(String::new(), |at| format!("{:020}", at.as_micros()))
}

fn document(package: &Package, as_of: Timestamp) -> Result<Vec<u8>, OpenVexError> {
    let statements: Vec<Value> = package
        .statements
        .iter()
        .map(|(_, text)| serde_json::from_slice(text))
        .collect::<Result<_, _>>()
        .map_err(OpenVexError::Unreadable)?;
    let authors: Vec<&str> = package.authors.iter().map(String::as_str).collect();
    let mut document = json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": if authors.is_empty() { "unknown".to_owned() } else { authors.join(", ") },
        "timestamp": as_of.to_string(),
        "version": 1,
        "statements": statements,
    });
    let text = jcs::to_vec(&document).map_err(OpenVexError::Write)?;
    document["@id"] = Value::String(format!("urn:export-center:vex:{}", sha256(&text).hex()));
    jcs::to_vec(&document).map_err(OpenVexError::Write)
}

/// `vex-repository.json`, which names where the archive is.
pub fn manifest(name: &str, archive: &str) -> Value {
    json!({
        "name": name,
        "description": "OpenVEX statements of finished exports, one document per package",
        "versions": [{
            "spec_version": SPEC_VERSION,
            "locations": [{ "url": archive }],
            "update_interval": UPDATE_INTERVAL,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::{OpenVexError, Repository};

    fn document(id: u32, package: &str, at: &str, status: &str) -> String {
        format!(
            r#"{{"@context":"https://openvex.dev/ns/v0.2.0","author":"a{id}","timestamp":"{at}","statements":[
            {{"vulnerability":{{"name":"CVE-1"}},"products":[{{"@id":"{package}"}}],"status":"{status}"}}]}}"#
        )
    }

    #[test]
    fn the_order_in_which_documents_come_does_not_matter() {
        let documents = [
            document(1, "pkg:npm/a@1", "2026-01-02T00:00:00+01:00", "affected"),
            document(2, "pkg:npm/a@2", "2026-01-02T00:00:00Z", "fixed"),
            document(3, "pkg:npm/b", "2026-01-01T00:00:00Z", "fixed"),
            document(1, "pkg:npm/a@1", "2026-01-02T00:00:00+01:00", "affected"),
        ];
        let as_of = "2026-02-01T00:00:00Z".parse().unwrap();
        let made = |order: &[usize]| {
            let mut repository = Repository::new(1 << 20);
            for number in order {
                repository.add(&documents[*number]).unwrap();
            }
            repository.finish(as_of).unwrap()
        };
        let archive = made(&[0, 1, 2, 3]);
        assert_eq!(archive, made(&[3, 2, 1, 0]));
        assert_eq!((archive.packages, archive.statements), (2, 3), "what is said twice is said once");
    }

    #[test]
    fn more_statements_than_are_held_are_refused() {
        let mut repository = Repository::new(100);
        let error = repository.add(&document(1, "pkg:npm/a", "2026-01-01T00:00:00Z", "fixed")).unwrap_err();
        assert!(matches!(error, OpenVexError::TooMuch { limit: 100 }), "{error}");
        assert!(matches!(repository.add("[]").unwrap_err(), OpenVexError::Unreadable(_)));
    }
}
