//! Where runs read policy snapshots and findings.

use std::path::{Path, PathBuf};
use std::time::Duration;

use export_evidence::remote::RemoteSettings;
use serde::{Deserialize, Serialize};

/// Which driver the policy source has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PolicyDriver {
    /// What `exportd evidence import` put beside the evidence.
    #[default]
    Store,
    /// A Policy Engine.
    Http,
}

/// Where the bearer token for a server comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenFrom {
    /// The file that `token_file` names, where it names one.
    #[default]
    File,
    /// The authority, for the system's own client.
    Authority,
}

/// The policy source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Policy {
    /// `store` or `http`.
    pub(crate) driver: PolicyDriver,
    /// Address of the Policy Engine.
    pub(crate) base_url: String,
    /// Where the bearer token for it comes from.
    pub(crate) token: TokenFrom,
    /// File with the bearer token for it.
    pub(crate) token_file: PathBuf,
    /// File with the certificates that its own must come from.
    pub(crate) ca_file: PathBuf,
    /// Seconds that it has for an answer, 1 to 600.
    pub(crate) timeout_seconds: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            driver: PolicyDriver::Store,
            base_url: String::new(),
            token: TokenFrom::File,
            token_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            timeout_seconds: 60,
        }
    }
}

impl Policy {
    /// How the engine is reached.
    pub(crate) fn server(&self) -> RemoteSettings {
        server(&self.base_url, &self.token_file, &self.ca_file, self.timeout_seconds)
    }

    pub(super) fn faults(&self) -> Vec<String> {
        match self.driver {
            PolicyDriver::Store if !self.base_url.is_empty() => {
                vec!["policy.base_url: it is read by the http driver only; set policy.driver to `http`".to_owned()]
            }
            PolicyDriver::Store => Vec::new(),
            PolicyDriver::Http => server_faults("policy", &self.base_url, self.timeout_seconds),
        }
    }
}

/// A server that is read over HTTP; an empty path is not set.
pub(super) fn server(base_url: &str, token_file: &Path, ca_file: &Path, timeout_seconds: u64) -> RemoteSettings {
    let set = |path: &Path| (!path.as_os_str().is_empty()).then(|| path.to_owned());
    RemoteSettings {
        base_url: base_url.to_owned(),
        token_file: set(token_file),
        bearer: None,
        ca_file: set(ca_file),
        timeout: Duration::from_secs(timeout_seconds),
    }
}

/// What is wrong with the settings of such a server in `section`.
pub(super) fn server_faults(section: &str, base_url: &str, timeout_seconds: u64) -> Vec<String> {
    let mut faults = Vec::new();
    if !["http://", "https://"].iter().any(|scheme| base_url.starts_with(scheme)) {
        faults.push(format!(
            "{section}.base_url: `{base_url}` is no address; it must start with `https://` or `http://`"
        ));
    }
    if !(1..=600).contains(&timeout_seconds) {
        faults.push(format!("{section}.timeout_seconds: use 1 to 600"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::PolicyDriver;
    use crate::config::tests::load;

    #[test]
    fn faults_of_a_policy_engine_are_named() {
        let faults = |text: &str| load(text, &[]).unwrap_err();
        assert!(faults("[policy]\ndriver = 'http'\n").contains("policy.base_url"));
        assert!(faults("[policy]\ndriver = 'http'\nbase_url = 'ftp://x'\n").contains("`ftp://x`"));
        assert!(faults("[policy]\nbase_url = 'https://x'\n").contains("policy.driver"));
        let wait = faults("[policy]\ndriver = 'http'\nbase_url = 'https://x'\ntimeout_seconds = 0\n");
        assert!(wait.contains("policy.timeout_seconds"), "{wait}");
        let good = load("[policy]\ndriver = 'http'\nbase_url = 'https://policy.example/api'\n", &[]).unwrap();
        assert_eq!((good.policy.driver, good.policy.server().token_file), (PolicyDriver::Http, None));
    }
}
