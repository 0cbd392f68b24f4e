//! What a message says: little, since whoever wants to know more may ask.

use export_contract::run::{Run, RunStatus};
use export_contract::webhook::{Delivery, DeliveryState, Webhook, WebhookEvent};
use export_contract::{Timestamp, Version};
use serde_json::json;

/// The delivery of a run's end. Equal for equal runs but for `created_at`: its id names webhook, run and event, and holds no
/// full stop, as the specification wants it.
pub(super) fn of_run(webhook: &Webhook, run: &Run, event: WebhookEvent, now: Timestamp) -> Delivery {
    let base = format!("/api/export/runs/{}", run.id);
    let mut links = json!({ "self": base });
    let bundle = run.bundle.as_ref().filter(|_| run.status == RunStatus::Succeeded).map(|bundle| {
        links = json!({
            "self": base, "download": format!("{base}/download"), "manifest": format!("{base}/manifest"),
            "provenance": format!("{base}/provenance"),
        });
        json!({
            "digest": bundle.digest, "manifestDigest": bundle.manifest_digest, "bytes": bundle.bytes,
            "records": bundle.records, "refreshes": bundle.refreshes,
        })
    });
    let body = json!({
        "type": event,
        "timestamp": run.completed_at.unwrap_or(now),
        "data": {
            "tenant": run.tenant, "runId": run.id, "generation": run.generation, "profileId": run.profile_id,
            "profileKind": run.profile_kind, "requestedBy": run.requested_by, "status": run.status,
            "errorCode": run.error_code, "bundle": bundle, "links": links,
        },
    });
    Delivery {
        v: Version,
        id: format!("msg_{}_{}_{}_{}", run.id, run.generation, run.status, webhook.id),
        tenant: webhook.tenant.clone(),
        webhook: webhook.id.clone(),
        event,
        run: Some(run.id.clone()),
        state: DeliveryState::Pending,
        created_at: now,
        next_attempt_at: Some(now),
        tries: 0,
        replays: 0,
        attempts: Vec::new(),
        body: body.to_string(),
        revision: 1,
    }
}
