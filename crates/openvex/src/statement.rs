//! Statements in one form, whatever version of OpenVEX they came in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::package::package_of;

/// The statements of a document with all that they take over from it, by package: each with the products of that package alone.
///
/// Documents of v0.0.1 write vulnerabilities and products as plain strings, and name subcomponents beside the products.
pub(crate) fn by_package(document: &Map<String, Value>) -> BTreeMap<String, Vec<Map<String, Value>>> {
    let mut found: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
    let issued = document.get("last_updated").or_else(|| document.get("timestamp")).cloned();
    let Some(Value::Array(statements)) = document.get("statements") else { return found };
    for statement in statements.iter().filter_map(Value::as_object) {
        let mut statement = statement.clone();
        if let Some(Value::String(name)) = statement.get("vulnerability").cloned() {
            statement.insert("vulnerability".to_owned(), object("name", name));
        }
        if let Some(issued) = issued.clone() {
            statement.entry("timestamp").or_insert(issued);
        }
        let beside = statement.remove("subcomponents");
        let Some(Value::Array(products)) = statement.remove("products") else { continue };
        let mut named: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for product in products {
            let Some(mut product) = component(product) else { continue };
            if let (Some(Value::Array(beside)), None) = (&beside, product.get("subcomponents")) {
                let beside: Vec<Value> = beside.iter().cloned().filter_map(component).map(Value::Object).collect();
                product.insert("subcomponents".to_owned(), Value::Array(beside));
            }
            let Some(package) = purl(&product).and_then(package_of) else { continue };
            named.entry(package).or_default().push(Value::Object(product));
        }
        for (package, products) in named {
            let mut of_package = statement.clone();
            of_package.insert("products".to_owned(), Value::Array(products));
            found.entry(package).or_default().push(of_package);
        }
    }
    found
}

fn object(member: &str, text: String) -> Value {
    Value::Object(Map::from_iter([(member.to_owned(), Value::String(text))]))
}

/// A product or subcomponent as an object.
fn component(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::String(id) => Some(Map::from_iter([("@id".to_owned(), Value::String(id))])),
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn purl(product: &Map<String, Value>) -> Option<&str> {
    let identified = product.get("identifiers").and_then(|all| all.get("purl"));
    identified.or_else(|| product.get("@id")).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::by_package;

    fn regrouped(document: Value) -> Value {
        let Value::Object(document) = document else { panic!("{document}") };
        serde_json::to_value(by_package(&document)).unwrap()
    }

    #[test]
    fn a_statement_about_two_packages_is_told_of_each() {
        let document = json!({
            "timestamp": "2026-01-01T00:00:00Z",
            "statements": [{
                "vulnerability": { "name": "CVE-1" },
                "products": [
                    { "@id": "pkg:npm/a@1" },
                    { "@id": "https://x", "identifiers": { "purl": "pkg:npm/b@2" } },
                    { "@id": "pkg:npm/a@2", "subcomponents": [{ "@id": "pkg:npm/c" }] },
                    { "@id": "no purl" },
                ],
                "status": "fixed",
            }],
        });
        let statement = |products: Value| json!([{ "vulnerability": { "name": "CVE-1" }, "timestamp": "2026-01-01T00:00:00Z", "status": "fixed", "products": products }]);
        let a = json!([{ "@id": "pkg:npm/a@1" }, { "@id": "pkg:npm/a@2", "subcomponents": [{ "@id": "pkg:npm/c" }] }]);
        let b = json!([{ "@id": "https://x", "identifiers": { "purl": "pkg:npm/b@2" } }]);
        assert_eq!(regrouped(document), json!({ "pkg:npm/a": statement(a), "pkg:npm/b": statement(b) }));
    }

    #[test]
    fn the_early_form_is_written_as_the_present_one() {
        let document = json!({
            "timestamp": "2026-01-01T00:00:00Z",
            "statements": [{
                "vulnerability": "CVE-1",
                "timestamp": "2025-01-01T00:00:00Z",
                "products": ["pkg:oci/app?repository_url=r"],
                "subcomponents": ["pkg:apk/alpine/zlib"],
                "status": "not_affected",
                "justification": "component_not_present",
            }],
        });
        let expected = json!({ "pkg:oci/app?repository_url=r": [{
            "vulnerability": { "name": "CVE-1" },
            "timestamp": "2025-01-01T00:00:00Z",
            "products": [{ "@id": "pkg:oci/app?repository_url=r", "subcomponents": [{ "@id": "pkg:apk/alpine/zlib" }] }],
            "status": "not_affected",
            "justification": "component_not_present",
        }] });
        assert_eq!(regrouped(document), expected);
    }

    #[test]
    fn what_is_no_statement_about_a_package_is_left_out() {
        for document in [
            json!({}),
            json!({ "statements": {} }),
            json!({ "statements": [1, { "vulnerability": "CVE-1" }, { "products": "x" }, { "products": [1, null, {}] }] }),
        ] {
            assert_eq!(regrouped(document), json!({}));
        }
    }
}
