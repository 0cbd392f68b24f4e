//! Slots: one chain of admissions per tenant, each link an insert that one caller wins.

use export_contract::profile::ProfileKind;
use export_contract::run::{Run, RunRef, RunStatus};
use export_contract::{TenantId, Timestamp};
use export_mongo::bson::doc;

use super::rows::AdmissionDocument;
use super::steps::{Change, Step};
use super::submissions::by_kind;
use super::{MongoRuns, insert, run};
use crate::fold;
use crate::quota::SlotCaps;
use crate::store::{Admission, RunStoreError};

impl MongoRuns {
    pub(super) async fn give_slots(
        &self,
        tenant: &TenantId,
        caps: &SlotCaps,
        now: Timestamp,
    ) -> Result<Admission, RunStoreError> {
        let act = "admit runs";
        let mut admitted = Vec::new();
        loop {
            // Only the last admission can be half done: whoever added it first brought the one before to its end.
            let newest = self.admissions.find_one(doc! { "tenant": tenant.as_str() }).sort(doc! { "sequence": -1 });
            let newest = run(act, newest).await?;
            if let Some(last) = &newest {
                let reference =
                    RunRef { tenant: tenant.clone(), run: last.run_id.clone(), generation: last.generation };
                admitted.extend(self.start(&reference, now).await?);
            }
            let running = self.running(doc! { "tenant": tenant.as_str() }).await?;
            if running.len() >= caps.active as usize {
                break;
            }
            let full = caps.full_kinds(&by_kind(&running));
            let Some(next) = self.oldest_pending(tenant, &full).await? else { break };
            // The runs counted above can only become fewer, unless another admission is added, which this insert sees.
            let sequence = newest.map_or(1, |last| last.sequence + 1);
            if insert(act, &self.admissions, &AdmissionDocument::new(sequence, &next)).await? {
                admitted.extend(self.start(&next, now).await?);
            }
        }
        Ok(if admitted.is_empty() { Admission::Nothing } else { Admission::Admitted(admitted) })
    }

    /// Lets a run with a slot run; `None` when it does already, or was cancelled.
    async fn start(&self, wanted: &RunRef, now: Timestamp) -> Result<Option<Run>, RunStoreError> {
        let step = self
            .step(&wanted.tenant, &wanted.run, |known| {
                if known.generation != wanted.generation {
                    return None;
                }
                let (next, event) = fold::admitted(known, now)?;
                Some((next, event, Change::Admitted))
            })
            .await?;
        Ok(match step {
            Step::Taken(run) => Some(run),
            Step::Refused(_) | Step::NotFound => None,
        })
    }

    /// The oldest pending run of another kind than those without a free slot.
    async fn oldest_pending(&self, tenant: &TenantId, full: &[ProfileKind]) -> Result<Option<RunRef>, RunStoreError> {
        let mut query = doc! { "tenant": tenant.as_str(), "status": RunStatus::Pending.as_str() };
        if !full.is_empty() {
            let full: Vec<&str> = full.iter().map(|kind| kind.as_str()).collect();
            query.insert("profile_kind", doc! { "$nin": full });
        }
        loop {
            let oldest = self.runs.find_one(query.clone()).sort(doc! { "_id": 1 });
            let Some(document) = run("find pending runs", oldest).await? else { return Ok(None) };
            let settled = self.settle(document).await?.run;
            if settled.status == RunStatus::Pending {
                return Ok(Some(settled.reference()));
            }
        }
    }
}
