//! Entries that repeat: one an hour of each.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use export_canon::digesting::sha256;
use export_contract::audit::AuditEntry;

/// Ids that are kept in memory; a gateway that has forgotten one asks the store.
const KEPT: usize = 10_000;

/// Ids of entries that were written a short while ago.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<BTreeSet<String>>);

impl Recent {
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    pub(super) fn add(&self, id: String) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() >= KEPT {
            ids.clear();
        }
        ids.insert(id);
    }
}

/// The id of an entry that is written once an hour: the same for the same caller, token, object and outcome, whichever
/// gateway writes it.
pub(super) fn hourly(entry: &AuditEntry) -> String {
    let hour = entry.at.as_seconds().div_euclid(3_600);
    let code = entry.error_code.map_or("", |code| code.as_str());
    let token = entry.token_id.as_deref().unwrap_or_default();
    let remote = entry.remote.as_deref().unwrap_or_default();
    let named = [entry.action.as_str(), &entry.actor, token, remote, &entry.object, entry.outcome.as_str(), code];
    // A name has no control characters in it, or is not that of anything.
    let digest = sha256(named.join("\u{1f}").as_bytes()).hex();
    format!("h{hour}-{}", digest.chars().take(32).collect::<String>())
}

#[cfg(test)]
mod tests {
    use export_contract::Version;
    use export_contract::audit::{AuditAction, AuditEntry, AuditOutcome};

    use super::hourly;

    #[test]
    fn what_repeats_within_an_hour_is_one_entry_and_what_differs_is_another() {
        let entry = AuditEntry {
            v: Version,
            id: "1".to_owned(),
            tenant: "acme".parse().unwrap(),
            at: "2026-05-01T12:00:00Z".parse().unwrap(),
            action: AuditAction::BundleDownloaded,
            actor: "alice".to_owned(),
            token_id: Some("token-1".to_owned()),
            object: "runs/1/files/bundle.tar".to_owned(),
            outcome: AuditOutcome::Allowed,
            error_code: None,
            status: Some(206),
            remote: Some("192.0.2.1".to_owned()),
            correlation_id: Some("2".to_owned()),
        };
        let id = hourly(&entry);
        let same = AuditEntry {
            id: "3".to_owned(),
            at: entry.at.plus_seconds(3_599),
            status: Some(200),
            correlation_id: None,
            ..entry.clone()
        };
        assert_eq!(hourly(&same), id);
        for other in [
            AuditEntry { at: entry.at.plus_seconds(3_600), ..entry.clone() },
            AuditEntry { actor: "bob".to_owned(), ..entry.clone() },
            AuditEntry { token_id: Some("token-2".to_owned()), ..entry.clone() },
            AuditEntry { object: "runs/2/files/bundle.tar".to_owned(), ..entry.clone() },
            AuditEntry { outcome: AuditOutcome::Refused, ..entry.clone() },
            AuditEntry { remote: None, ..entry.clone() },
        ] {
            assert_ne!(hourly(&other), id, "{other:?}");
        }
    }
}
