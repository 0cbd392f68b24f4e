//! How profiles change, the same for every driver.

use std::time::{Duration, SystemTime};

use export_contract::profile::{Profile, ProfileKind};
use export_contract::{ProfileId, TenantId, Timestamp};

/// A call that no state of the ledger can make legal: a defect of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Illegal {
    #[error("a profile's configuration and kind change only with a new revision")]
    ConfigInPlace,
    #[error("a new revision has the number after the newest one")]
    RevisionGap,
    #[error("a profile begins with revision 1")]
    FirstRevision,
    #[error("a run is written as pending, in its first generation")]
    NotPending,
}

/// What a write to a profile comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revised {
    /// Another writer was first.
    Stale,
    /// The revision is written again with another name, description or labels.
    InPlace(Profile),
    /// A new revision.
    Added(Profile),
}

/// When built-in profiles count as made: a constant, so that nothing depends on the clock.
fn built_in_since() -> Timestamp {
    // 2026-01-01T00:00:00Z
    const DAYS_SINCE_1970: u64 = 20_454;
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_hours(DAYS_SINCE_1970 * 24))
}

/// The six profiles that every tenant has without a row, in revision 1.
pub(crate) fn built_ins(tenant: &TenantId) -> impl Iterator<Item = Profile> {
    ProfileKind::ALL.into_iter().map(|kind| Profile::built_in(tenant.clone(), kind, built_in_since()))
}

/// Revision 1 of a built-in profile.
pub(crate) fn built_in(tenant: &TenantId, id: &ProfileId) -> Option<Profile> {
    built_ins(tenant).find(|profile| profile.id == *id)
}

/// Ends a list of revisions, newest first, with revision 1 of a built-in profile where the store has none.
pub(crate) fn with_built_in(
    found: &mut Vec<Profile>,
    tenant: &TenantId,
    id: &ProfileId,
    before: Option<u32>,
    limit: u32,
) {
    let has_first = found.last().is_some_and(|profile| profile.revision == 1);
    if !has_first && found.len() < limit as usize && before.is_none_or(|before| before > 1) {
        found.extend(built_in(tenant, id));
    }
}

/// Whether two profiles say the same, whoever made them and when.
pub(crate) fn same_content(a: &Profile, b: &Profile) -> bool {
    a.kind == b.kind
        && a.config == b.config
        && a.name == b.name
        && a.description == b.description
        && a.labels == b.labels
}

/// Judges the write of `wanted` by a caller who read revision `expected`, when `newest` is what the ledger holds.
pub(crate) fn revise(newest: Option<&Profile>, wanted: &Profile, expected: u32) -> Result<Revised, Illegal> {
    let Some(newest) = newest.filter(|newest| newest.revision == expected) else {
        return Ok(Revised::Stale);
    };
    if wanted.kind != newest.kind {
        return Err(Illegal::ConfigInPlace);
    }
    if wanted.revision == expected {
        if wanted.config != newest.config {
            return Err(Illegal::ConfigInPlace);
        }
        Ok(Revised::InPlace(Profile {
            name: wanted.name.clone(),
            description: wanted.description.clone(),
            labels: wanted.labels.clone(),
            ..newest.clone()
        }))
    } else if Some(wanted.revision) == expected.checked_add(1) {
        Ok(Revised::Added(wanted.clone()))
    } else {
        Err(Illegal::RevisionGap)
    }
}
