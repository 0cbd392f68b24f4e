//! The console.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::cors::is_origin;
use super::locality::is_local;

/// The pages for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Console {
    /// Whether the gateway serves them.
    pub(crate) enabled: bool,
    /// Origins of token endpoints that they may ask beside the gateway.
    pub(crate) authorities: BTreeSet<String>,
}

impl Default for Console {
    fn default() -> Self {
        Self { enabled: true, authorities: BTreeSet::new() }
    }
}

impl Console {
    pub(super) fn faults(&self, offline: bool, local_hosts: &BTreeSet<String>) -> Vec<String> {
        let fault = |origin: &String| {
            if !is_origin(origin) {
                return Some(format!(
                    "`{origin}`: use scheme, host and port of a token endpoint, such as https://id.example"
                ));
            }
            (offline && !is_local(origin, local_hosts))
                .then(|| format!("`{origin}` is not local, and the deployment is offline"))
        };
        self.authorities.iter().filter_map(fault).map(|fault| format!("console.authorities: {fault}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn a_console_is_served_unless_told_otherwise_and_asks_named_origins_only() {
        assert!(load("", &[]).unwrap().console.enabled);
        assert!(!load("[console]\nenabled = false\n", &[]).unwrap().console.enabled);
        let config = load("[console]\nauthorities = ['https://id.example:8443']\n", &[]).unwrap();
        assert_eq!(config.console.authorities.len(), 1);
        for wrong in ["id.example", "https://id.example/token", "https://id.example; script-src *", "https://*"] {
            let error = load(&format!("[console]\nauthorities = [{wrong:?}]\n"), &[]).unwrap_err();
            assert!(error.contains("console.authorities"), "{error}");
        }
        let offline = |origin: &str| load(&format!("offline = true\n[console]\nauthorities = ['{origin}']\n"), &[]);
        assert!(offline("https://id.corp.internal").is_ok());
        assert!(offline("https://id.example").unwrap_err().contains("is not local"));
    }
}
