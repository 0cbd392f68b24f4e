//! `POST /api/export/runs/{id}/links`, and `/api/export/links/...`: signed links that expire, for whoever has no token.

use export_authority::{Link, LinkRefused, MAX_LINK_SECONDS, Scope};
use export_contract::{ErrorCode, LogEvent, RunId, TenantId, Timestamp};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warp::reply::Response;

use crate::authenticate::{Session, session};
use crate::downloads::{self, BUNDLE};
use crate::idempotency::{Asked, Repeated, once};
use crate::problem::Problem;
use crate::request::{Incoming, parse_json};
use crate::routes::json_response;
use crate::runs::find;
use crate::state::{Gateway, now};
use crate::visit::Who;

/// Seconds that a link is valid where the request does not say.
const DEFAULT_SECONDS: u32 = 3_600;

/// A link that somebody wants.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NewLink {
    /// `bundle.tar`, or a file beside it.
    file: String,
    /// Seconds for which it is valid.
    #[schemars(range(min = 1, max = 604_800))]
    expires_in_seconds: u32,
}

impl Default for NewLink {
    fn default() -> Self {
        Self { file: BUNDLE.to_owned(), expires_in_seconds: DEFAULT_SECONDS }
    }
}

/// A link that stands for a permission.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadeLink {
    /// Path on this gateway.
    path: String,
    /// The whole address, where the gateway knows how it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    file: String,
    expires_at: Timestamp,
}

/// Makes a link to a file of a finished run.
pub(crate) async fn create(gateway: &Gateway, id: &str, mut request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Download).await?;
    request.query(&[])?;
    let body = request.json_bytes(gateway.limits.body_bytes).await?;
    let asked = Asked { operation: "createLink", target: id, body: &body };
    once(gateway, &session, &request, asked, Repeated::Anew, sign(gateway, &session, id, &body)).await
}

async fn sign(gateway: &Gateway, session: &Session, id: &str, body: &[u8]) -> Result<Response, Problem> {
    let wanted: NewLink = parse_json(body)?;
    let run = find(gateway, session, id).await?;
    if !(1..=MAX_LINK_SECONDS).contains(&wanted.expires_in_seconds) {
        let detail = format!("expiresInSeconds: use 1 to {MAX_LINK_SECONDS} (seven days)");
        return Err(Problem::new(ErrorCode::InvalidRequest, detail));
    }
    downloads::has_file(&run, &wanted.file)?;
    let until = now().plus_seconds(i64::from(wanted.expires_in_seconds)).as_seconds();
    let expires_at = Timestamp::from_micros(until.saturating_mul(1_000_000))
        .map_err(|_| Problem::new(ErrorCode::Internal, "the time of expiry cannot be written"))?;
    let link = Link { tenant: run.tenant.clone(), run: run.id.clone(), file: wanted.file, expires_at };
    let signature = gateway.links.sign(&link);
    let path =
        format!("/api/export/links/{}/{}/{}?expires={until}&signature={signature}", link.tenant, link.run, link.file);
    // The link itself stays out of the log: whoever reads it could use it.
    tracing::info!(event = %LogEvent::LinkMade, tenant = %link.tenant, run_id = %link.run, file = link.file, %expires_at, by = session.caller.subject, "link made");
    let url = gateway.registry.public_url().map(|base| format!("{base}{path}"));
    Ok(json_response(StatusCode::CREATED, &MadeLink { path, url, file: link.file, expires_at }))
}

/// The file of a link.
pub(crate) async fn follow(
    gateway: &Gateway,
    tenant: &str,
    run: &str,
    file: &str,
    request: Incoming,
) -> Result<Response, Problem> {
    // One answer for all that was never signed, so that nobody learns from it which tenants and runs there are.
    let forged = || Problem::new(ErrorCode::LinkInvalid, LinkRefused::Forged.to_string());
    let query = request.query(&["expires", "signature"])?;
    let seconds = query.get("expires").and_then(|text| text.parse::<i64>().ok()).ok_or_else(forged)?;
    let expires_at =
        Timestamp::from_micros(seconds.checked_mul(1_000_000).ok_or_else(forged)?).map_err(|_| forged())?;
    let tenant: TenantId = tenant.parse().map_err(|_| forged())?;
    let run: RunId = run.parse().map_err(|_| forged())?;
    let link = Link { tenant, run, file: file.to_owned(), expires_at };
    let signature = query.get("signature").ok_or_else(forged)?;
    gateway
        .links
        .check(&link, signature, now())
        .map_err(|refused| Problem::new(ErrorCode::LinkInvalid, refused.to_string()))?;
    let who = Who { tenant: link.tenant.clone(), actor: "link".to_owned(), token_id: None };
    request.visit.note(|noted| noted.who = Some(who));
    let found = gateway.runs.run(&link.tenant, &link.run).await?;
    let run = found.ok_or_else(|| Problem::new(ErrorCode::RunNotFound, format!("no run `{}`", link.run)))?;
    downloads::file(gateway, &run, &link.file, &request).await
}
