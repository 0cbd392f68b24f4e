//! The ledgers of several tenants, for a run that was approved to read them.

use std::collections::BTreeSet;

use export_contract::message::TenantRead;
use export_contract::{TenantId, Timestamp};
use export_evidence::{EvidenceLedger, LedgerError};

/// The newest position of each tenant's ledger, and the newest observation of them all.
pub(crate) async fn pin(
    ledger: &dyn EvidenceLedger,
    tenants: &BTreeSet<TenantId>,
) -> Result<(Option<Timestamp>, Vec<TenantRead>), LedgerError> {
    let mut newest = None;
    let mut reads = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        let watermark = ledger.watermark(tenant).await?.sequence;
        newest = newest.max(ledger.as_of(tenant, watermark).await?);
        let sources = ledger.sources(tenant, watermark).await?;
        reads.push(TenantRead { tenant: tenant.clone(), watermark, sources });
    }
    Ok((newest, reads))
}
