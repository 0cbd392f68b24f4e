//! What a document is, told from its members alone, and what its record says.
//!
//! **Leniency.** A document that is well-formed JSON of a known format is never refused for what is inside:
//! members that are absent, `null` or of another type than the format says count as absent, a single value
//! counts where a list of such values is expected, unknown members are left alone, and of members with one
//! name the last one counts. Documents that break the schema of their format are in every real feed. Whoever
//! reads the export decides what to do with them; import only reads ids and links out of them and keeps the
//! text as it is.

mod cisa_kev;
mod csaf;
mod cve5;
mod cyclonedx;
mod friendsofphp;
mod nodejs;
mod openvex;
mod osv;
mod policy;
mod project_kb;
mod ruby;
mod spdx;

use std::collections::BTreeSet;

use export_contract::RecordKind;

use super::links::Links;
use super::tape::Value;

/// Open Source Vulnerability format (<https://ossf.github.io/osv-schema/>).
pub const OSV: &str = "osv";
/// CVE JSON record format 5.x (<https://cveproject.github.io/cve-schema/>).
pub const CVE5: &str = "cve5";
/// Records of ruby-advisory-db.
pub const RUBY: &str = "ruby-advisory-db";
/// Records of FriendsOfPHP security-advisories.
pub const FRIENDS_OF_PHP: &str = "friendsofphp";
/// Records of the Node.js security working group.
pub const NODEJS: &str = "nodejs-security-wg";
/// Statements of SAP project-kb.
pub const PROJECT_KB: &str = "project-kb";
/// OpenVEX documents, v0.0.1 included (<https://github.com/openvex/spec>).
pub const OPENVEX: &str = "openvex";
/// OASIS Common Security Advisory Framework 2.x.
pub const CSAF: &str = "csaf";
/// CycloneDX JSON, SBOM or VEX.
pub const CYCLONEDX: &str = "cyclonedx";
/// SPDX JSON, 2.x and 3.x.
pub const SPDX: &str = "spdx";
/// CISA's catalogue of known exploited vulnerabilities: enrichment, no evidence.
pub const CISA_KEV: &str = "cisa-kev";
/// A policy snapshot, in its simple form or as the policy engine lists it.
pub const POLICY_SNAPSHOT: &str = "policy-snapshot";
/// A policy finding: in its simple form, an explain trace, or a line of the policy engine's ledger.
pub const POLICY_FINDING: &str = "policy-finding";

/// What the record of a document will say.
#[derive(Debug)]
pub(crate) struct Extract {
    pub(crate) kind: RecordKind,
    pub(crate) format: &'static str,
    pub(crate) spec_version: String,
    /// The id that the publisher gave.
    pub(crate) id: Option<String>,
    /// What the document speaks of, where that is not its id.
    pub(crate) subject: Option<String>,
    pub(crate) ecosystems: BTreeSet<String>,
    pub(crate) links: Links,
}

impl Extract {
    fn new(kind: RecordKind, format: &'static str) -> Self {
        Self {
            kind,
            format,
            spec_version: String::new(),
            id: None,
            subject: None,
            ecosystems: BTreeSet::new(),
            links: Links::default(),
        }
    }

    /// Adds the ecosystems of the purls found.
    fn with_ecosystems_of_purls(mut self) -> Self {
        self.ecosystems.append(&mut self.links.ecosystems());
        self
    }
}

/// A policy snapshot or finding, before it is stored.
#[derive(Debug)]
pub(crate) struct PolicyFields {
    pub(crate) snapshot_id: Option<String>,
    pub(crate) policy_version: String,
    pub(crate) inputs_hash: String,
    pub(crate) generated_at: Option<String>,
    /// Whose it is, at the policy engine.
    pub(crate) tenant: Option<String>,
    pub(crate) finding_id: Option<String>,
    pub(crate) subject: String,
    pub(crate) advisory: String,
    pub(crate) status: String,
    pub(crate) severity: String,
}

/// What a document turned out to be.
#[derive(Debug)]
pub(crate) enum Recognised {
    Record(Box<Extract>),
    /// A catalogue that enriches evidence, by name.
    Enrichment(&'static str),
    Snapshot(PolicyFields),
    Finding(PolicyFields),
    /// None of ours; says what it looks like.
    Unknown(String),
}

/// Recognises a document. `path` is the upstream path, which is the only id that some formats have;
/// `folder_kind` is the kind that the folder's name promises, which decides where a format serves two kinds.
pub(crate) fn recognise(doc: Value<'_>, path: &str, folder_kind: Option<RecordKind>) -> Recognised {
    if !doc.is_object() {
        let found = if doc.is_array() { "an array" } else { "a single value" };
        return Recognised::Unknown(format!("the document is {found}, no object"));
    }
    let record = |extract: Extract| Recognised::Record(Box::new(extract));
    if cyclonedx::matches(doc) {
        record(cyclonedx::extract(doc, folder_kind))
    } else if spdx::matches(doc) {
        record(spdx::extract(doc))
    } else if openvex::matches(doc) {
        record(openvex::extract(doc))
    } else if csaf::matches(doc) {
        record(csaf::extract(doc))
    } else if cve5::matches(doc) {
        record(cve5::extract(doc))
    } else if cisa_kev::matches(doc) {
        Recognised::Enrichment(CISA_KEV)
    } else if policy::is_explain_trace(doc) {
        Recognised::Finding(policy::explained(doc))
    } else if policy::is_snapshot(doc) {
        Recognised::Snapshot(policy::fields(doc))
    } else if policy::is_finding(doc) {
        Recognised::Finding(policy::fields(doc))
    } else if friendsofphp::matches(doc) {
        record(friendsofphp::extract(doc, path))
    } else if project_kb::matches(doc) {
        record(project_kb::extract(doc))
    } else if nodejs::matches(doc) {
        record(nodejs::extract(doc, path))
    } else if ruby::matches(doc) {
        record(ruby::extract(doc, path))
    } else if osv::matches(doc) {
        record(osv::extract(doc))
    } else {
        let names: Vec<_> = doc.members().take(6).map(|(name, _)| name.chars().take(40).collect::<String>()).collect();
        Recognised::Unknown(format!("its members ({}) are those of no known format", names.join(", ")))
    }
}

/// The file name of a path without its last extension.
fn stem(path: &str) -> Option<&str> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    (!stem.is_empty()).then_some(stem)
}
