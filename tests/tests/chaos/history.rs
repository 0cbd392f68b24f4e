//! What was seen of a deployment, by those who used it.

use std::collections::{BTreeMap, BTreeSet};

use export_contract::event::RunEvent;
use export_contract::run::Run;

/// A tenant and a profile: their bundle has one digest, as long as the evidence stays the same.
pub(crate) type Wanted = (String, String);

/// Everything that the checks look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Running runs that a tenant may have.
    pub(crate) cap: usize,
    /// Digests of bundles that were made before anything went wrong.
    pub(crate) references: BTreeMap<Wanted, String>,
    /// What was ordered and taken.
    pub(crate) orders: Vec<Order>,
    /// Runs of the ledger in the end, with those made for reference.
    pub(crate) runs: Vec<Run>,
    /// Their whole timelines, read in the end.
    pub(crate) timelines: BTreeMap<String, Vec<RunEvent>>,
    /// What clients that followed runs were told meanwhile.
    pub(crate) followed: Vec<Followed>,
    /// Digest of the bytes of each bundle that was downloaded.
    pub(crate) downloads: BTreeMap<String, String>,
    /// Most running runs that a look at the ledger found, by tenant.
    pub(crate) most_active: BTreeMap<String, usize>,
    /// How often the ledger was looked at for that.
    pub(crate) looks: usize,
    /// Keys in staging after the collector ran.
    pub(crate) staged: Vec<String>,
    /// Processes that lived from the beginning (or their last start) to the end.
    pub(crate) survivors: Vec<Survivor>,
}

/// A run that was ordered under an idempotency key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(crate) profile: String,
    pub(crate) key: String,
    /// The runs that answers named: of however many requests, one.
    pub(crate) runs: BTreeSet<String>,
    /// Requests that were sent.
    pub(crate) requests: usize,
}

/// What one client saw of one run over all its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followed {
    pub(crate) run: String,
    /// Number and name of each entry, in the order they came.
    pub(crate) seen: Vec<(u64, String)>,
    pub(crate) connections: usize,
    /// Whether it saw the end.
    pub(crate) ended: bool,
}

/// A process at its beginning and at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survivor {
    pub(crate) name: String,
    pub(crate) before: Vitals,
    pub(crate) after: Vitals,
}

/// What a process takes of its machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vitals {
    pub(crate) resident_kib: u64,
    pub(crate) open_files: usize,
}

impl Vitals {
    /// Of a running process.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let resident_kib = resident.trim().trim_end_matches("kB").trim().parse()?;
        Ok(Self { resident_kib, open_files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() })
    }
}
