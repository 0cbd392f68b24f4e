//! What messages are signed with.

use export_contract::webhook::Webhook;
use export_contract::{ErrorCode, LogEvent, TenantId, WebhookId};
use export_webhooks::WebhookSecret;
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warp::reply::Response;

use super::{TO_CHANGE, changed, find, invalid};
use crate::authenticate::{Session, session_with};
use crate::idempotency::{Asked, Repeated, once};
use crate::problem::Problem;
use crate::request::{Incoming, parse_json};
use crate::routes::json_response;
use crate::state::{Gateway, now};

/// How long the former secret signs as well where nothing is said: a day, in which a receiver can be given the new one.
const OVERLAP_SECONDS: u32 = 86_400;
/// The longest that it can be asked for.
const MAX_OVERLAP_SECONDS: u32 = 7 * 86_400;

/// The only answer that has the secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MadeWebhook")]
pub(crate) struct MadeWebhook<'a> {
    #[serde(flatten)]
    webhook: &'a Webhook,
    secret: String,
}

impl<'a> MadeWebhook<'a> {
    pub(super) fn new(webhook: &'a Webhook, secret: &WebhookSecret) -> Self {
        Self { webhook, secret: secret.shown() }
    }
}

/// How a secret is rotated.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretChange {
    /// How long messages are signed with the former secret too; 0 where it is known to others.
    #[serde(default = "overlap")]
    #[schemars(range(max = 604_800))]
    overlap_seconds: u32,
}

fn overlap() -> u32 {
    OVERLAP_SECONDS
}

/// A new secret, and how it is kept.
pub(super) fn new(
    gateway: &Gateway,
    tenant: &TenantId,
    webhook: &WebhookId,
) -> Result<(WebhookSecret, String), Problem> {
    let secret = WebhookSecret::random();
    let sealed = gateway.webhooks.secrets.seal(&secret, tenant.as_str(), webhook.as_str()).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "secret not made");
        Problem::new(ErrorCode::Internal, "the secret of the webhook cannot be kept")
    })?;
    Ok((secret, sealed))
}

/// Gives a webhook another secret. Both sign until the overlap is over, so that no message is refused in between.
pub(super) async fn rotate(gateway: &Gateway, id: &str, mut request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    request.query(&[])?;
    let body = request.json_bytes(gateway.limits.body_bytes).await?;
    let asked = Asked { operation: "rotateWebhookSecret", target: id, body: &body };
    once(gateway, &session, &request, asked, Repeated::Secret, replace(gateway, &session, id, &body)).await
}

async fn replace(gateway: &Gateway, session: &Session, id: &str, body: &[u8]) -> Result<Response, Problem> {
    let SecretChange { overlap_seconds } = parse_json(body)?;
    if overlap_seconds > MAX_OVERLAP_SECONDS {
        return Err(invalid("overlapSeconds", format!("use at most {MAX_OVERLAP_SECONDS}, which is a week")));
    }
    let mut kept = find(gateway, session, id).await?;
    let (secret, sealed) = new(gateway, &session.tenant, &kept.webhook.id)?;
    let former = std::mem::replace(&mut kept.sealed_secret, sealed);
    // A secret that nobody is to trust any more is not kept either.
    kept.former_sealed_secret = (overlap_seconds > 0).then_some(former);
    kept.webhook.former_secret_until = (overlap_seconds > 0).then(|| now().plus_seconds(overlap_seconds.into()));
    kept.webhook.revision = kept.webhook.revision.saturating_add(1);
    if !gateway.webhooks.store.update_webhook(&kept).await? {
        return Err(changed());
    }
    tracing::info!(event = %LogEvent::WebhookSecretRotated, tenant = %session.tenant, webhook = id, overlap_seconds, "secret of a webhook rotated");
    Ok(json_response(StatusCode::OK, &MadeWebhook::new(&kept.webhook, &secret)))
}
