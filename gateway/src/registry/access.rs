//! Who pulls: the token flow of registries, in which a client fetches a token with its id and secret where it is told to (design D21).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use export_authority::{AuthError, Binding, Caller, ClientCredentials, LocalAuthority, Scope, TokenRefused};
use export_contract::{ErrorCode, TenantId};
use http::{StatusCode, header};
use serde_json::json;
use warp::reply::Response;

use super::name::Repository;
use super::refusal::Refusal;
use crate::front;
use crate::request::Incoming;
use crate::routes::json_response;
use crate::state::{Gateway, now};
use crate::token::{Guess, puller};

/// Who pulls without credentials.
const ANYBODY: &str = "anonymous";
/// Scopes of one token that are looked at.
const MAX_SCOPES: usize = 32;

/// Checks that the caller sees a repository. One of another tenant is not there, whoever asks.
pub(super) async fn may_pull(gateway: &Gateway, request: &Incoming, repository: &Repository) -> Result<(), Refusal> {
    let caller = caller(gateway, request, Some(repository)).await?;
    front::known(request, &caller);
    if !caller.tenants.contains(&repository.tenant) {
        return Err(Refusal::name_unknown());
    }
    if !caller.scopes.contains(&Scope::Download) {
        let lacks = format!("the token lacks the scope `{}`", Scope::Download);
        return Err(Refusal::new(StatusCode::FORBIDDEN, "DENIED", lacks));
    }
    request.visit.note_caller(&caller, &repository.tenant);
    Ok(())
}

/// The caller by its token: one for pulling, or one of the API.
pub(super) async fn caller(
    gateway: &Gateway,
    request: &Incoming,
    repository: Option<&Repository>,
) -> Result<Caller, Refusal> {
    let challenge = |error: Option<&str>| challenge(gateway, request, repository, error);
    if credentials(request, "dpop").is_some() {
        return crate::authenticate::caller(gateway, request).await.map_err(|problem| match problem.code() {
            ErrorCode::Unavailable => Refusal::unavailable("the authority"),
            _ => challenge(Some("invalid_token")),
        });
    }
    let Some(token) = credentials(request, "bearer") else {
        return Err(challenge(None));
    };
    if let Some(issuer) = &gateway.issuer
        && let Ok(caller) = issuer.authenticate_pull(token).await
    {
        return Ok(caller);
    }
    let caller = gateway.authority.authenticate(token).await.map_err(|error| match error {
        AuthError::Unavailable(_) => Refusal::unavailable("the authority"),
        AuthError::Malformed(_) | AuthError::UnknownKey | AuthError::Invalid { .. } | AuthError::NoTenant => {
            challenge(Some("invalid_token"))
        }
    })?;
    // A token that is bound to a key is worth nothing without a proof (RFC 9449 section 7.2), and scanners make none.
    if caller.binding == Binding::None { Ok(caller) } else { Err(challenge(Some("invalid_token"))) }
}

/// `GET /v2/token`: a token for the tenants of the wanted scopes that the client may pull from.
pub(super) fn token(gateway: &Gateway, request: &Incoming) -> Result<Response, Refusal> {
    let issuer = gateway.issuer.as_ref().ok_or_else(|| {
        let elsewhere = "this gateway issues no tokens; bring one of the Authority that it was configured with";
        Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", elsewhere)
    })?;
    let wanted = wanted_tenants(request);
    let (subject, own) = match credentials(request, "basic") {
        Some(basic) => client(gateway, issuer, basic)?,
        None => (ANYBODY.to_owned(), Vec::new()),
    };
    let granted = |tenant: &&TenantId| own.contains(tenant) || gateway.registry.anonymous.contains(tenant);
    let mut tenants: Vec<TenantId> = wanted.iter().filter(granted).cloned().collect();
    if tenants.is_empty() {
        // A login names no scope; and whoever asks for what is another's learns nothing from its token.
        tenants = own;
    }
    if tenants.is_empty() {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "log in with a client id and its secret")
            .with_header(header::WWW_AUTHENTICATE, "Basic realm=\"export-center\""));
    }
    let issued = issuer.pull_token(&subject, &tenants).map_err(refused)?;
    Ok(json_response(
        StatusCode::OK,
        &json!({
            "token": issued.token,
            "access_token": issued.token,
            "expires_in": issued.expires_in,
            "issued_at": now().to_string(),
        }),
    ))
}

/// The client that proves itself, and its tenants.
fn client(gateway: &Gateway, issuer: &LocalAuthority, basic: &str) -> Result<(String, Vec<TenantId>), Refusal> {
    let decoded = STANDARD.decode(basic).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (id, secret) = pair.ok_or_else(|| refused(TokenRefused::InvalidClient))?;
    let client = ClientCredentials { client_id: id.to_owned(), client_secret: secret.to_owned() };
    let tenants = puller(gateway, issuer, &client).map_err(|guess| match guess {
        Guess::Refused(error) => refused(error),
        Guess::Wait(seconds) => {
            let why = format!("too many wrong secrets; try again in {seconds} s");
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", why)
                .with_header(header::RETRY_AFTER, &seconds.to_string())
        }
    })?;
    Ok((client.client_id, tenants))
}

fn refused(error: TokenRefused) -> Refusal {
    match error {
        TokenRefused::InvalidClient | TokenRefused::UnsupportedGrant => {
            Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "the client is unknown, or that is not its secret")
                .with_header(header::WWW_AUTHENTICATE, "Basic realm=\"export-center\"")
        }
        TokenRefused::InvalidScope => {
            let lacks = format!("the client lacks the scope `{}`", Scope::Download);
            Refusal::new(StatusCode::FORBIDDEN, "DENIED", lacks)
        }
        TokenRefused::ServerError => Refusal::broken("the authority cannot issue a token"),
    }
}

/// The tenants of the scopes that a request names, `repository:TENANT/NAME:pull` each; others give nothing.
fn wanted_tenants(request: &Incoming) -> Vec<TenantId> {
    let pairs = request.pairs();
    let scopes = pairs.iter().filter(|(name, _)| name == "scope").flat_map(|(_, value)| value.split_ascii_whitespace());
    let mut tenants: Vec<TenantId> = scopes
        .take(MAX_SCOPES)
        .filter_map(|scope| scope.strip_prefix("repository:")?.split_once('/')?.0.parse().ok())
        .collect();
    tenants.sort();
    tenants.dedup();
    tenants
}

/// What comes after the scheme in `Authorization`.
fn credentials<'a>(request: &'a Incoming, scheme: &str) -> Option<&'a str> {
    let (given, rest) = request.header("authorization")?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(rest.trim())
}

/// 401 with the place where tokens are to be had, and the scope to ask for.
fn challenge(gateway: &Gateway, request: &Incoming, repository: Option<&Repository>, error: Option<&str>) -> Refusal {
    let base = gateway.registry.base(request);
    let scope = repository.map(|repository| format!(",scope=\"repository:{repository}:pull\"")).unwrap_or_default();
    let error = error.map(|error| format!(",error=\"{error}\"")).unwrap_or_default();
    let value = format!("Bearer realm=\"{base}/v2/token\",service=\"export-center\"{scope}{error}");
    Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "fetch a token where WWW-Authenticate says")
        .with_header(header::WWW_AUTHENTICATE, &value)
}

/// Whether a text can stand in an address as it is.
pub(super) fn is_host(text: &str) -> bool {
    text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}
