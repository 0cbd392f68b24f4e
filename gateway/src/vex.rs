//! `/vex/TENANT/PROFILE`: the OpenVEX statements of a profile's newest bundle as a VEX repository, which `trivy --vex repo` reads.
//!
//! Like the registry it is a view of staging: the archive is made from the staged lines when it is asked for first, and is the same at
//! every gateway.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use export_authority::{ClientCredentials, Scope};
use export_blobs::workspace::MAX_RESULT_BYTES;
use export_blobs::{BlobError, Workspace};
use export_canon::digesting::sha256;
use export_canon::jsonl::LineReader;
use export_canon::zst::BoundedDecoder;
use export_contract::message::{BundleFile, RunAdapted};
use export_contract::run::{Phase, Run, RunStatus};
use export_contract::{Digest, ErrorCode, Generation, LogEvent, ProfileId, RunId, TenantId};
use export_openvex::{Archive, Repository, manifest};
use export_runs::RunFilter;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use warp::reply::Response;

use crate::downloads::insert;
use crate::front;
use crate::problem::Problem;
use crate::request::Incoming;
use crate::routes::json_response;
use crate::state::Gateway;
use crate::token::{Guess, puller};
use crate::visit::Who;

/// The lines of a bundle that hold VEX documents.
const LINES: &str = "data/raw/vex.jsonl.zst";
/// Most compressed bytes of them that are read.
const MAX_COMPRESSED: u64 = 256 << 20;
/// Most plain bytes of them.
const MAX_PLAIN: u64 = 4 << 30;
/// Longest line of them.
const MAX_LINE: usize = 64 << 20;
/// Most bytes of statements in one repository.
const MAX_STATEMENTS: u64 = 64 << 20;
/// Archives that are kept in memory.
const KEPT: usize = 4;
/// Newest runs of a profile that are searched for one that has lines with VEX documents.
const SEARCHED: u32 = 20;
/// Name of the archive.
const ARCHIVE: &str = "repository.tar.zst";

/// The archives that were made last, by run.
#[derive(Debug, Default)]
pub struct VexRepositories(Mutex<BTreeMap<(RunId, Generation), Arc<Archive>>>);

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    content: LineContent<'a>,
}

#[derive(Deserialize)]
struct LineContent<'a> {
    format: String,
    #[serde(borrow)]
    raw: &'a RawValue,
}

/// `.well-known/vex-repository.json`.
pub(crate) async fn describe(
    gateway: &Gateway,
    tenant: &str,
    profile: &str,
    request: Incoming,
) -> Result<Response, Problem> {
    let (tenant, profile) = permitted(gateway, tenant, profile, &request).await?;
    newest(gateway, &tenant, &profile).await?;
    let base = gateway.registry.base(&request);
    let archive = format!("{base}/vex/{tenant}/{profile}/{ARCHIVE}");
    Ok(json_response(StatusCode::OK, &manifest(&format!("{tenant}/{profile}"), &archive)))
}

/// The archive.
pub(crate) async fn archive(
    gateway: &Gateway,
    tenant: &str,
    profile: &str,
    request: Incoming,
) -> Result<Response, Problem> {
    let (tenant, profile) = permitted(gateway, tenant, profile, &request).await?;
    let (run, file) = newest(gateway, &tenant, &profile).await?;
    let key = (run.id.clone(), run.generation);
    // One at a time: each holds its statements in memory while it is made.
    let mut kept = gateway.vex.0.lock().await;
    let archive = match kept.get(&key) {
        Some(archive) => archive.clone(),
        None => {
            let made = Arc::new(make(gateway, &run, &file).await?);
            kept.insert(key, made.clone());
            if kept.len() > KEPT {
                kept.pop_first();
            }
            made
        }
    };
    drop(kept);
    let etag = format!("\"{}\"", archive.digest);
    let unchanged = request.header("if-none-match").is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag));
    let mut response = Response::new(if unchanged { Bytes::new() } else { archive.bytes.clone().into() }.into());
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        insert(&mut response, header::CONTENT_TYPE, "application/zstd");
        insert(&mut response, header::CONTENT_LENGTH, &archive.bytes.len().to_string());
    }
    insert(&mut response, header::ETAG, &etag);
    insert(&mut response, header::CACHE_CONTROL, "private, no-cache");
    Ok(response)
}

/// Who may read it is who may pull the tenant's bundles: a client with its id and secret, a token, or anybody where the tenant is open.
async fn permitted(
    gateway: &Gateway,
    tenant: &str,
    profile: &str,
    request: &Incoming,
) -> Result<(TenantId, ProfileId), Problem> {
    let absent = || Problem::new(ErrorCode::NotFound, "no such VEX repository");
    let tenant: TenantId = tenant.parse().map_err(|_| absent())?;
    let profile: ProfileId = profile.parse().map_err(|_| absent())?;
    let pulls = |actor: &str, token_id: Option<String>| {
        let who = Who { tenant: tenant.clone(), actor: actor.to_owned(), token_id };
        request.visit.note(|noted| noted.who = Some(who));
    };
    if gateway.registry.is_open(&tenant) {
        pulls("anonymous", None);
        return Ok((tenant, profile));
    }
    let refuse = || {
        let detail = "log in with a client id and its secret (HTTP Basic), or send a token";
        let problem = Problem::new(ErrorCode::Unauthenticated, detail);
        problem.with_header(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Basic realm=\"export-center\""))
    };
    let (tenants, actor, token_id) = match request.header("authorization").and_then(|value| value.split_once(' ')) {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("basic") => {
            let decoded = STANDARD.decode(secret.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let (id, secret) = decoded.as_deref().and_then(|text| text.split_once(':')).ok_or_else(refuse)?;
            let issuer = gateway.issuer.as_ref().ok_or_else(refuse)?;
            let client = ClientCredentials { client_id: id.to_owned(), client_secret: secret.to_owned() };
            let tenants = puller(gateway, issuer, &client).map_err(|guess| match guess {
                Guess::Refused(_) => refuse(),
                Guess::Wait(seconds) => {
                    Problem::new(ErrorCode::Quota, format!("too many wrong secrets; try again in {seconds} s"))
                        .with_header(header::RETRY_AFTER, seconds.into())
                }
            })?;
            (tenants, id.to_owned(), None)
        }
        Some(_) => {
            let caller = crate::authenticate::caller(gateway, request).await?;
            front::known(request, &caller);
            if !caller.scopes.contains(&Scope::Download) {
                let lacks = format!("the token lacks the scope `{}`", Scope::Download);
                return Err(Problem::new(ErrorCode::ScopeMissing, lacks));
            }
            (caller.tenants, caller.subject, Some(caller.token_id))
        }
        None => return Err(refuse()),
    };
    if !tenants.contains(&tenant) {
        return Err(absent());
    }
    pulls(&actor, token_id);
    Ok((tenant, profile))
}

/// The newest run of the profile that has VEX documents in lines, and the file with them.
async fn newest(gateway: &Gateway, tenant: &TenantId, profile: &ProfileId) -> Result<(Run, BundleFile), Problem> {
    let filter =
        RunFilter { status: Some(RunStatus::Succeeded), profile: Some(profile.clone()), before: None, limit: SEARCHED };
    for run in gateway.runs.runs(tenant, &filter).await?.runs {
        // A run that only confirmed an earlier bundle has no files; the one that made it comes later in the list.
        if run.expiry.is_some() || run.bundle.as_ref().is_none_or(|bundle| bundle.refreshes.is_some()) {
            continue;
        }
        let workspace = Workspace::new(gateway.blobs.clone(), run.reference());
        let record = match gateway.blobs.get(&workspace.result_key(Phase::Adapt, None), MAX_RESULT_BYTES).await {
            Ok(record) => record,
            Err(BlobError::NotFound(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let adapted: RunAdapted = serde_json::from_slice(&record).map_err(|error| broken(&run, &error))?;
        // What is encrypted in the bundle lies in staging in the clear, and is for the bundle's recipients alone.
        if adapted.plan.profile.config.encryption.is_some() {
            continue;
        }
        let files = adapted.target.map_or(adapted.files, |target| target.files);
        if let Some(file) = files.into_iter().find(|file| file.path == LINES) {
            return Ok((run, file));
        }
    }
    let detail =
        format!("no finished run of profile `{profile}` has VEX documents in `{LINES}` that are not encrypted");
    Err(Problem::new(ErrorCode::NotFound, detail))
}

async fn make(gateway: &Gateway, run: &Run, file: &BundleFile) -> Result<Archive, Problem> {
    let key = Workspace::artefact_key(&run.tenant, &run.id, &file.artefact.digest);
    let compressed = gateway.blobs.get(&key, MAX_COMPRESSED).await?;
    let digest = file.artefact.digest.clone();
    let as_of = run.bundle.as_ref().and_then(|bundle| bundle.as_of).unwrap_or(run.requested_at);
    let made = tokio::task::spawn_blocking(move || -> Result<Archive, Box<dyn std::error::Error + Send + Sync>> {
        if Digest::from_bytes(*sha256(&compressed).as_bytes()) != digest {
            return Err("the staged lines are not what the run wrote".into());
        }
        let plain: Box<dyn Read> = Box::new(BoundedDecoder::new(compressed.as_ref(), MAX_PLAIN)?);
        let mut lines = LineReader::new(BufReader::new(plain), MAX_LINE);
        let mut repository = Repository::new(MAX_STATEMENTS);
        while let Some(line) = lines.next_line()? {
            let line: Line<'_> = serde_json::from_slice(line.bytes)?;
            if line.content.format == "openvex" {
                repository.add(line.content.raw.get())?;
            }
        }
        Ok(repository.finish(as_of)?)
    });
    match made.await {
        Ok(Ok(archive)) => {
            tracing::info!(event = %LogEvent::VexMade, tenant = %run.tenant, run_id = %run.id, packages = archive.packages, statements = archive.statements, "VEX repository made");
            Ok(archive)
        }
        Ok(Err(error)) => Err(broken(run, &*error)),
        Err(error) => Err(broken(run, &error)),
    }
}

fn broken(run: &Run, error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(tenant = %run.tenant, run_id = %run.id, error, "VEX repository not made");
    Problem::new(ErrorCode::Internal, format!("the VEX repository of run `{}` cannot be made: {error}", run.id))
}
