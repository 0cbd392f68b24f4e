//! Quotas: what a tenant may ask for, and how much of it is used up.
//!
//! They are judged where a run is written ([`RunStore::submit_run`](crate::RunStore::submit_run)), in one step with it, so
//! that gateways and schedulers that meet never exceed one together. Days are those of UTC.

use std::collections::BTreeMap;
use std::fmt;

use export_contract::profile::ProfileKind;
use export_contract::run::Run;
use export_contract::{TenantId, Timestamp};

const DAY_MICROS: i64 = 86_400_000_000;

/// What one tenant may have. `None` is without end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Runs that run at once.
    pub slots: SlotCaps,
    /// Runs that wait for a slot.
    pub pending_runs: Option<u32>,
    /// Runs submitted on one day.
    pub runs_per_day: Option<u32>,
    /// Bytes of the bundles that were made on one day. Known at the end of a run, so the last run before the quota is used
    /// up may exceed it, and so may those that are at work by then.
    pub bytes_per_day: Option<u64>,
}

/// The quotas of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRules {
    /// Of a tenant that is not named below.
    pub default: Quotas,
    /// Of these tenants.
    pub tenants: BTreeMap<TenantId, Quotas>,
}

impl QuotaRules {
    /// The quotas of a tenant.
    pub fn of(&self, tenant: &TenantId) -> &Quotas {
        self.tenants.get(tenant).unwrap_or(&self.default)
    }
}

/// How many runs of a tenant may run at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotCaps {
    /// All of them.
    pub active: u32,
    /// Those of a kind; a kind that is not named has no cap of its own.
    pub by_kind: BTreeMap<ProfileKind, u32>,
}

impl Default for SlotCaps {
    /// Four, as the specification says.
    fn default() -> Self {
        Self { active: 4, by_kind: BTreeMap::new() }
    }
}

impl SlotCaps {
    /// The kinds whose slots are taken, where so many of each run.
    pub(crate) fn full_kinds(&self, running: &BTreeMap<ProfileKind, u32>) -> Vec<ProfileKind> {
        let count = |kind| running.get(kind).copied().unwrap_or(0);
        self.by_kind.iter().filter(|(kind, cap)| count(kind) >= **cap).map(|(kind, _)| *kind).collect()
    }
}

/// What a tenant has of its quotas at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Runs with a slot.
    pub active_runs: u32,
    /// Runs that wait for one.
    pub pending_runs: u32,
    /// Runs submitted today.
    pub runs_today: u32,
    /// Bytes of the bundles that were made today. A run that confirmed an earlier bundle made none.
    pub bytes_today: u64,
}

/// The name of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaName {
    /// [`Quotas::pending_runs`].
    PendingRuns,
    /// [`Quotas::runs_per_day`].
    RunsPerDay,
    /// [`Quotas::bytes_per_day`].
    BytesPerDay,
}

impl QuotaName {
    /// The name, as in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingRuns => "pendingRuns",
            Self::RunsPerDay => "runsPerDay",
            Self::BytesPerDay => "bytesPerDay",
        }
    }
}

/// A quota that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which.
    pub quota: QuotaName,
    /// How much there may be.
    pub limit: u64,
    /// How much there is.
    pub used: u64,
    /// When there is room again; `None` where that depends on the runs at work.
    pub resets_at: Option<Timestamp>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, limit, used, resets_at } = self;
        write!(f, "the quota `{}` is used up: {used} of {limit}; there is room again ", quota.as_str())?;
        match resets_at {
            Some(at) => write!(f, "at {at}"),
            None => write!(f, "once a waiting run gets a slot or is cancelled"),
        }
    }
}

/// What became of a run that was to be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmitOutcome {
    /// It was written, and counts.
    Created(Run),
    /// The same idempotency key was there with the same content: this is its run, which counted when it was written.
    Existing(Run),
    /// The same id or idempotency key was there with another content.
    Conflict,
    /// A quota is used up; nothing was written.
    Refused(Exceeded),
}

/// What became of it, and how much of the day's quota is used up now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// What became of it.
    pub outcome: SubmitOutcome,
    /// Runs submitted today, this one with them.
    pub runs_today: u32,
}

/// A day of UTC, by its number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub(crate) i64);

impl Day {
    /// The day of a moment.
    pub fn of(at: Timestamp) -> Self {
        Self(at.as_micros().div_euclid(DAY_MICROS))
    }

    /// When it begins.
    pub fn begin(self) -> Timestamp {
        let micros = self.0.saturating_mul(DAY_MICROS);
        Timestamp::from_micros(micros).unwrap_or_else(|_| std::time::SystemTime::UNIX_EPOCH.into())
    }

    /// When it ends: when the next one begins.
    pub fn end(self) -> Timestamp {
        Self(self.0.saturating_add(1)).begin()
    }
}

/// Runs that were counted last: the newest day on which there was one, and how many there were. Clocks differ: a day has
/// begun once one process says so, and what another still counts for the day before counts for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) day: Day,
    pub(crate) runs: u32,
}

impl Tally {
    /// The tally at a moment.
    pub(crate) fn at(last: Option<Self>, now: Timestamp) -> Self {
        let today = Day::of(now);
        last.filter(|last| last.day >= today).unwrap_or(Self { day: today, runs: 0 })
    }

    /// With one run more.
    pub(crate) fn counted(self) -> Self {
        Self { runs: self.runs.saturating_add(1), ..self }
    }
}

impl Quotas {
    /// The day's quota of runs, where it is used up.
    pub(crate) fn refuses_runs(&self, tally: Tally) -> Option<Exceeded> {
        let limit = self.runs_per_day.filter(|limit| tally.runs >= *limit)?;
        let resets_at = Some(tally.day.end());
        Some(Exceeded { quota: QuotaName::RunsPerDay, limit: limit.into(), used: tally.runs.into(), resets_at })
    }

    /// The quota of waiting runs, where it is used up.
    pub(crate) fn refuses_pending(&self, pending: u32) -> Option<Exceeded> {
        let limit = self.pending_runs.filter(|limit| pending >= *limit)?;
        Some(Exceeded { quota: QuotaName::PendingRuns, limit: limit.into(), used: pending.into(), resets_at: None })
    }

    /// The day's quota of bytes, where it is used up.
    pub(crate) fn refuses_bytes(&self, bytes: u64, tally: Tally) -> Option<Exceeded> {
        let limit = self.bytes_per_day.filter(|limit| bytes >= *limit)?;
        Some(Exceeded { quota: QuotaName::BytesPerDay, limit, used: bytes, resets_at: Some(tally.day.end()) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Day, Tally};

    #[test]
    fn days_are_those_of_utc_also_before_1970() {
        for (at, begin, end) in [
            ("2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"),
            ("2026-05-01T23:59:59.999999Z", "2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"),
            ("1969-12-31T23:00:00Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"),
        ] {
            let day = Day::of(at.parse().unwrap());
            assert_eq!((day.begin().to_string(), day.end().to_string()), (begin.to_owned(), end.to_owned()));
        }
    }

    #[test]
    fn a_clock_that_is_behind_counts_for_the_day_that_has_begun() {
        let (before, after) = ("2026-05-01T23:59:58Z".parse().unwrap(), "2026-05-02T00:00:01Z".parse().unwrap());
        let counted = Tally::at(None, after).counted();
        assert_eq!(Tally::at(Some(counted), before), counted);
        assert_eq!(Tally::at(Some(Tally::at(None, before).counted()), after).runs, 0);
    }
}
