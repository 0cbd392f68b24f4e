//! From an SBOM to claims.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer};

use super::{BUCKET, Claim};
use crate::mapper::Record;
use crate::row::{Row, Table};
use crate::rows::Rows;

/// Maps SBOMs in CycloneDX and SPDX 2 JSON. What is no archive of Maven is passed over; what claims to be one and cannot be used
/// becomes a row of the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mapper;

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The parts of a CycloneDX or SPDX document that are looked at; its own members tell which one it is.
#[derive(Default, Deserialize)]
struct Document {
    #[serde(default, deserialize_with = "or_default")]
    components: Vec<Component>,
    #[serde(default, deserialize_with = "or_default")]
    metadata: Metadata,
    #[serde(default, deserialize_with = "or_default")]
    packages: Vec<Package>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    component: Option<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default, deserialize_with = "or_default")]
    purl: String,
    #[serde(default, deserialize_with = "or_default")]
    hashes: Vec<Hash>,
    #[serde(default, deserialize_with = "or_default")]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Hash {
    #[serde(alias = "algorithm", default, deserialize_with = "or_default")]
    alg: String,
    #[serde(alias = "checksumValue", default, deserialize_with = "or_default")]
    content: String,
}

#[derive(Deserialize)]
struct Package {
    #[serde(rename = "externalRefs", default, deserialize_with = "or_default")]
    references: Vec<Reference>,
    #[serde(default, deserialize_with = "or_default")]
    checksums: Vec<Hash>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "referenceType", default, deserialize_with = "or_default")]
    kind: String,
    #[serde(rename = "referenceLocator", default, deserialize_with = "or_default")]
    locator: String,
}

impl Mapper {
    /// Gives the rows of `record`, which never fails.
    pub fn map(&self, record: &Record<'_>, out: &mut dyn FnMut(Row)) {
        let mut rows = Rows::new(record, out);
        let document = match (record.format, serde_json::from_slice::<Document>(record.raw)) {
            ("cyclonedx" | "spdx", Ok(document)) => document,
            ("cyclonedx" | "spdx", Err(error)) => {
                return rows.report("a document that is not what its format says", record.subject, &error.to_string());
            }
            (other, _) => return rows.report("a format that is not mapped to the Java index", record.subject, other),
        };
        // Depth is bounded by the JSON reader, and so is this stack.
        let mut waiting: Vec<Component> = document.metadata.component.into_iter().chain(document.components).collect();
        while let Some(component) = waiting.pop() {
            claim(&component.purl, &component.hashes, &mut rows);
            waiting.extend(component.components);
        }
        for package in document.packages {
            for reference in package.references.iter().filter(|reference| reference.kind == "purl") {
                claim(&reference.locator, &package.checksums, &mut rows);
            }
        }
    }
}

fn claim(purl: &str, hashes: &[Hash], rows: &mut Rows<'_>) {
    let Some(path) = purl.strip_prefix("pkg:maven/") else { return };
    let Some((claim, kind)) = coordinates(path) else {
        return rows.report("a package URL without group, artefact or version", purl, "");
    };
    if !matches!(kind.as_deref(), None | Some("jar")) {
        return rows.report("not a jar", purl, kind.as_deref().unwrap_or_default());
    }
    let mut digests = hashes.iter().filter(|hash| matches!(hash.alg.as_str(), "SHA-1" | "SHA1")).peekable();
    if digests.peek().is_none() {
        return rows.report("an archive without a SHA-1", purl, "");
    }
    for digest in digests {
        let digest = digest.content.to_ascii_lowercase();
        if digest.len() == 40 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let id = format!("{}:{}:{}", claim.group, claim.artifact, claim.version);
            rows.put(Table::Database, BUCKET, &digest, &id, &claim);
        } else {
            rows.report("a SHA-1 that is none", purl, &digest);
        }
    }
}

/// What follows `pkg:maven/`: the claim, and the type that a qualifier names.
fn coordinates(path: &str) -> Option<(Claim, Option<String>)> {
    let path = path.split('#').next()?;
    let (path, qualifiers) = path.split_once('?').unwrap_or((path, ""));
    let (path, version) = path.split_once('@')?;
    let (group, artifact) = path.rsplit_once('/')?;
    let decoded =
        |text: &str| percent_decode_str(text).decode_utf8().ok().filter(|text| !text.is_empty()).map(String::from);
    let qualifier = |name: &str| {
        qualifiers
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .and_then(|(_, value)| decoded(value))
    };
    let classified = qualifier("classifier").is_some();
    let claim = Claim { classified, group: decoded(group)?, artifact: decoded(artifact)?, version: decoded(version)? };
    Some((claim, qualifier("type")))
}

#[cfg(test)]
mod tests {
    use super::{Claim, coordinates};

    #[test]
    fn a_package_url_is_taken_apart() {
        let claim = |classified| Claim {
            classified,
            group: "org.x".to_owned(),
            artifact: "a b".to_owned(),
            version: "1.0+2".to_owned(),
        };
        assert_eq!(coordinates("org.x/a%20b@1.0%2B2"), Some((claim(false), None)));
        let full = coordinates("org.x/a%20b@1.0%2B2?classifier=sources&type=jar#sub/path");
        assert_eq!(full, Some((claim(true), Some("jar".to_owned()))));
        for incomplete in ["org.x/a", "a@1", "/a@1", "org.x/@1", "org.x/a@", ""] {
            assert_eq!(coordinates(incomplete), None, "{incomplete}");
        }
    }
}
