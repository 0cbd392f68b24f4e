//! What a record is called (design D16), so that none is lost.
//!
//! `document_id` is the path of the document and the id that its publisher gave, joined by `#`: publishers
//! repeat ids (40 in OSV sources, a thousand in VEX hubs) but not at one path. A document without path is
//! called by its id, one without id by its path, one without either by its digest. When one import meets the
//! same name again with other content, which lines without paths can bring about, the second and every
//! further one get a number, `#2`, `#3`, …; with the same content it is the same record.

use std::collections::HashMap;

use export_canon::digesting::{Digester, sha256};
use export_contract::RecordKind;

/// Longest document id and subject in bytes; longer names, and those with control characters, count as absent.
pub(crate) const MAX_NAME_BYTES: usize = 2_048;

/// Names of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) document_id: String,
    pub(crate) subject: String,
}

fn usable(name: Option<&str>) -> Option<&str> {
    name.map(str::trim)
        .filter(|name| !name.is_empty() && name.len() <= MAX_NAME_BYTES / 2 && !name.chars().any(char::is_control))
}

/// Names the record of a document; see the module.
pub(crate) fn name(path: &str, id: Option<&str>, subject: Option<&str>, raw: &[u8]) -> Names {
    let id = usable(id);
    let path = if path.is_empty() {
        None
    } else {
        usable(Some(path)).map_or_else(|| Some(short_digest(path.as_bytes())), |path| Some(path.to_owned()))
    };
    let document_id = match (path, id) {
        (Some(path), Some(id)) => format!("{path}#{id}"),
        (Some(path), None) => path,
        (None, Some(id)) => id.to_owned(),
        (None, None) => short_digest(raw),
    };
    let subject = usable(subject).or(id).map_or_else(|| document_id.clone(), str::to_owned);
    Names { document_id, subject }
}

fn short_digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes).hex())
}

/// Fingerprints of a record's identity and of its content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    name: [u8; 32],
    content: [u8; 32],
}

impl Identity {
    pub(crate) fn new(kind: RecordKind, source: &str, document_id: &str, raw: &[u8]) -> Self {
        let mut digester = Digester::new();
        for part in [kind.as_str(), source, document_id] {
            digester.update(&(part.len() as u64).to_le_bytes());
            digester.update(part.as_bytes());
        }
        Self { name: *digester.finish().sha256.as_bytes(), content: *sha256(raw).as_bytes() }
    }
}

/// Every identity that this import has met: some 64 bytes a document, which is what it costs to lose none.
/// Halves of the fingerprints are enough.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// By name: the first content, and how many contents there are.
    names: HashMap<[u8; 16], ([u8; 16], u32)>,
    /// By name and content: the number of every content but the first.
    others: HashMap<([u8; 16], [u8; 16]), u32>,
}

impl Repeats {
    /// The number of a document among those of its name: 1, unless others with other content came before it.
    pub(crate) fn number(&mut self, identity: Identity) -> u32 {
        let (name, content) = (half(identity.name), half(identity.content));
        let (first, count) = self.names.entry(name).or_insert((content, 1));
        if *first == content {
            return 1;
        }
        *self.others.entry((name, content)).or_insert_with(|| {
            *count += 1;
            *count
        })
    }
}

fn half(digest: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

#[cfg(test)]
mod tests {
    use export_contract::RecordKind;

    use super::{Identity, Repeats, name};

    #[test]
    fn names_join_path_and_id_and_fall_back_to_the_digest() {
        let ids = |path, id| name(path, id, None, b"{}").document_id;
        assert_eq!(ids("a/b.json", Some("X-1")), "a/b.json#X-1");
        assert_eq!(ids("a/b.json", None), "a/b.json");
        assert_eq!(ids("", Some(" X-1 ")), "X-1");
        assert_eq!(ids("", None), "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert_eq!(ids("a", Some("bad\u{0}id")), "a");
        assert!(ids(&"x".repeat(5_000), None).starts_with("sha256:"));
    }

    #[test]
    fn the_subject_falls_back_to_the_id_and_then_to_the_document_id() {
        let subject = |subject, id| name("p", id, subject, b"{}").subject;
        assert_eq!(subject(Some("pkg:npm/a"), Some("X")), "pkg:npm/a");
        assert_eq!(subject(None, Some("X")), "X");
        assert_eq!(subject(Some("\u{7}"), None), "p");
    }

    #[test]
    fn same_name_with_other_content_gets_a_number_and_with_the_same_content_is_the_same() {
        let mut repeats = Repeats::default();
        let mut number = |source: &str, content: &str| {
            repeats.number(Identity::new(RecordKind::Vex, source, "id", content.as_bytes()))
        };
        let numbers = [
            number("s", "a"),
            number("s", "b"),
            number("s", "a"),
            number("s", "b"),
            number("s", "c"),
            number("t", "b"),
        ];
        assert_eq!(numbers, [1, 2, 1, 2, 3, 1]);
    }
}
