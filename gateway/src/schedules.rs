//! `/api/export/schedules`.

use export_authority::Scope;
use export_contract::run::RunOptions;
use export_contract::schedule::{MissedRule, OverlapRule, Schedule};
use export_contract::selectors::SelectorRequest;
use export_contract::{ErrorCode, LogEvent, ProfileId, ScheduleId, Timestamp, Version};
use export_runs::schedule::{DEFAULT_GRACE_MINUTES, MAX_GRACE_MINUTES, MAX_SCHEDULES, Times};
use export_runs::submit::{self, RunWanted};
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
use crate::state::{Gateway, now};

/// Who may change schedules: they decide what is exported, and have it exported.
const TO_CHANGE: [Scope; 2] = [Scope::Run, Scope::ProfileManage];
/// Due times that are shown.
const UPCOMING: usize = 5;

/// A schedule as the API shows it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ScheduleView {
    #[serde(flatten)]
    schedule: Schedule,
    /// The next due times.
    upcoming: Vec<Timestamp>,
}

/// The schedules of a tenant.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ScheduleList {
    schedules: Vec<ScheduleView>,
}

/// A schedule that somebody wants.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewSchedule {
    id: String,
    profile_id: String,
    cron: String,
    #[serde(default = "utc")]
    time_zone: String,
    #[serde(default)]
    selectors: SelectorRequest,
    #[serde(default)]
    options: RunOptions,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    missed: MissedRule,
    #[serde(default = "default_grace")]
    grace_minutes: u32,
    #[serde(default)]
    overlap: OverlapRule,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn yes() -> bool {
    true
}

fn default_grace() -> u32 {
    DEFAULT_GRACE_MINUTES
}

/// The members to change.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScheduleChange {
    profile_id: Option<String>,
    cron: Option<String>,
    time_zone: Option<String>,
    selectors: Option<SelectorRequest>,
    options: Option<RunOptions>,
    enabled: Option<bool>,
    missed: Option<MissedRule>,
    grace_minutes: Option<u32>,
    overlap: Option<OverlapRule>,
}

/// The paths of schedules.
pub(crate) fn routes(gateway: &Gateway) -> BoxedFilter<(Response,)> {
    let all = || path(&["api", "export", "schedules"]).and(warp::path::end());
    let one = || item("schedules", "");
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
    list.or(create).unify().or(show).unify().or(update).unify().or(delete).unify().boxed()
}

async fn list(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let Session { tenant, .. } = session(gateway, &request, Scope::Read).await?;
    request.query(&[])?;
    let schedules: Vec<ScheduleView> = gateway.schedules.schedules(&tenant).await?.into_iter().map(view).collect();
    Ok(json_response(StatusCode::OK, &ScheduleList { schedules }))
}

async fn show(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    request.query(&[])?;
    Ok(json_response(StatusCode::OK, &view(find(gateway, &session, id).await?)))
}

async fn create(gateway: &Gateway, mut request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    let dry = is_dry(&request)?;
    let body = request.json_bytes(gateway.limits.body_bytes).await?;
    let asked = Asked { operation: "createSchedule", target: if dry { "dry" } else { "" }, body: &body };
    once(gateway, &session, &request, asked, Repeated::Same, make(gateway, &session, &body, dry)).await
}

async fn make(gateway: &Gateway, session: &Session, body: &[u8], dry: bool) -> Result<Response, Problem> {
    let Session { tenant, caller } = session.clone();
    let wanted: NewSchedule = parse_json(body)?;
    let now = now();
    let schedule = Schedule {
        v: Version,
        id: wanted.id.parse().map_err(|error: export_contract::ids::ParseIdError| invalid("id", error.to_string()))?,
        tenant,
        profile_id: profile_id(&wanted.profile_id)?,
        cron: wanted.cron,
        time_zone: wanted.time_zone,
        selectors: wanted.selectors,
        options: wanted.options,
        enabled: wanted.enabled,
        missed: wanted.missed,
        grace_minutes: wanted.grace_minutes,
        overlap: wanted.overlap,
        created_by: caller.subject.clone(),
        created_at: now,
        updated_by: caller.subject,
        updated_at: now,
        revision: 1,
        next_due: None,
        claimed: None,
        last: None,
        last_run: None,
    };
    let schedule = checked(gateway, schedule, now).await?;
    if let Some(known) = gateway.schedules.schedule(&schedule.tenant, &schedule.id).await? {
        return existing(&schedule, known);
    }
    if gateway.schedules.schedules(&schedule.tenant).await?.len() >= MAX_SCHEDULES {
        let problem = format!("the tenant has {MAX_SCHEDULES} schedules, which is the most there may be; delete one");
        return Err(Problem::new(ErrorCode::Quota, problem));
    }
    if dry {
        return Ok(json_response(StatusCode::OK, &view(schedule)));
    }
    match gateway.schedules.create_schedule(&schedule).await? {
        Some(written) => {
            tracing::info!(event = %LogEvent::ScheduleMade, tenant = %written.tenant, schedule = %written.id, cron = written.cron, "schedule made");
            let path = format!("/api/export/schedules/{}", written.id);
            Ok(created(&path, &view(written)))
        }
        None => Err(changed(schedule.id.as_str())),
    }
}

/// The answer where the id is taken: a create may be repeated.
fn existing(wanted: &Schedule, known: Schedule) -> Result<Response, Problem> {
    let same = known.profile_id == wanted.profile_id
        && known.cron == wanted.cron
        && known.time_zone == wanted.time_zone
        && known.selectors == wanted.selectors
        && known.options == wanted.options
        && known.enabled == wanted.enabled
        && known.missed == wanted.missed
        && known.grace_minutes == wanted.grace_minutes
        && known.overlap == wanted.overlap;
    if same {
        return Ok(json_response(StatusCode::OK, &view(known)));
    }
    let problem = format!("schedule `{}` exists with another content; PATCH it or choose another id", known.id);
    Err(Problem::new(ErrorCode::ScheduleExists, problem))
}

async fn update(gateway: &Gateway, id: &str, mut request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    let dry = is_dry(&request)?;
    let change: ScheduleChange = request.json(gateway.limits.body_bytes).await?;
    let current = find(gateway, &session, id).await?;
    let now = now();
    let ScheduleChange {
        profile_id: profile,
        cron,
        time_zone,
        selectors,
        options,
        enabled,
        missed,
        grace_minutes,
        overlap,
    } = change;
    let wanted = Schedule {
        profile_id: profile.as_deref().map(profile_id).transpose()?.unwrap_or_else(|| current.profile_id.clone()),
        cron: cron.unwrap_or_else(|| current.cron.clone()),
        time_zone: time_zone.unwrap_or_else(|| current.time_zone.clone()),
        selectors: selectors.unwrap_or_else(|| current.selectors.clone()),
        options: options.unwrap_or_else(|| current.options.clone()),
        enabled: enabled.unwrap_or(current.enabled),
        missed: missed.unwrap_or(current.missed),
        grace_minutes: grace_minutes.unwrap_or(current.grace_minutes),
        overlap: overlap.unwrap_or(current.overlap),
        ..current.clone()
    };
    // What cannot run any more can still be stopped.
    let is_stopped = wanted == Schedule { enabled: false, ..current.clone() };
    let mut next =
        if is_stopped { Schedule { next_due: None, ..wanted } } else { checked(gateway, wanted, now).await? };
    let times_stay =
        (&next.cron, &next.time_zone, next.enabled) == (&current.cron, &current.time_zone, current.enabled);
    if times_stay {
        // A due time that is waiting to be met is not lost over a change of something else.
        next.next_due = current.next_due;
    } else {
        next.claimed = None;
    }
    if next == current {
        return Ok(json_response(StatusCode::OK, &view(current)));
    }
    next.updated_by = session.caller.subject;
    next.updated_at = now;
    next.revision = current.revision.saturating_add(1);
    if !dry && !gateway.schedules.update_schedule(&next).await? {
        return Err(changed(id));
    }
    Ok(json_response(StatusCode::OK, &view(next)))
}

async fn delete(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session_with(gateway, &request, &TO_CHANGE).await?;
    request.query(&[])?;
    let parsed: ScheduleId = id.parse().map_err(|_| not_found(&session, id))?;
    if !gateway.schedules.delete_schedule(&session.tenant, &parsed).await? {
        return Err(not_found(&session, id));
    }
    tracing::info!(event = %LogEvent::ScheduleDeleted, tenant = %session.tenant, schedule = id, "schedule deleted");
    let mut response = Response::new(bytes::Bytes::new().into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Judges a schedule as a whole, as if it were due now, and sets its next due time.
async fn checked(gateway: &Gateway, schedule: Schedule, now: Timestamp) -> Result<Schedule, Problem> {
    let times =
        Times::new(&schedule.cron, &schedule.time_zone).map_err(|error| invalid(error.path(), error.to_string()))?;
    if !(1..=MAX_GRACE_MINUTES).contains(&schedule.grace_minutes) {
        return Err(invalid("graceMinutes", format!("use 1 to {MAX_GRACE_MINUTES} (a week)")));
    }
    let Some(next) = times.next(now) else {
        return Err(invalid("cron", format!("`{}` names no time to come", schedule.cron)));
    };
    let wanted = RunWanted {
        tenant: &schedule.tenant,
        profile: schedule.profile_id.as_str(),
        selectors: &schedule.selectors,
        options: &schedule.options,
        until: now,
        approved: None,
    };
    submit::prepare(&*gateway.runs, &gateway.supported, wanted).await?;
    Ok(Schedule { next_due: Some(next).filter(|_| schedule.enabled), ..schedule })
}

async fn find(gateway: &Gateway, session: &Session, id: &str) -> Result<Schedule, Problem> {
    let absent = || not_found(session, id);
    let parsed: ScheduleId = id.parse().map_err(|_| absent())?;
    gateway.schedules.schedule(&session.tenant, &parsed).await?.ok_or_else(absent)
}

fn view(schedule: Schedule) -> ScheduleView {
    let upcoming = schedule.next_due.map_or_else(Vec::new, |next| {
        // The next one may be waiting to be met; those after it follow from it.
        let later = Times::new(&schedule.cron, &schedule.time_zone)
            .map(|times| times.after(next).take(UPCOMING - 1).collect::<Vec<_>>());
        std::iter::once(next).chain(later.unwrap_or_default()).collect()
    });
    ScheduleView { schedule, upcoming }
}

/// Whether the request only asks what would be.
fn is_dry(request: &Incoming) -> Result<bool, Problem> {
    match request.query(&["dryRun"])?.get("dryRun").map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let problem = format!("query parameter `dryRun`: `{other}` is neither true nor false");
            Err(Problem::new(ErrorCode::InvalidRequest, problem))
        }
    }
}

fn profile_id(text: &str) -> Result<ProfileId, Problem> {
    text.parse().map_err(|error: export_contract::ids::ParseIdError| invalid("profileId", error.to_string()))
}

fn not_found(session: &Session, id: &str) -> Problem {
    Problem::new(ErrorCode::ScheduleNotFound, format!("no schedule `{id}` for tenant `{}`", session.tenant))
}

fn changed(id: &str) -> Problem {
    let problem = format!("schedule `{id}` was changed by another request; read it again and repeat");
    Problem::new(ErrorCode::ScheduleExists, problem)
}

fn invalid(path: &str, problem: String) -> Problem {
    Problem::new(ErrorCode::InvalidSchedule, "the schedule is not valid")
        .with_errors(vec![FieldError { path: path.to_owned(), problem }])
}
