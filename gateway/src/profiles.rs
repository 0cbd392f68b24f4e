//! `/api/export/profiles`.

pub(crate) mod config;
mod patch;

use std::collections::BTreeMap;

use export_authority::Scope;
use export_canon::digesting::sha256;
use export_contract::profile::{Profile, ProfileKind};
use export_contract::{ErrorCode, LogEvent, ProfileId, Version};
use export_runs::{CreateOutcome, DeleteOutcome};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use warp::reply::Response;

use self::config::merged;
use self::patch::ConfigPatch;
use crate::authenticate::{Session, session};
use crate::idempotency::{Asked, Repeated, once};
use crate::problem::{FieldError, Problem};
use crate::request::{Incoming, bad_parameter, parse_json};
use crate::routes::{json_response, located};
use crate::runs::next_page;
use crate::state::{Gateway, now};

/// A profile as the API shows it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProfileView {
    #[serde(flatten)]
    profile: Profile,
    /// Whether this deployment has an adapter for it.
    supported: bool,
}

/// One page of profiles.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProfilePage {
    profiles: Vec<ProfileView>,
    /// Begins the next page; absent at the end.
    next_cursor: Option<String>,
}

/// One page of revisions of a profile.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevisionPage {
    /// Newest first.
    revisions: Vec<ProfileView>,
    /// Begins the next page; absent at the end.
    next_cursor: Option<String>,
}

/// A profile that somebody wants.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewProfile {
    /// Made of the name where it is left out.
    id: Option<String>,
    /// For people.
    #[schemars(length(min = 1, max = 128))]
    name: String,
    /// `json:raw` and so on; or `json`, with `variant`.
    kind: String,
    /// `raw` and so on, where `kind` leaves it out.
    variant: Option<String>,
    #[serde(default)]
    #[schemars(with = "Option<ConfigPatch>")]
    config: Value,
    #[serde(default)]
    description: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The members to change.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProfileChange {
    #[schemars(length(min = 1, max = 128))]
    name: Option<String>,
    description: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    #[schemars(with = "Option<ConfigPatch>")]
    config: Option<Value>,
}

pub(crate) async fn list(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let Session { tenant, .. } = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["cursor", "limit"])?;
    let limit = Incoming::page_limit(&query)?;
    let after = query.get("cursor").map(String::as_str).unwrap_or_default();
    let mut profiles = gateway.runs.profiles(&tenant).await?;
    profiles.retain(|profile| profile.id.as_str() > after);
    let more = profiles.len() > limit as usize;
    profiles.truncate(limit as usize);
    let next_cursor = profiles.last().filter(|_| more).map(|profile| profile.id.to_string());
    let profiles = profiles.into_iter().map(|profile| view(gateway, profile)).collect();
    let page = ProfilePage { profiles, next_cursor };
    Ok(paged(&page, page.next_cursor.as_deref(), "/api/export/profiles", limit))
}

/// Revisions of a profile, newest first.
pub(crate) async fn revisions(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["cursor", "limit"])?;
    let limit = Incoming::page_limit(&query)?;
    let before = query.get("cursor").map(|text| revision_number("cursor", text)).transpose()?;
    let profile = find(gateway, &session, id, None).await?;
    let mut found = gateway.runs.profile_revisions(&session.tenant, &profile.id, before, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|profile| profile.revision.to_string());
    let revisions = found.into_iter().map(|profile| view(gateway, profile)).collect();
    let page = RevisionPage { revisions, next_cursor };
    let path = format!("/api/export/profiles/{}/revisions", profile.id);
    Ok(paged(&page, page.next_cursor.as_deref(), &path, limit))
}

fn paged(page: &impl Serialize, next: Option<&str>, path: &str, limit: u32) -> Response {
    let mut response = json_response(StatusCode::OK, page);
    if let Some(next) = next {
        next_page(&mut response, &format!("{path}?cursor={next}&limit={limit}"));
    }
    response
}

fn revision_number(parameter: &str, text: &str) -> Result<u32, Problem> {
    let number = text.strip_prefix('r').unwrap_or(text).parse();
    number.map_err(|_| bad_parameter(parameter, format!("`{text}` is not a number such as 2 or r2")))
}

pub(crate) async fn show(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["revision"])?;
    let revision = query.get("revision").map(|text| revision_number("revision", text)).transpose()?;
    let profile = find(gateway, &session, id, revision).await?;
    Ok(shown(StatusCode::OK, gateway, profile))
}

pub(crate) async fn create(gateway: &Gateway, mut request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::ProfileManage).await?;
    request.query(&[])?;
    let body = request.json_bytes(gateway.limits.body_bytes).await?;
    let asked = Asked { operation: "createProfile", target: "", body: &body };
    once(gateway, &session, &request, asked, Repeated::Same, make(gateway, &session, &body)).await
}

async fn make(gateway: &Gateway, session: &Session, body: &[u8]) -> Result<Response, Problem> {
    let Session { tenant, caller } = session.clone();
    let wanted: NewProfile = parse_json(body)?;
    let kind = parse_kind(&wanted.kind, wanted.variant.as_deref())?;
    check_name(&wanted.name)?;
    let id = wanted.id.clone().unwrap_or_else(|| slug(&wanted.name));
    let built_in = Profile::built_in(tenant.clone(), kind, now());
    let profile = Profile {
        v: Version,
        id: parse_id(&id)?,
        tenant,
        name: wanted.name,
        kind,
        revision: 1,
        config: merged(&built_in.config, wanted.config, kind)?,
        description: wanted.description,
        labels: wanted.labels,
        created_by: caller.subject,
        created_at: now(),
    };
    match gateway.runs.create_profile(&profile).await? {
        CreateOutcome::Created(profile) => {
            let path = format!("/api/export/profiles/{}", profile.id);
            Ok(located(&path, shown(StatusCode::CREATED, gateway, profile)))
        }
        CreateOutcome::Existing(profile) => Ok(shown(StatusCode::OK, gateway, profile)),
        CreateOutcome::Conflict => Err(Problem::new(
            ErrorCode::ProfileExists,
            format!(
                "profile `{}` exists with another content, or was deleted; PATCH it or choose another id",
                profile.id
            ),
        )),
    }
}

pub(crate) async fn update(gateway: &Gateway, id: &str, mut request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::ProfileManage).await?;
    request.query(&[])?;
    let change: ProfileChange = request.json(gateway.limits.body_bytes).await?;
    let current = find(gateway, &session, id, None).await?;
    check_match(&request, &current)?;
    let mut next = current.clone();
    if let Some(name) = change.name {
        check_name(&name)?;
        next.name = name;
    }
    if let Some(description) = change.description {
        next.description = description;
    }
    if let Some(labels) = change.labels {
        next.labels = labels;
    }
    if let Some(config) = change.config {
        next.config = merged(&current.config, config, current.kind)?;
    }
    if next.config != current.config {
        next.revision = current.revision + 1;
        next.created_by = session.caller.subject;
        next.created_at = now();
    }
    if next != current && !gateway.runs.update_profile(&next, current.revision).await? {
        return Err(Problem::new(
            ErrorCode::ProfileExists,
            format!("profile `{id}` was changed by another request; read it again and repeat"),
        ));
    }
    Ok(shown(StatusCode::OK, gateway, next))
}

/// Deletes a profile of the tenant's own, unless a schedule makes runs of it.
pub(crate) async fn delete(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::ProfileManage).await?;
    request.query(&[])?;
    let profile = find(gateway, &session, id, None).await?;
    check_match(&request, &profile)?;
    let schedules = gateway.schedules.schedules(&session.tenant).await?;
    let users: Vec<&str> = schedules
        .iter()
        .filter(|schedule| schedule.profile_id == profile.id)
        .map(|schedule| schedule.id.as_str())
        .collect();
    if !users.is_empty() {
        let text = format!("schedules make runs of profile `{id}`: {}; delete or change them first", users.join(", "));
        return Err(Problem::new(ErrorCode::ProfileInUse, text));
    }
    match gateway.runs.delete_profile(&session.tenant, &profile.id, &session.caller.subject, now()).await? {
        DeleteOutcome::Deleted => {
            tracing::info!(event = %LogEvent::ProfileDeleted, tenant = %session.tenant, profile = %profile.id, "profile deleted");
            let mut response = Response::new(bytes::Bytes::new().into());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        DeleteOutcome::BuiltIn => {
            let text = format!("profile `{id}` is one of the six that every tenant has, and cannot be deleted");
            Err(Problem::new(ErrorCode::ProfileInUse, text))
        }
        DeleteOutcome::NotFound => Err(absent(&session, id)),
    }
}

/// Names a state of a profile.
fn etag(profile: &Profile) -> String {
    let state = serde_json::to_vec(profile).unwrap_or_default();
    let digest: String = sha256(&state).hex().chars().take(32).collect();
    format!("\"r{}-{digest}\"", profile.revision)
}

/// `If-Match` (RFC 9110 section 13.1.1).
fn check_match(request: &Incoming, profile: &Profile) -> Result<(), Problem> {
    let current = etag(profile);
    let mut wanted = request.headers.get_all(header::IF_MATCH).iter().peekable();
    let matches = |value: &HeaderValue| {
        value.to_str().is_ok_and(|tags| tags.split(',').map(str::trim).any(|tag| tag == "*" || tag == current))
    };
    if wanted.peek().is_none() || wanted.any(matches) {
        return Ok(());
    }
    let text = format!(
        "profile `{}` is in revision {}, as {current}, not what If-Match names; read it again",
        profile.id, profile.revision
    );
    Err(Problem::new(ErrorCode::PreconditionFailed, text))
}

fn shown(status: StatusCode, gateway: &Gateway, profile: Profile) -> Response {
    let tag = HeaderValue::from_str(&etag(&profile));
    let mut response = json_response(status, &view(gateway, profile));
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn absent(session: &Session, id: &str) -> Problem {
    Problem::new(ErrorCode::ProfileNotFound, format!("no profile `{id}` for tenant `{}`", session.tenant))
}

/// The profile of the session's tenant, by id.
pub(crate) async fn find(
    gateway: &Gateway,
    session: &Session,
    id: &str,
    revision: Option<u32>,
) -> Result<Profile, Problem> {
    let parsed: ProfileId = id.parse().map_err(|_| absent(session, id))?;
    gateway.runs.profile(&session.tenant, &parsed, revision).await?.ok_or_else(|| absent(session, id))
}

fn view(gateway: &Gateway, profile: Profile) -> ProfileView {
    let supported = gateway.supported.contains(&profile.kind);
    ProfileView { profile, supported }
}

fn invalid(path: &str, problem: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::InvalidProfile, "the profile is not valid")
        .with_errors(vec![FieldError { path: path.to_owned(), problem: problem.into() }])
}

fn parse_id(id: &str) -> Result<ProfileId, Problem> {
    id.parse().map_err(|error| invalid("id", format!("{error}")))
}

fn check_name(name: &str) -> Result<(), Problem> {
    let length = name.chars().count();
    if (1..=128).contains(&length) { Ok(()) } else { Err(invalid("name", "use 1 to 128 characters")) }
}

/// Takes `json:raw` in one word, or kind and variant in two.
fn parse_kind(kind: &str, variant: Option<&str>) -> Result<ProfileKind, Problem> {
    let word = variant.map_or_else(|| kind.to_owned(), |variant| format!("{kind}:{variant}"));
    ProfileKind::ALL.into_iter().find(|known| known.as_str() == word).ok_or_else(|| {
        let known: Vec<&str> = ProfileKind::ALL.iter().map(|kind| kind.as_str()).collect();
        invalid("kind", format!("`{word}` is unknown; known are {}", known.join(", ")))
    })
}

fn slug(name: &str) -> String {
    let letters: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    letters.trim_matches('-').chars().take(64).collect()
}
