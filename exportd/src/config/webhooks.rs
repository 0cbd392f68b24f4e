//! Who is told of the ends of runs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use export_webhooks::AddressRules;
use serde::{Deserialize, Serialize};

/// Who is told of the ends of runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Webhooks {
    /// File with the key that encrypts secrets, 64 hex digits, the same for gateway and orchestrator; not set:
    /// `keys/webhooks.key` in `data_dir`, made on first use.
    pub(crate) key_file: PathBuf,
    /// Hosts that may be sent to over plain HTTP.
    pub(crate) allow_http_hosts: BTreeSet<String>,
    /// Hosts that may be at private, loopback or link-local addresses.
    pub(crate) allow_private_hosts: BTreeSet<String>,
    /// Seconds between two looks for messages to be sent, 1 to 60.
    pub(crate) check_seconds: u64,
    /// Seconds that a receiver has for its answer, 1 to 60.
    pub(crate) timeout_seconds: u64,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            key_file: PathBuf::new(),
            allow_http_hosts: BTreeSet::new(),
            allow_private_hosts: BTreeSet::new(),
            check_seconds: 2,
            timeout_seconds: 10,
        }
    }
}

impl Webhooks {
    /// Which addresses messages may be sent to.
    pub(crate) fn rules(&self, offline: bool) -> AddressRules {
        AddressRules {
            allow_http_hosts: self.allow_http_hosts.clone(),
            allow_private_hosts: self.allow_private_hosts.clone(),
            offline,
        }
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, seconds) in [("check_seconds", self.check_seconds), ("timeout_seconds", self.timeout_seconds)] {
            if !(1..=60).contains(&seconds) {
                faults.push(format!("webhooks.{name}: use 1 to 60"));
            }
        }
        let hosts = [("allow_http_hosts", &self.allow_http_hosts), ("allow_private_hosts", &self.allow_private_hosts)];
        for (name, hosts) in hosts {
            if hosts.iter().any(|host| host.is_empty() || host.contains(['/', '*', '@'])) {
                faults.push(format!("webhooks.{name}: use names or addresses of hosts, such as hooks.example"));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn faults_of_webhooks_are_named() {
        let faults = |text: &str| load(text, &[]).unwrap_err();
        assert!(faults("[webhooks]\ncheck_seconds = 0\n").contains("webhooks.check_seconds"));
        assert!(faults("[webhooks]\ntimeout_seconds = 61\n").contains("webhooks.timeout_seconds"));
        assert!(faults("[webhooks]\nallow_http_hosts = ['http://x']\n").contains("webhooks.allow_http_hosts"));
        assert!(faults("[webhooks]\nallow_private_hosts = ['*']\n").contains("webhooks.allow_private_hosts"));
    }
}
