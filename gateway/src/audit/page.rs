//! `GET /api/export/audit`.

use export_authority::Scope;
use export_contract::audit::AuditEntry;
use export_contract::{ErrorCode, Timestamp};
use export_runs::{AuditFilter, MAX_AUDIT_PAGE};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::authenticate::session_with;
use crate::problem::{FieldError, Problem};
use crate::request::Incoming;
use crate::routes::{call, json_response, path};
use crate::state::Gateway;

/// Who may read it: it says what others did, and from where.
const TO_READ: [Scope; 2] = [Scope::Read, Scope::ProfileManage];
/// Entries of a page that does not say how many.
const PAGE: u32 = 100;

/// A page of the log.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditPage {
    entries: Vec<AuditEntry>,
    next_cursor: Option<String>,
}

/// The path of the log.
pub(crate) fn routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    path(&["api", "export", "audit"])
        .and(warp::path::end())
        .and(warp::get())
        .and(call(gateway, |g, r| async move { list(&g, r).await }))
        .boxed()
}

async fn list(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_READ).await?;
    let query = request.query(&["since", "until", "action", "cursor", "limit"])?;
    let bad = |name: &str, problem: String| {
        Problem::new(ErrorCode::InvalidRequest, format!("query parameter `{name}` is not valid"))
            .with_errors(vec![FieldError { path: name.to_owned(), problem }])
    };
    let time = |name: &str| {
        let parsed = query.get(name).map(|text| text.parse::<Timestamp>()).transpose();
        parsed.map_err(|error| bad(name, error.to_string()))
    };
    let filter = AuditFilter {
        since: time("since")?,
        until: time("until")?,
        action: query
            .get("action")
            .map(|text| text.parse())
            .transpose()
            .map_err(|error: export_contract::audit::UnknownAction| bad("action", error.to_string()))?,
        before: query.get("cursor").cloned().map(cursor).transpose().map_err(|problem| bad("cursor", problem))?,
        limit: match query.get("limit") {
            None => PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_AUDIT_PAGE).contains(limit))
                .ok_or_else(|| bad("limit", format!("`{text}` is not a number from 1 to {MAX_AUDIT_PAGE}")))?,
        },
    };
    let page = gateway.audit.store.entries_of(&session.tenant, &filter).await?;
    let next = page.entries.last().filter(|_| page.more).map(AuditEntry::place);
    let body = AuditPage { entries: page.entries, next_cursor: next.clone() };
    let mut response = json_response(StatusCode::OK, &body);
    if let Some(next) = next {
        let mut address = format!("/api/export/audit?cursor={next}&limit={}", filter.limit);
        // Each was read as what it is, and stands in an address as it is written.
        for (name, value) in [
            ("since", filter.since.map(|at| at.to_string())),
            ("until", filter.until.map(|at| at.to_string())),
            ("action", filter.action.map(|action| action.to_string())),
        ] {
            address.extend(value.map(|value| format!("&{name}={value}")));
        }
        if let Ok(link) = HeaderValue::from_str(&format!("<{address}>; rel=\"next\"")) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
    Ok(response)
}

/// A cursor that an answer gave: the place of an entry.
fn cursor(text: String) -> Result<String, String> {
    let good = (22..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if good { Ok(text) } else { Err("use the `nextCursor` of a page".to_owned()) }
}
