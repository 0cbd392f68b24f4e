//! What an adapter is, and the one list of all adapters.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use export_canon::digesting::sha256;
use export_contract::Digest;
use export_contract::message::{AdapterRef, PartAdapted, PartsResolved, RunAdapted};
use export_contract::profile::ProfileKind;
use export_evidence::EvidenceLedger;
use export_evidence::policy::PolicySource;
use export_pipeline::StageContext;
use export_pipeline::stage::PartResolved;
use futures::future::BoxFuture;

use crate::error::AdaptError;
use crate::json;
use crate::mirror;
use crate::trivy;

/// Writes one kind of bundle.
///
/// For the same part or run the same bytes, whatever was tried before: `adapt_part` may run twice at once.
pub trait Adapter: Send + Sync + fmt::Debug {
    /// Which profiles it makes.
    fn kind(&self) -> ProfileKind;

    /// Its version; rises whenever the same input gives other bytes.
    fn version(&self) -> &'static str;

    /// Writes one part.
    fn adapt_part<'a>(
        &'a self,
        input: PartResolved,
        cx: &'a StageContext,
    ) -> BoxFuture<'a, Result<PartAdapted, AdaptError>>;

    /// Joins the parts of a run, all of which are written.
    fn assemble<'a>(
        &'a self,
        input: PartsResolved,
        cx: &'a StageContext,
    ) -> BoxFuture<'a, Result<RunAdapted, AdaptError>>;

    /// Name and version as they stand in plans and manifests.
    fn reference(&self) -> AdapterRef {
        AdapterRef { name: self.kind().to_string(), version: self.version().to_owned() }
    }
}

/// What adapters are made from.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Where evidence is read.
    pub ledger: Arc<dyn EvidenceLedger>,
    /// Threads that compress, per part.
    pub threads: NonZeroUsize,
    /// Where a database grows before it is packed: a folder with room for a few times its size. What is left of a worker that was
    /// killed may be removed at any time.
    pub scratch: PathBuf,
    /// Sorted runs that are merged at once, at least 2; bytes do not depend on it.
    pub fan_in: usize,
    /// Where policy snapshots and their findings are read.
    pub policy: Arc<dyn PolicySource>,
}

/// Sorted runs that are merged at once, if nothing else is wanted: each holds a file and a frame open.
pub const FAN_IN: usize = 64;

/// Makes an adapter.
type Make = fn(&Tools) -> Arc<dyn Adapter>;

/// The list. A new adapter is a line here.
const ADAPTERS: &[Make] = &[
    |tools| Arc::new(json::Json::raw(tools.clone())),
    |tools| Arc::new(json::Json::policy(tools.clone())),
    trivy::Trivy::vulnerabilities,
    trivy::Trivy::archives,
    mirror::Mirror::full,
    mirror::Mirror::delta,
];

/// The adapters of this deployment, fixed at start.
#[derive(Clone, Debug)]
pub struct Registry {
    adapters: Vec<Arc<dyn Adapter>>,
}

impl Registry {
    /// Every adapter of the list that `allow` names.
    pub fn new(tools: &Tools, allow: &BTreeSet<ProfileKind>) -> Self {
        let all = ADAPTERS.iter().map(|make| make(tools));
        Self { adapters: all.filter(|adapter| allow.contains(&adapter.kind())).collect() }
    }

    /// The kinds it makes.
    pub fn kinds(&self) -> BTreeSet<ProfileKind> {
        self.adapters.iter().map(|adapter| adapter.kind()).collect()
    }

    /// Names and versions, for the planner.
    pub fn references(&self) -> Vec<AdapterRef> {
        self.adapters.iter().map(|adapter| adapter.reference()).collect()
    }

    /// SHA-256 over the sorted lines `name@version`: two processes with the same digest make the same bytes.
    pub fn digest(&self) -> Digest {
        let lines: BTreeSet<String> =
            self.references().iter().map(|adapter| format!("{}@{}\n", adapter.name, adapter.version)).collect();
        let text: String = lines.into_iter().collect();
        Digest::from_bytes(*sha256(text.as_bytes()).as_bytes())
    }

    /// The very adapter that a plan names.
    pub(crate) fn find(&self, wanted: &AdapterRef) -> Result<&dyn Adapter, AdaptError> {
        self.adapters
            .iter()
            .find(|adapter| adapter.reference() == *wanted)
            .map(AsRef::as_ref)
            .ok_or_else(|| AdaptError::NoAdapter(wanted.clone()))
    }
}
