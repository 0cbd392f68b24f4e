//! `/api/export/profiles`.

use std::collections::BTreeMap;

use export_authority::Scope;
use export_contract::profile::{Profile, ProfileConfig, ProfileError, ProfileKind};
use export_contract::{ErrorCode, ProfileId, Version};
use export_runs::CreateOutcome;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use warp::reply::Response;

use crate::authenticate::{Session, session};
use crate::problem::{FieldError, Problem};
use crate::request::Incoming;
use crate::routes::{created, json_response};
use crate::state::{Gateway, now};

/// A profile as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileView {
    #[serde(flatten)]
    profile: Profile,
    /// Whether this deployment has an adapter for it.
    supported: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewProfile {
    id: Option<String>,
    name: String,
    kind: String,
    variant: Option<String>,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    description: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProfileChange {
    name: Option<String>,
    description: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    config: Option<Value>,
}

pub(crate) async fn list(gateway: &Gateway, request: Incoming) -> Result<Response, Problem> {
    let Session { tenant, .. } = session(gateway, &request, Scope::Read).await?;
    request.query(&[])?;
    let profiles: Vec<ProfileView> =
        gateway.runs.profiles(&tenant).await?.into_iter().map(|profile| view(gateway, profile)).collect();
    Ok(json_response(StatusCode::OK, &serde_json::json!({ "profiles": profiles })))
}

pub(crate) async fn show(gateway: &Gateway, id: &str, request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::Read).await?;
    let query = request.query(&["revision"])?;
    let revision = match query.get("revision") {
        None => None,
        Some(text) => Some(text.trim_start_matches('r').parse().map_err(|_| {
            Problem::new(ErrorCode::InvalidRequest, format!("revision `{text}` is not a number such as 2 or r2"))
        })?),
    };
    let profile = find(gateway, &session, id, revision).await?;
    Ok(json_response(StatusCode::OK, &view(gateway, profile)))
}

pub(crate) async fn create(gateway: &Gateway, mut request: Incoming) -> Result<Response, Problem> {
    let Session { tenant, caller } = session(gateway, &request, Scope::ProfileManage).await?;
    let wanted: NewProfile = request.json(gateway.limits.body_bytes).await?;
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
            Ok(created(&path, &view(gateway, profile)))
        }
        CreateOutcome::Existing(profile) => Ok(json_response(StatusCode::OK, &view(gateway, profile))),
        CreateOutcome::Conflict => Err(Problem::new(
            ErrorCode::ProfileExists,
            format!("profile `{}` exists with another content; PATCH it or choose another id", profile.id),
        )),
    }
}

pub(crate) async fn update(gateway: &Gateway, id: &str, mut request: Incoming) -> Result<Response, Problem> {
    let session = session(gateway, &request, Scope::ProfileManage).await?;
    let change: ProfileChange = request.json(gateway.limits.body_bytes).await?;
    let current = find(gateway, &session, id, None).await?;
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
    Ok(json_response(StatusCode::OK, &view(gateway, next)))
}

/// The profile of the session's tenant, by id.
pub(crate) async fn find(
    gateway: &Gateway,
    session: &Session,
    id: &str,
    revision: Option<u32>,
) -> Result<Profile, Problem> {
    let absent =
        || Problem::new(ErrorCode::ProfileNotFound, format!("no profile `{id}` for tenant `{}`", session.tenant));
    let parsed: ProfileId = id.parse().map_err(|_| absent())?;
    gateway.runs.profile(&session.tenant, &parsed, revision).await?.ok_or_else(absent)
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

/// Applies `change` to `config` as a JSON merge patch (RFC 7396) and checks the result.
fn merged(config: &ProfileConfig, change: Value, kind: ProfileKind) -> Result<ProfileConfig, Problem> {
    if change.is_null() {
        return Ok(config.clone());
    }
    let mut whole =
        serde_json::to_value(config).map_err(|_| Problem::new(ErrorCode::Internal, "the profile cannot be written"))?;
    merge(&mut whole, change);
    let config: ProfileConfig = serde_json::from_value(whole).map_err(|error| invalid("config", error.to_string()))?;
    config.check().and_then(|()| config.check_for(kind)).map_err(|faults| {
        let errors = faults.into_iter().map(|ProfileError { path, problem }| FieldError { path, problem }).collect();
        Problem::new(ErrorCode::InvalidProfile, "the profile's configuration is out of bounds").with_errors(errors)
    })?;
    Ok(config)
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(members), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    members.remove(&name);
                } else {
                    merge(members.entry(name).or_insert(Value::Null), change);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

fn slug(name: &str) -> String {
    let letters: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    letters.trim_matches('-').chars().take(64).collect()
}
