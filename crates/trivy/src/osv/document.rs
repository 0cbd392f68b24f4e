//! The parts of an OSV document that are looked at. What is null is as good as absent.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A document.
#[derive(Debug, Deserialize)]
pub(crate) struct Osv {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) withdrawn: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) upstream: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) related: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) summary: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) details: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) severity: Vec<Rated>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) affected: Vec<Affected>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) references: Vec<Reference>,
    #[serde(default)]
    pub(crate) published: Option<String>,
    #[serde(default)]
    pub(crate) modified: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) database_specific: Value,
}

/// A rating.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rated {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) score: String,
}

/// What is said of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Affected {
    #[serde(default)]
    pub(crate) package: Option<Package>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) ranges: Vec<Range>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) versions: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) severity: Vec<Rated>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) database_specific: Value,
}

/// A package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) ecosystem: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
}

/// A range.
#[derive(Debug, Deserialize)]
pub(crate) struct Range {
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) events: Vec<BTreeMap<String, String>>,
}

/// A reference.
#[derive(Debug, Deserialize)]
pub(crate) struct Reference {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) url: String,
}

/// Reads a document; `true`: members of another type than the schema gives them were passed over. A document without an id, or
/// that is no object, is none.
pub(crate) fn read(raw: &[u8]) -> Result<(Osv, bool), serde_json::Error> {
    match serde_json::from_slice(raw) {
        Ok(osv) => Ok((osv, false)),
        Err(error) => {
            let mut document: Value = serde_json::from_slice(raw).map_err(|_| error)?;
            mend(&mut document);
            serde_json::from_value(document).map(|osv| (osv, true))
        }
    }
}

/// Takes out what is not of the type that is asked for; a single value is as good as a list of one.
fn mend(document: &mut Value) {
    let Some(members) = document.as_object_mut() else { return };
    keep(members, &["withdrawn", "summary", "details", "published", "modified"], Value::is_string);
    for name in ["aliases", "upstream", "related"] {
        list(members, name, Value::is_string);
    }
    for name in ["severity", "references", "affected"] {
        list(members, name, Value::is_object);
    }
    for name in ["severity", "references"] {
        for one in each(members, name) {
            keep(one, &["score", "url"], Value::is_string);
        }
    }
    for affected in each(members, "affected") {
        keep(affected, &["package"], Value::is_object);
        if let Some(package) = affected.get_mut("package").and_then(Value::as_object_mut) {
            keep(package, &["ecosystem", "name"], Value::is_string);
        }
        list(affected, "versions", Value::is_string);
        list(affected, "ranges", Value::is_object);
        list(affected, "severity", Value::is_object);
        for one in each(affected, "severity") {
            keep(one, &["score"], Value::is_string);
        }
        for range in each(affected, "ranges") {
            keep(range, &["type"], Value::is_string);
            list(range, "events", Value::is_object);
            for event in each(range, "events") {
                event.retain(|_, version| version.is_string());
            }
        }
    }
}

type Members = serde_json::Map<String, Value>;

fn keep(members: &mut Members, names: &[&str], good: fn(&Value) -> bool) {
    members.retain(|name, value| !names.contains(&name.as_str()) || good(value));
}

fn list(members: &mut Members, name: &str, good: fn(&Value) -> bool) {
    let Some(value) = members.get_mut(name) else { return };
    *value = match value.take() {
        Value::Array(items) => items.into_iter().filter(good).collect(),
        one if good(&one) => Value::Array(vec![one]),
        _ => Value::Null,
    };
}

fn each<'a>(members: &'a mut Members, name: &str) -> impl Iterator<Item = &'a mut Members> {
    members.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    #[test]
    fn members_of_another_type_are_passed_over_and_the_rest_is_read() {
        let document = json!({
            "id": "X-1", "summary": 7, "aliases": "CVE-2020-0001", "related": [null, "Y"], "severity": { "score": 9.8 },
            "references": [{ "url": 1 }, "text"],
            "affected": [
                null,
                { "package": "text" },
                {
                    "package": { "ecosystem": "npm", "name": "a" }, "versions": ["1.0.0", 2],
                    "ranges": { "type": "SEMVER", "events": [{ "introduced": 0 }, { "fixed": "1.2.0" }] },
                },
            ],
        });
        let (osv, mended) = read(document.to_string().as_bytes()).unwrap();
        assert!(mended);
        assert_eq!((osv.summary.as_str(), osv.aliases, osv.related.len()), ("", vec!["CVE-2020-0001".to_owned()], 1));
        assert_eq!((osv.affected.len(), osv.affected[1].versions.len()), (2, 1));
        assert_eq!(osv.affected[1].ranges[0].events[1]["fixed"], "1.2.0");
        assert!(read(b"{\"summary\":\"no id\"}").is_err() && read(b"[]").is_err() && read(b"{").is_err());
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let (osv, mended) =
            read(br#"{"id":"X-1","affected":[{"package":null,"versions":null}],"aliases":null}"#).unwrap();
        assert!(!mended && osv.affected[0].package.is_none() && osv.aliases.is_empty());
    }
}
