//! A record of evidence: its kind, its place in the canonical order, and the line it is exported as.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Digest, TenantId, Timestamp};

/// What a record is evidence of. The order of the variants is the order of files and parts in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// A vulnerability advisory (OSV, CVE 5, vendor forms).
    Advisory,
    /// A statement on exploitability (OpenVEX, CSAF, CycloneDX VEX).
    Vex,
    /// A software bill of materials (CycloneDX, SPDX).
    Sbom,
}

impl RecordKind {
    /// Every kind, in bundle order.
    pub const ALL: [Self; 3] = [Self::Advisory, Self::Vex, Self::Sbom];

    /// The singular name: `advisory`, `vex`, `sbom`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Advisory => "advisory",
            Self::Vex => "vex",
            Self::Sbom => "sbom",
        }
    }

    /// The name of the kind's file in a bundle: `advisories`, `vex`, `sboms`.
    pub fn file_stem(self) -> &'static str {
        match self {
            Self::Advisory => "advisories",
            Self::Vex => "vex",
            Self::Sbom => "sboms",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no [`RecordKind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a record kind: use advisory, vex or sbom")]
pub struct UnknownKind(String);

impl FromStr for RecordKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "advisory" | "advisories" => Ok(Self::Advisory),
            "vex" => Ok(Self::Vex),
            "sbom" | "sboms" => Ok(Self::Sbom),
            other => Err(UnknownKind(other.chars().take(40).collect())),
        }
    }
}

/// A ledger position, rising per tenant from 1; 0 is before everything. A watermark is such a position (design D18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// The place of a record among those of its tenant and kind: ordered by subject, then document id, then source,
/// each by its UTF-8 bytes (design D15, D16). No two visible records share a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordKey {
    /// What the record speaks of: an advisory's id, a VEX document's first product, an SBOM's main component.
    pub subject: String,
    /// Pack or source path and upstream id.
    pub document_id: String,
    /// Publisher or pack.
    pub source: String,
}

/// What a record links to, gathered from the document on import and never used to change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linkset {
    /// Other ids of the same vulnerability, sorted, each once.
    pub aliases: Vec<String>,
    /// CPE names, sorted, each once.
    pub cpes: Vec<String>,
    /// Package URLs, sorted, each once.
    pub purls: Vec<String>,
    /// Addresses the document refers to, sorted, each once.
    pub references: Vec<String>,
}

/// The upstream document as it came, in canonical text, with what is needed to read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Content<'a> {
    /// `osv`, `cve5`, `openvex`, `csaf`, `cyclonedx`, `spdx`, …
    pub format: String,
    /// The document, every member and number literal kept (design D6).
    #[serde(borrow)]
    pub raw: &'a RawValue,
    /// Version of the format, empty when the document does not say.
    pub spec_version: String,
}

/// One line of `data/raw/*.jsonl.zst` (design D17). The members stand in sorted order, so that serialising
/// an envelope whose `raw` is canonical gives canonical text. The AOC guard looks at these members only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope<'a> {
    /// The upstream document.
    #[serde(borrow)]
    pub content: Content<'a>,
    /// SHA-256 of the canonical text of `content.raw`.
    pub content_hash: Digest,
    /// See [`RecordKey::document_id`].
    pub document_id: String,
    /// Advisory, VEX or SBOM.
    pub kind: RecordKind,
    /// What the record links to.
    pub linkset: Linkset,
    /// When the ledger took the record in.
    pub observed_at: Timestamp,
    /// See [`RecordKey::source`].
    pub source: String,
    /// See [`RecordKey::subject`].
    pub subject: String,
    /// Whose record it is.
    pub tenant: TenantId,
}
