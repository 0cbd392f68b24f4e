//! TLS of the gateway's own listener.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// TLS of the gateway's own listener; not set: plain HTTP, for one machine or behind a proxy that speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// PEM file with the certificate chain, the server's own first.
    pub(crate) certificate_file: PathBuf,
    /// PEM file with its key, not encrypted.
    pub(crate) key_file: PathBuf,
}

impl Tls {
    /// Certificate and key, where the listener speaks TLS.
    pub(crate) fn pair(&self) -> Option<(&Path, &Path)> {
        (!self.certificate_file.as_os_str().is_empty()).then_some((&self.certificate_file, &self.key_file))
    }

    pub(super) fn faults(&self) -> Vec<String> {
        match (self.certificate_file.as_os_str().is_empty(), self.key_file.as_os_str().is_empty()) {
            (false, true) => vec!["tls.key_file: a certificate needs the file with its key".to_owned()],
            (true, false) => vec!["tls.certificate_file: a key needs the file with its certificate".to_owned()],
            _ => Vec::new(),
        }
    }
}
