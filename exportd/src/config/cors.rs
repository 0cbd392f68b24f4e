//! Which pages may call the gateway from a browser.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Which pages may call the gateway from a browser.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cors {
    /// Their origins, such as `https://console.example`; none unless set.
    pub(crate) origins: BTreeSet<String>,
}

impl Cors {
    pub(super) fn faults(&self) -> Vec<String> {
        if self.origins.iter().all(|origin| is_origin(origin)) {
            return Vec::new();
        }
        vec![
            "cors.origins: use scheme, host and port as browsers send them, such as https://console.example".to_owned(),
        ]
    }
}

/// Scheme, host and port as browsers send them.
pub(super) fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b))
    })
}
