//! What the parts of a run left for the join.

use std::collections::BTreeMap;

use export_canon::digesting::sha256;
use export_contract::message::{Part, PartAdapted, RunPlanned, SourceRead};
use export_contract::run::Phase;
use export_contract::{Digest, RecordKey, RecordKind, TenantId};
use export_evidence::{ReadRange, Selection};
use export_pipeline::StageContext;

use crate::error::AdaptError;

/// What a part reads, after `after` where an earlier worker came so far.
pub(crate) fn range(plan: &RunPlanned, part: &Part, after: Option<RecordKey>) -> ReadRange {
    let (tenant, watermark) = plan.ledger(part.tenant.as_ref());
    ReadRange {
        selection: Selection { tenant: tenant.clone(), watermark, selectors: plan.selectors.clone() },
        kind: part.kind,
        first: Some(part.first.clone()),
        last: Some(part.last.clone()),
        after,
    }
}

/// The results of `parts`, in their order.
pub(crate) async fn results<'p>(
    parts: impl Iterator<Item = &'p Part>,
    keeps_its_promise: fn(&PartAdapted, &Part) -> bool,
    cx: &StageContext,
) -> Result<Vec<PartAdapted>, AdaptError> {
    let mut adapted = Vec::new();
    for part in parts {
        let result = cx.workspace().part_result::<PartAdapted>(Phase::Adapt, part.index).await;
        let result = result.map_err(|cause| AdaptError::Part { part: part.index, cause })?;
        if !keeps_its_promise(&result, part) {
            return Err(AdaptError::Segment { part: part.index });
        }
        adapted.push(result);
    }
    Ok(adapted)
}

/// What was read of each source, summed over parts.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeMap<Source, (u64, Vec<u8>)>);

/// Whose, of which kind, by its name.
type Source = (Option<TenantId>, RecordKind, String);

impl Sources {
    /// Takes what the parts of a tenant's ledger read.
    pub(crate) fn take(&mut self, tenant: Option<&TenantId>, parts: &[PartAdapted]) {
        for part in parts {
            for input in &part.inputs {
                let (records, hashes) = self.0.entry((tenant.cloned(), part.kind, input.source.clone())).or_default();
                *records += input.count;
                hashes.extend(hex::decode(input.hash.hex()).unwrap_or_default());
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<SourceRead> {
        let read = |((tenant, kind, name), (records, hashes)): (Source, (u64, Vec<u8>))| SourceRead {
            tenant,
            kind,
            name,
            records,
            hash: Digest::from_bytes(*sha256(&hashes).as_bytes()),
        };
        self.0.into_iter().map(read).collect()
    }
}
