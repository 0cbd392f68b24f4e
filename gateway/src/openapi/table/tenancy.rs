//! What a tenant may have, and what was done in it.

use export_contract::audit::AuditAction;
use serde_json::{Value, json};

use super::super::operation::{Answer, Operation, query};
use super::{READ, READ_AND_MANAGE, cursor, limit, link_header};
use crate::audit::AuditPage;
use crate::quota::QuotasView;

pub(super) fn tenancy() -> Vec<Operation> {
    vec![
        Operation::get("/api/export/quota", "showQuota", "What the tenant may have, and what is left of it")
            .scopes(READ)
            .gives::<QuotasView>("The quotas."),
        Operation::get("/api/export/audit", "listAudit", "Who did what, newest first")
            .scopes(READ_AND_MANAGE)
            .with(query("since", time(), "Not before this time (RFC 3339)."))
            .with(query("until", time(), "Before this time."))
            .with(query(
                "action",
                json!({ "type": "string", "enum": AuditAction::ALL }),
                "Only entries of this action.",
            ))
            .with(limit())
            .with(cursor(json!({ "type": "string" })))
            .answers(link_header(Answer::json::<AuditPage>(200, "One page."))),
    ]
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}
