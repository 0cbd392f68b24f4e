//! Where spans go.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::locality::is_local;
use super::sections::url_faults;

/// Traces: the spans of requests and of the steps of runs, sent to a collector over OTLP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    /// Base address of a collector that takes OTLP over HTTP, such as `http://collector:4318`; not set: no spans are sent.
    pub(crate) otlp_endpoint: String,
    /// PEM file with the certificates that its own must come from; not set: those that the system trusts.
    pub(crate) ca_file: PathBuf,
}

impl Telemetry {
    pub(super) fn faults(&self, offline: bool, local_hosts: &BTreeSet<String>) -> Vec<String> {
        let mut faults = url_faults("telemetry.otlp_endpoint", &self.otlp_endpoint);
        if offline && !self.otlp_endpoint.is_empty() && !is_local(&self.otlp_endpoint, local_hosts) {
            faults.push("telemetry.otlp_endpoint: the deployment is offline, and this leads elsewhere".to_owned());
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn an_offline_deployment_sends_spans_to_a_local_collector_only() {
        for (endpoint, is_fine) in [("http://127.0.0.1:4318", true), ("https://traces.example", false)] {
            let text = format!("offline = true\n[telemetry]\notlp_endpoint = \"{endpoint}\"\n");
            assert_eq!(load(&text, &[]).is_ok(), is_fine, "{endpoint}");
            assert!(load(&text.replace("offline = true", ""), &[]).is_ok(), "{endpoint}");
        }
        assert!(load("[telemetry]\notlp_endpoint = \"collector:4318\"\n", &[]).is_err());
    }
}
