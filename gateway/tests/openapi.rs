//! The documents beside the code are what the code makes.
//!
//! After a change of the API: `EXPORT_TESTS_RENEW=1 cargo test --workspace --test openapi`, and read the difference before it is
//! committed: a client may rely on what goes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "whether files are renewed is a setting of the tests")]

use std::collections::BTreeMap;
use std::path::Path;

use export_gateway::openapi;
use serde_json::Value;

/// The same with members in one order, whatever the map of this build is.
fn ordered(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let members: BTreeMap<&String, Value> =
                    members.iter().map(|(name, value)| (name, sorted(value))).collect();
                Value::Object(members.into_iter().map(|(name, value)| (name.clone(), value)).collect())
            }
            Value::Array(entries) => entries.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    let mut text = serde_json::to_string_pretty(&sorted(value)).unwrap();
    text.push('\n');
    text
}

fn is_as_committed(name: &str, made: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    let made = ordered(made);
    if std::env::var_os("EXPORT_TESTS_RENEW").is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(made.lines()).position(|(a, b)| a != b);
    assert!(
        committed == made,
        "docs/{name} is not what the code makes (line {}); EXPORT_TESTS_RENEW=1 cargo test --workspace --test openapi renews it",
        differs.map_or(committed.lines().count(), |line| line) + 1
    );
}

#[test]
fn the_document_in_the_repository_is_what_the_types_and_the_table_make() {
    is_as_committed("openapi.json", &openapi::document());
}

#[test]
fn events_headers_and_scopes_are_those_that_are_frozen() {
    is_as_committed("openapi.frozen.json", &openapi::frozen());
}

/// Counts the references in a document.
fn walk(value: &Value, found: &mut BTreeMap<String, usize>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(target) if name == "$ref" => *found.entry(target.to_owned()).or_default() += 1,
                    _ => walk(value, found),
                }
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| walk(entry, found)),
        _ => {}
    }
}

/// Every reference leads somewhere, and nothing stands there that nobody refers to.
#[test]
fn every_schema_is_there_and_referred_to() {
    let document = openapi::document();
    let mut found = BTreeMap::new();
    walk(&document, &mut found);
    for target in found.keys() {
        assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target} leads nowhere");
    }
    for name in document.pointer("/components/schemas").unwrap().as_object().unwrap().keys() {
        assert!(found.contains_key(&format!("#/components/schemas/{name}")), "nobody refers to {name}");
    }
}
