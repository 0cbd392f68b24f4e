//! Messages to webhooks: what became of them, and having one sent.

use export_authority::Scope;
use export_contract::webhook::{Delivery, DeliveryState, WebhookEvent};
use export_contract::{ErrorCode, Version};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::{TO_CHANGE, changed, find};
use crate::authenticate::{Session, session, session_with};
use crate::idempotency::{Asked, Repeated, once};
use crate::problem::Problem;
use crate::request::Incoming;
use crate::routes::{answer, item, json_response, path, reading, state};
use crate::runs::next_page;
use crate::state::{Gateway, new_id, now};

/// One page of deliveries.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryPage {
    deliveries: Vec<Delivery>,
    /// Begins the next page; absent at the end.
    next_cursor: Option<String>,
}

/// The paths of messages.
pub(super) fn routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let test = item("webhooks", "test")
        .and(warp::post())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(test(&g, &id, r).await) });
    let list = item("webhooks", "deliveries")
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(list(&g, &id, r).await) });
    let replay = path(&["api", "export", "webhooks"])
        .and(warp::path::param())
        .and(warp::path("deliveries"))
        .and(warp::path::param())
        .and(warp::path("replay"))
        .and(warp::path::end())
        .and(warp::post())
        .and(state(gateway))
        .then(|id: String, delivery: String, g: Gateway, r: Incoming| async move {
            answer(replay(&g, &id, &delivery, r).await)
        });
    test.or(list).unify().or(replay).unify().boxed()
}

/// Has a message sent that says nothing.
async fn test(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    request.query(&[])?;
    let asked = Asked { operation: "testWebhook", target: id, body: &[] };
    once(gateway, &session, &request, asked, Repeated::Same, send_test(gateway, &session, id)).await
}

async fn send_test(gateway: &Gateway, session: &Session, id: &str) -> Result<Response, Problem> {
    let webhook = find(gateway, session, id).await?.webhook;
    let now = now();
    let body = serde_json::json!({
        "type": WebhookEvent::Test, "timestamp": now, "data": { "tenant": webhook.tenant, "webhookId": webhook.id },
    });
    let delivery = Delivery {
        v: Version,
        id: format!("msg_{}_test_{}", new_id(), webhook.id),
        tenant: webhook.tenant,
        webhook: webhook.id,
        event: WebhookEvent::Test,
        run: None,
        state: DeliveryState::Pending,
        created_at: now,
        next_attempt_at: Some(now),
        tries: 0,
        replays: 0,
        attempts: Vec::new(),
        body: body.to_string(),
        revision: 1,
    };
    gateway.webhooks.store.create_delivery(&delivery).await?;
    Ok(json_response(StatusCode::ACCEPTED, &delivery))
}

async fn list(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["cursor", "limit"])?;
    let limit = Incoming::page_limit(&query)?;
    let webhook = find(gateway, &session, id).await?.webhook;
    let before = query.get("cursor").map(String::as_str);
    let page = gateway.webhooks.store.deliveries(&session.tenant, &webhook.id, before, limit).await?;
    let next = page.deliveries.last().filter(|_| page.more).map(|delivery| delivery.id.clone());
    let page = DeliveryPage { deliveries: page.deliveries, next_cursor: next.clone() };
    let mut response = json_response(StatusCode::OK, &page);
    if let Some(next) = next {
        next_page(&mut response, &format!("/api/export/webhooks/{id}/deliveries?cursor={next}&limit={limit}"));
    }
    Ok(response)
}

/// Has a message sent again, from the first attempt on.
async fn replay(gateway: &Gateway, id: &str, delivery: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    request.query(&[])?;
    let target = format!("{id}/{delivery}");
    let asked = Asked { operation: "replayDelivery", target: &target, body: &[] };
    once(gateway, &session, &request, asked, Repeated::Same, send_again(gateway, &session, id, delivery)).await
}

async fn send_again(gateway: &Gateway, session: &Session, id: &str, delivery: &str) -> Result<Response, Problem> {
    let webhook = find(gateway, session, id).await?.webhook;
    if !webhook.enabled {
        return Err(Problem::new(ErrorCode::WebhookConflict, format!("webhook `{id}` is disabled; enable it first")));
    }
    let known = gateway.webhooks.store.delivery(&session.tenant, delivery).await?;
    let known = known.filter(|known| known.webhook == webhook.id).ok_or_else(|| {
        Problem::new(ErrorCode::WebhookNotFound, format!("no delivery `{delivery}` to webhook `{id}`"))
    })?;
    let again = Delivery {
        state: DeliveryState::Pending,
        next_attempt_at: Some(now()),
        tries: 0,
        replays: known.replays.saturating_add(1),
        revision: known.revision.saturating_add(1),
        ..known
    };
    if !gateway.webhooks.store.update_delivery(&again).await? {
        return Err(changed());
    }
    Ok(json_response(StatusCode::ACCEPTED, &again))
}
