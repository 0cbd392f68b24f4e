//! What is left of a tenant's quotas: `GET /api/export/quota`, and the headers of submits.

use std::collections::BTreeMap;

use export_authority::Scope;
use export_contract::profile::ProfileKind;
use export_contract::{ErrorCode, TenantId, Timestamp};
use export_runs::quota::Day;
use export_runs::{Exceeded, QuotaName, Quotas};
use http::{HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::authenticate::session;
use crate::problem::{FieldError, Problem};
use crate::request::Incoming;
use crate::routes::{call, json_response, path};
use crate::state::{Gateway, now};

/// Seconds after which a tenant with too many waiting runs may ask again: runs take about so long.
const SOON: u64 = 30;

/// A quota, and what is left of it. No limit: there is no end to it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct QuotaView {
    name: &'static str,
    limit: Option<u64>,
    used: u64,
    remaining: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_at: Option<Timestamp>,
}

/// The quotas of a tenant.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuotasView<'a> {
    tenant: &'a TenantId,
    quotas: Vec<QuotaView>,
    /// Running runs by kind that there may be at once, where a kind has a cap of its own.
    profile_active_runs: &'a BTreeMap<ProfileKind, u32>,
}

impl QuotaView {
    fn new(name: &'static str, limit: Option<u64>, used: u64, resets_at: Option<Timestamp>) -> Self {
        Self { name, limit, used, remaining: limit.map(|limit| limit.saturating_sub(used)), resets_at }
    }
}

/// The path of quotas.
pub(crate) fn routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    path(&["api", "export", "quota"])
        .and(warp::path::end())
        .and(warp::get())
        .and(call(gateway, |g, r| async move { show(&g, r).await }))
        .boxed()
}

async fn show(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    request.query(&[])?;
    let quotas = gateway.quotas.of(&session.tenant);
    let now = now();
    let used = gateway.runs.usage(&session.tenant, now).await?;
    let midnight = Some(Day::of(now).end());
    let of =
        |name: QuotaName, limit: Option<u64>, used, resets_at| QuotaView::new(name.as_str(), limit, used, resets_at);
    let view = QuotasView {
        tenant: &session.tenant,
        quotas: vec![
            QuotaView::new("activeRuns", Some(quotas.slots.active.into()), used.active_runs.into(), None),
            of(QuotaName::PendingRuns, quotas.pending_runs.map(u64::from), used.pending_runs.into(), None),
            of(QuotaName::RunsPerDay, quotas.runs_per_day.map(u64::from), used.runs_today.into(), midnight),
            of(QuotaName::BytesPerDay, quotas.bytes_per_day, used.bytes_today, midnight),
        ],
        profile_active_runs: &quotas.slots.by_kind,
    };
    Ok(json_response(StatusCode::OK, &view))
}

/// `X-Stella-Quota-*` of the runs of a day; none where there is no such quota.
pub(crate) fn headers(quotas: &Quotas, runs_today: u32, now: Timestamp) -> Vec<(HeaderName, HeaderValue)> {
    let Some(limit) = quotas.runs_per_day else { return Vec::new() };
    let header = |name, value: u64| (HeaderName::from_static(name), HeaderValue::from(value));
    vec![
        header("x-stella-quota-limit", limit.into()),
        header("x-stella-quota-remaining", limit.saturating_sub(runs_today).into()),
        header("x-stella-quota-reset", seconds_until(Day::of(now).end(), now)),
    ]
}

/// The answer to a run for which there is no room.
pub(crate) fn refusal(quotas: &Quotas, exceeded: Exceeded, runs_today: u32, now: Timestamp) -> Problem {
    let wait = exceeded.resets_at.map_or(SOON, |at| seconds_until(at, now));
    let field = FieldError { path: exceeded.quota.as_str().to_owned(), problem: exceeded.to_string() };
    let problem = Problem::new(ErrorCode::Quota, exceeded.to_string())
        .with_errors(vec![field])
        .with_header(header::RETRY_AFTER, HeaderValue::from(wait));
    headers(quotas, runs_today, now)
        .into_iter()
        .fold(problem, |problem, (name, value)| problem.with_header(name, value))
}

/// Whole seconds, rounded up, at least one.
fn seconds_until(at: Timestamp, now: Timestamp) -> u64 {
    let micros = u64::try_from(at.as_micros().saturating_sub(now.as_micros())).unwrap_or(0);
    micros.div_ceil(1_000_000).max(1)
}
