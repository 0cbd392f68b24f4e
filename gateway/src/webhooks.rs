//! `/api/export/webhooks`.

mod deliveries;
mod secrets;

use std::collections::BTreeSet;
use std::sync::Arc;

use export_authority::Scope;
use export_contract::webhook::{Webhook, WebhookEvent};
use export_contract::{ErrorCode, LogEvent, ProfileId, Version, WebhookId};
use export_runs::webhook::MAX_WEBHOOKS;
use export_runs::{KeptWebhook, WebhookStore};
use export_webhooks::{AddressRules, SecretKeeper};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::authenticate::{Session, session, session_with};
use crate::idempotency::{Asked, Repeated, once};
use crate::problem::{FieldError, Problem};
use crate::request::{Incoming, parse_json};
use crate::routes::{answer, call, created, item, json_response, path, reading, state};
use crate::state::{Gateway, new_id, now};

pub(crate) use deliveries::DeliveryPage;
pub(crate) use secrets::{MadeWebhook, SecretChange};

/// Who may change webhooks: they decide who is told of runs.
const TO_CHANGE: [Scope; 2] = [Scope::Run, Scope::ProfileManage];
/// Longest description, characters.
const MAX_DESCRIPTION: usize = 512;

/// What the endpoints of webhooks go by.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// Where they are kept.
    pub store: Arc<dyn WebhookStore>,
    /// Encrypts their secrets.
    pub secrets: Arc<SecretKeeper>,
    /// Which addresses may be theirs.
    pub rules: AddressRules,
}

/// A webhook that somebody wants.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewWebhook {
    url: String,
    #[serde(default = "every_event")]
    events: BTreeSet<WebhookEvent>,
    profile_id: Option<String>,
    #[serde(default)]
    description: String,
}

fn every_event() -> BTreeSet<WebhookEvent> {
    WebhookEvent::OF_RUNS.into()
}

/// The members to change.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WebhookChange {
    enabled: Option<bool>,
    events: Option<BTreeSet<WebhookEvent>>,
    description: Option<String>,
}

/// The webhooks of a tenant.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WebhookList {
    webhooks: Vec<Webhook>,
}

/// The paths of webhooks.
pub(crate) fn routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let all = || path(&["api", "export", "webhooks"]).and(warp::path::end());
    let one = || item("webhooks", "");
    let list = all().and(reading()).and(call(gateway, |g, r| async move { list(&g, r).await }));
    let create = all().and(warp::post()).and(call(gateway, |g, r| async move { create(&g, r).await }));
    let show = one()
        .and(reading())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(show(&g, &id, r).await) });
    let update = one()
        .and(warp::patch())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(update(&g, &id, r).await) });
    let delete = one()
        .and(warp::delete())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(delete(&g, &id, r).await) });
    let rotate = item("webhooks", "secret")
        .and(warp::post())
        .and(state(gateway))
        .then(|id: String, g: Gateway, r: Incoming| async move { answer(secrets::rotate(&g, &id, r).await) });
    list.or(create)
        .unify()
        .or(show)
        .unify()
        .or(update)
        .unify()
        .or(delete)
        .unify()
        .or(rotate)
        .unify()
        .or(deliveries::routes(gateway))
        .unify()
        .boxed()
}

async fn list(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let Session { tenant, .. } = session(gateway, &request, Scope::Read).await?;
    request.query(&[])?;
    let kept = gateway.webhooks.store.webhooks(&tenant).await?;
    let webhooks: Vec<Webhook> = kept.into_iter().map(|kept| kept.webhook).collect();
    Ok(json_response(StatusCode::OK, &WebhookList { webhooks }))
}

async fn show(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    request.query(&[])?;
    Ok(json_response(StatusCode::OK, &find(gateway, &session, id).await?.webhook))
}

async fn create(gateway: &Gateway, mut request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    request.query(&[])?;
    let body = request.json_bytes(gateway.limits.body_bytes).await?;
    let asked = Asked { operation: "createWebhook", target: "", body: &body };
    once(gateway, &session, &request, asked, Repeated::Secret, make(gateway, &session, &body)).await
}

async fn make(gateway: &Gateway, session: &Session, body: &[u8]) -> Result<Response, Problem> {
    let Session { tenant, caller } = session.clone();
    let wanted: NewWebhook = parse_json(body)?;
    let profile_id: Option<ProfileId> = wanted
        .profile_id
        .map(|text| text.parse())
        .transpose()
        .map_err(|error: export_contract::ids::ParseIdError| invalid("profileId", error.to_string()))?;
    gateway.webhooks.rules.check_url(&wanted.url).map_err(|refused| invalid("url", refused.to_string()))?;
    check(&wanted.events, &wanted.description)?;
    if gateway.webhooks.store.webhooks(&tenant).await?.len() >= MAX_WEBHOOKS {
        let problem = format!("the tenant has {MAX_WEBHOOKS} webhooks, which is the most there may be; delete one");
        return Err(Problem::new(ErrorCode::Quota, problem));
    }
    let id: WebhookId =
        new_id().as_str().parse().map_err(|_| Problem::new(ErrorCode::Internal, "the webhook cannot be named"))?;
    let (secret, sealed_secret) = secrets::new(gateway, &tenant, &id)?;
    let webhook = Webhook {
        v: Version,
        id,
        tenant,
        url: wanted.url,
        events: wanted.events,
        profile_id,
        description: wanted.description,
        enabled: true,
        disabled_because: None,
        former_secret_until: None,
        created_by: caller.subject,
        created_at: now(),
        revision: 1,
    };
    let kept = KeptWebhook { webhook, sealed_secret, former_sealed_secret: None };
    let Some(made) = gateway.webhooks.store.create_webhook(&kept).await? else {
        return Err(Problem::new(ErrorCode::WebhookConflict, "the id of the webhook is taken; try again"));
    };
    tracing::info!(event = %LogEvent::WebhookMade, tenant = %made.webhook.tenant, webhook = %made.webhook.id, "webhook made");
    let path = format!("/api/export/webhooks/{}", made.webhook.id);
    Ok(created(&path, &MadeWebhook::new(&made.webhook, &secret)))
}

async fn update(gateway: &Gateway, id: &str, mut request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    request.query(&[])?;
    let change: WebhookChange = request.json(gateway.limits.body_bytes).await?;
    let current = find(gateway, &session, id).await?;
    let mut next = current.clone();
    if let Some(enabled) = change.enabled {
        next.webhook.enabled = enabled;
        next.webhook.disabled_because = None;
    }
    if let Some(events) = change.events {
        next.webhook.events = events;
    }
    if let Some(description) = change.description {
        next.webhook.description = description;
    }
    check(&next.webhook.events, &next.webhook.description)?;
    if next != current {
        next.webhook.revision = current.webhook.revision.saturating_add(1);
        if !gateway.webhooks.store.update_webhook(&next).await? {
            return Err(changed());
        }
    }
    Ok(json_response(StatusCode::OK, &next.webhook))
}

async fn delete(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    request.query(&[])?;
    let parsed: WebhookId = id.parse().map_err(|_| not_found(&session, id))?;
    if !gateway.webhooks.store.delete_webhook(&session.tenant, &parsed).await? {
        return Err(not_found(&session, id));
    }
    tracing::info!(event = %LogEvent::WebhookDeleted, tenant = %session.tenant, webhook = id, "webhook deleted");
    let mut response = Response::new(bytes::Bytes::new().into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn check(events: &BTreeSet<WebhookEvent>, description: &str) -> Result<(), Problem> {
    if events.is_empty() || events.contains(&WebhookEvent::Test) {
        let known: Vec<&str> = WebhookEvent::OF_RUNS.into_iter().map(WebhookEvent::as_str).collect();
        return Err(invalid("events", format!("name at least one of {}", known.join(", "))));
    }
    if description.chars().count() > MAX_DESCRIPTION {
        return Err(invalid("description", format!("use at most {MAX_DESCRIPTION} characters")));
    }
    Ok(())
}

async fn find(gateway: &Gateway, session: &Session, id: &str) -> Result<KeptWebhook, Problem> {
    let absent = || not_found(session, id);
    let parsed: WebhookId = id.parse().map_err(|_| absent())?;
    gateway.webhooks.store.webhook(&session.tenant, &parsed).await?.ok_or_else(absent)
}

fn not_found(session: &Session, id: &str) -> Problem {
    Problem::new(ErrorCode::WebhookNotFound, format!("no webhook `{id}` for tenant `{}`", session.tenant))
}

fn changed() -> Problem {
    Problem::new(ErrorCode::WebhookConflict, "it was changed by another request; read it again and repeat")
}

fn invalid(path: &str, problem: String) -> Problem {
    Problem::new(ErrorCode::InvalidWebhook, "the webhook is not valid")
        .with_errors(vec![FieldError { path: path.to_owned(), problem }])
}
