//! Where things lie in a mirror.

use std::fmt::Write as _;

use export_canon::digesting::sha256;
use export_contract::{RecordKey, RecordKind, TenantId};

/// The tree's page for people.
pub const README: &str = "README.md";
/// Where a delta keeps the page of the mirror that it leads to.
pub const TARGET_README: &str = "manifests/target/README.md";
/// The snapshot of a policy engine.
pub const SNAPSHOT: &str = "data/policy/snapshot.json";
/// The findings of that snapshot, as lines.
pub const EVALUATIONS: &str = "data/policy/evaluations.jsonl.zst";
/// Most SBOM documents of a mirror: `export.json` names each file, and an archive holds at most 100,000.
pub const MAX_DOCUMENTS: usize = 50_000;

/// Longest readable part of a folder's name.
const SLUG: usize = 80;

/// The lines file of a kind of record.
pub fn lines_path(kind: RecordKind) -> String {
    format!("data/raw/{}.jsonl.zst", kind.file_stem())
}

/// The index of a kind of record.
pub fn index_path(kind: RecordKind) -> String {
    format!("indexes/{}.index.json", kind.file_stem())
}

/// The same place in the folders of one of several tenants: `data/raw/acme/…` for `data/raw/…`, `indexes/acme/…` for `indexes/…`.
pub fn of_tenant(tenant: &TenantId, path: &str) -> String {
    for folder in ["data/raw/", "indexes/"] {
        if let Some(rest) = path.strip_prefix(folder) {
            return format!("{folder}{tenant}/{rest}");
        }
    }
    path.to_owned()
}

/// The index of policy findings.
pub const FINDINGS_INDEX: &str = "indexes/findings.index.json";

/// The index of a lines file, by the file's path.
pub fn index_of(lines: &str) -> Option<String> {
    if lines == EVALUATIONS {
        return Some(FINDINGS_INDEX.to_owned());
    }
    RecordKind::ALL.into_iter().find(|kind| lines_path(*kind) == lines).map(index_path)
}

/// In a delta: the lines of a lines file that are new or other ones.
pub fn changes_path(lines: &str) -> String {
    format!("{}.changes.jsonl.zst", lines.strip_suffix(".jsonl.zst").unwrap_or(lines))
}

/// The file of an SBOM: a folder for its subject, a file for the document. Names are made of letters that every file system takes, told apart by
/// digests, and depend on the record's key alone.
pub fn document_path(key: &RecordKey) -> String {
    let subject = name(&key.subject, sha256(key.subject.as_bytes()).as_bytes());
    let mut identity = key.document_id.clone().into_bytes();
    identity.push(0);
    identity.extend_from_slice(key.source.as_bytes());
    let document: String = hex(sha256(&identity).as_bytes(), 16);
    format!("data/raw/sboms/{subject}/{document}.json")
}

/// What can be read of `text`, and enough of its digest to be unique.
fn name(text: &str, digest: &[u8]) -> String {
    let mut slug = String::new();
    for byte in text.bytes() {
        if slug.len() >= SLUG {
            break;
        }
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' => slug.push(char::from(byte)),
            b'A'..=b'Z' => slug.push(char::from(byte.to_ascii_lowercase())),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_matches(['-', '.']);
    let separator = if slug.is_empty() { "" } else { "-" };
    format!("{slug}{separator}{}", hex(digest, 16))
}

fn hex(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{document_path, index_of, lines_path};
    use export_contract::{RecordKey, RecordKind};

    fn path(subject: &str, document: &str) -> String {
        document_path(&RecordKey { subject: subject.into(), document_id: document.into(), source: "s".into() })
    }

    #[test]
    fn documents_have_safe_names_that_tell_them_apart() {
        let paths = [
            path("pkg:npm/%40a/b@1", "1"),
            path("pkg:npm/%40a/B@1", "1"),
            path("pkg:npm/%40a/b@1", "2"),
            path("../../etc/passwd", "1"),
            path("", "1"),
            path(&"x".repeat(4_000), "1"),
            path("...", "../.."),
        ];
        for (index, path) in paths.iter().enumerate() {
            let parts: Vec<&str> = path.split('/').collect();
            assert_eq!((parts.len(), parts[0], parts[1], parts[2]), (5, "data", "raw", "sboms"), "{path}");
            assert!(parts.iter().all(|part| part.len() < 128 && !part.starts_with('.')), "{path}");
            assert!(
                path.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./".contains(&byte))
            );
            assert!(paths.iter().skip(index + 1).all(|other| !other.eq_ignore_ascii_case(path)), "{path}");
        }
        assert!(paths[0].contains("pkg-npm-40a-b-1-"), "{}", paths[0]);
    }

    #[test]
    fn a_lines_file_knows_its_index() {
        assert_eq!(index_of(&lines_path(RecordKind::Vex)).as_deref(), Some("indexes/vex.index.json"));
        assert_eq!(index_of("data/raw/sboms/x/y.json"), None);
    }
}
