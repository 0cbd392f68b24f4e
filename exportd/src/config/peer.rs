//! The settings of `exportd evidence pull`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use export_contract::RecordKind;
use export_evidence::pull::{HttpPeer, PeerCollection};
use serde::{Deserialize, Serialize};

use super::policy::{TokenFrom, server, server_faults};

/// The ledger of others that `exportd evidence pull` reads: MongoDB collections of raw documents, or a Findings Ledger over HTTP. Read,
/// never written.
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
    /// Address of a Findings Ledger, in the place of a database.
    pub(crate) base_url: String,
    /// Where the bearer token for it comes from.
    pub(crate) token: TokenFrom,
    /// File with the bearer token for it.
    pub(crate) token_file: PathBuf,
    /// File with the certificates that its own must come from.
    pub(crate) ca_file: PathBuf,
    /// Seconds that it has for an answer, 1 to 600.
    pub(crate) timeout_seconds: u64,
    /// Its streams: `advisories`, `vex`, `sboms`.
    pub(crate) streams: Vec<String>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            uri_file: PathBuf::new(),
            database: String::new(),
            advisories: vec!["advisory_raw".to_owned()],
            vex: vec!["vex_raw".to_owned()],
            sboms: Vec::new(),
            base_url: String::new(),
            token: TokenFrom::File,
            token_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            timeout_seconds: 60,
            streams: RecordKind::ALL.map(|kind| kind.file_stem().to_owned()).into(),
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

    /// Whether it is a Findings Ledger over HTTP.
    pub(crate) fn is_http(&self) -> bool {
        !self.base_url.is_empty()
    }

    /// The Findings Ledger.
    pub(crate) fn http(&self) -> HttpPeer {
        let kind_of = |name: &String| RecordKind::ALL.into_iter().find(|kind| kind.file_stem() == name.as_str());
        let streams =
            self.streams.iter().filter_map(|name| Some(PeerCollection { name: name.clone(), kind: kind_of(name)? }));
        let server = server(&self.base_url, &self.token_file, &self.ca_file, self.timeout_seconds);
        HttpPeer { server, streams: streams.collect() }
    }

    fn http_faults(&self) -> Vec<String> {
        let mut faults = server_faults("peer", &self.base_url, self.timeout_seconds);
        if !self.uri_file.as_os_str().is_empty() {
            faults.push("peer: set base_url or uri_file, not both; a pull reads one ledger".to_owned());
        }
        let known = RecordKind::ALL.map(RecordKind::file_stem);
        for name in self.streams.iter().filter(|name| !known.contains(&name.as_str())) {
            faults.push(format!("peer.streams: `{name}` is none of {}", known.join(", ")));
        }
        if self.streams.is_empty() || self.streams.iter().collect::<BTreeSet<_>>().len() < self.streams.len() {
            faults.push("peer.streams: name at least one stream, and each once".to_owned());
        }
        faults
    }

    pub(super) fn faults(&self) -> Vec<String> {
        if self.is_http() {
            return self.http_faults();
        }
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

    #[test]
    fn a_findings_ledger_is_named_by_its_address_and_its_streams() {
        let faults = |text: &str| load(text, &[]).unwrap_err();
        assert!(faults("[peer]\nbase_url = 'ledger.example'\n").contains("peer.base_url"));
        assert!(faults("[peer]\nbase_url = 'https://x'\nuri_file = 'uri'\n").contains("not both"));
        assert!(faults("[peer]\nbase_url = 'https://x'\nstreams = ['findings']\n").contains("`findings` is none of"));
        assert!(faults("[peer]\nbase_url = 'https://x'\nstreams = ['vex', 'vex']\n").contains("each once"));
        let good = load("[peer]\nbase_url = 'https://ledger.example'\n", &[("EXPORT_PEER_STREAMS", "vex")]).unwrap();
        let streams = good.peer.http().streams;
        assert_eq!(streams.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>(), ["vex"]);
    }
}
