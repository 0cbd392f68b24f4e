//! The guard of the aggregation-only contract: a record of evidence carries what was observed, never what
//! somebody concluded.
//!
//! It looks at the members of the envelope alone (design D5, D17). Documents keep whatever their publishers
//! wrote: 21,258 real OSV documents have a `severity` of their own inside `content.raw`.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

/// Members that no record may carry at its top level, sorted (published analyzer rule `AOC0001`).
pub const FORBIDDEN: [&str; 10] = [
    "asset_criticality",
    "consensus_provider",
    "cvss",
    "cvss_vector",
    "effective_range",
    "effective_status",
    "merged_from",
    "reachability",
    "risk_score",
    "severity",
];

/// Beginning of the names of derived members (published analyzer rule `AOC0002`).
pub const DERIVED_PREFIX: &str = "effective_";

/// A record that must not be stored or exported.
#[derive(Debug, thiserror::Error)]
pub enum AocViolation {
    /// It carries members that conclude instead of observing.
    #[error("the record carries derived members: {}", .members.join(", "))]
    Derived {
        /// Their names, sorted, each once.
        members: Vec<String>,
    },
    /// It is no JSON object.
    #[error("the record is no JSON object")]
    NotAnObject(#[source] serde_json::Error),
}

/// Whether a member of that name is forbidden at the top level of a record. Case does not matter, so that
/// `Severity` does not slip through.
pub fn is_forbidden(member: &str) -> bool {
    let member = member.to_ascii_lowercase();
    member.starts_with(DERIVED_PREFIX) || FORBIDDEN.contains(&member.as_str())
}

/// Checks the members of a record given by name, the way a writer that knows them does.
///
/// # Errors
/// [`AocViolation::Derived`].
pub fn check_members<'a>(members: impl IntoIterator<Item = &'a str>) -> Result<(), AocViolation> {
    let mut found: Vec<String> = members.into_iter().filter(|member| is_forbidden(member)).map(str::to_owned).collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { Ok(()) } else { Err(AocViolation::Derived { members: found }) }
}

/// Checks the top-level members of a serialised record, such as an export line. What is inside them is
/// skipped unread.
///
/// # Errors [`AocViolation`].
pub fn check_line(line: &[u8]) -> Result<(), AocViolation> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let members = reader.deserialize_map(Names).map_err(AocViolation::NotAnObject)?;
    check_members(members.iter().map(String::as_str))
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            names.push(name);
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::{AocViolation, FORBIDDEN, check_line, check_members, is_forbidden};

    #[test]
    fn every_forbidden_member_and_every_effective_one_is_found() {
        for member in FORBIDDEN {
            let line = format!(r#"{{"tenant":"t","{member}":1}}"#);
            let Err(AocViolation::Derived { members }) = check_line(line.as_bytes()) else { panic!("{member}") };
            assert_eq!(members, [member]);
        }
        assert!(is_forbidden("effective_anything") && is_forbidden("Severity"));
        assert!(!is_forbidden("effective") && !is_forbidden("severities"));
    }

    #[test]
    fn members_inside_the_document_are_none_of_its_business() {
        let line = br#"{"content":{"raw":{"severity":[{"type":"CVSS_V3"}],"effective_status":1}},"tenant":"t"}"#;
        assert!(check_line(line).is_ok());
    }

    #[test]
    fn an_escaped_name_does_not_slip_through_and_names_come_sorted_once() {
        let line = br#"{"\u0073everity":1,"cvss":2,"severity":3}"#;
        let Err(AocViolation::Derived { members }) = check_line(line) else { panic!("not found") };
        assert_eq!(members, ["cvss", "severity"]);
        assert!(matches!(check_line(b"[1]"), Err(AocViolation::NotAnObject(_))));
        assert!(check_members(["tenant", "kind"]).is_ok());
    }

    #[test]
    fn an_envelope_passes_by_construction() {
        let line = r#"{"content":{"format":"osv","raw":{"severity":1},"spec_version":""},"content_hash":"sha256:HASH","document_id":"d","kind":"advisory","linkset":{"aliases":[],"cpes":[],"purls":[],"references":[]},"observed_at":"2026-01-01T00:00:00Z","source":"s","subject":"A","tenant":"t"}"#
            .replace("HASH", &"0".repeat(64));
        let envelope: export_contract::evidence::Envelope<'_> = serde_json::from_str(&line).unwrap();
        assert!(check_line(&serde_json::to_vec(&envelope).unwrap()).is_ok());
    }
}
