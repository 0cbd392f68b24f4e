//! The settings of `exportd evidence pull`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use export_contract::RecordKind;
use serde::{Deserialize, Serialize};

/// The ledger of others that `exportd evidence pull` reads: MongoDB collections of raw documents. Read, never written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Peer {
    /// File with the connection string; it holds the password. Not set: there is no peer.
    pub(crate) uri_file: PathBuf,
    /// Name of the database.
    pub(crate) database: String,
    /// Collections of advisories.
    pub(crate) advisories: Vec<String>,
    /// Collections of exploitability statements.
    pub(crate) vex: Vec<String>,
    /// Collections of bills of materials.
    pub(crate) sboms: Vec<String>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            uri_file: PathBuf::new(),
            database: String::new(),
            advisories: vec!["advisory_raw".to_owned()],
            vex: vec!["vex_raw".to_owned()],
            sboms: Vec::new(),
        }
    }
}

impl Peer {
    /// The collections in reading order, each with what it holds.
    pub(crate) fn collections(&self) -> impl Iterator<Item = (RecordKind, &str)> {
        [(RecordKind::Advisory, &self.advisories), (RecordKind::Vex, &self.vex), (RecordKind::Sbom, &self.sboms)]
            .into_iter()
            .flat_map(|(kind, names)| names.iter().map(move |name| (kind, name.as_str())))
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.uri_file.as_os_str().is_empty() {
            if !self.database.is_empty() {
                faults.push("peer.uri_file: a peer needs the file with the connection string".to_owned());
            }
            return faults;
        }
        // MongoDB manual, "Naming Restrictions".
        let is_name =
            |name: &str| !name.is_empty() && name.len() < 64 && !name.contains(['/', '\\', '.', ' ', '"', '$', '\0']);
        if !is_name(&self.database) {
            faults.push(format!("peer.database: `{}` is no name of a MongoDB database", self.database));
        }
        let mut seen = BTreeSet::new();
        for (_, name) in self.collections() {
            if name.is_empty() || name.starts_with("system.") || name.contains(['$', '\0']) {
                faults.push(format!("peer: `{name}` is no name of a collection"));
            }
            if !seen.insert(name) {
                faults.push(format!("peer: the collection `{name}` is named twice; it can hold one kind"));
            }
        }
        if seen.is_empty() {
            faults.push("peer: name a collection in peer.advisories, peer.vex or peer.sboms".to_owned());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn faults_of_a_peer_are_named_and_no_peer_is_none() {
        let faults = |text: &str| load(text, &[]).unwrap_err();
        assert!(faults("[peer]\ndatabase = 'x'\n").contains("peer.uri_file"));
        assert!(faults("[peer]\nuri_file = 'uri'\n").contains("peer.database"));
        let twice = faults("[peer]\nuri_file = 'uri'\ndatabase = 'a.b'\nvex = ['advisory_raw', 'system.x']\n");
        assert!(
            twice.contains("`a.b`") && twice.contains("`advisory_raw` is named twice") && twice.contains("system.x")
        );
        let none = faults("[peer]\nuri_file = 'uri'\ndatabase = 'x'\nadvisories = []\nvex = []\n");
        assert!(none.contains("peer.sboms"), "{none}");
        let good = load("[peer]\nuri_file = 'uri'\ndatabase = 'x'\n", &[("EXPORT_PEER_SBOMS", "a, b")]).unwrap();
        let names: Vec<&str> = good.peer.collections().map(|(_, name)| name).collect();
        assert_eq!(names, ["advisory_raw", "vex_raw", "a", "b"]);
    }
}
