//! How a registry is shown who asks: the user and password themselves, or a token that its token server gives for them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderValue};
use http_auth::ChallengeRef;
use reqwest::Url;
use serde::Deserialize;

use super::session::{ANSWER, Registry, body, judged, refused, unavailable};
use super::settings::Login;
use crate::error::TargetError;

/// Longest answer of a token server that is read.
const MAX_TOKEN: u64 = 64 << 10;
const ACT: &str = "log in to the registry";

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// What to send with requests to `repository` after it was asked for by `challenges` (`WWW-Authenticate`).
pub(super) async fn grant(
    registry: &Registry,
    repository: &str,
    actions: &str,
    challenges: &[String],
) -> Result<HeaderValue, TargetError> {
    let login = login(registry).await?;
    match way(registry, &login, &format!("repository:{repository}:{actions}"), challenges)? {
        Way::Token(url) => ask(registry, &login, url).await,
        Way::Password => basic(&login),
    }
}

async fn login(registry: &Registry) -> Result<Login, TargetError> {
    let settings = &registry.settings;
    match &settings.login {
        Some(source) => source.login().await.map_err(|cause| unavailable(ACT, None, cause)),
        None => Ok(Login { user: settings.user.clone(), password: settings.password.clone() }),
    }
}

enum Way {
    Token(Url),
    Password,
}

fn way(registry: &Registry, login: &Login, scope: &str, challenges: &[String]) -> Result<Way, TargetError> {
    let nobody = login.user.is_empty();
    for challenge in challenges.iter().filter_map(|text| http_auth::parse_challenges(text).ok()).flatten() {
        if challenge.scheme.eq_ignore_ascii_case("bearer") {
            return token_url(registry, &challenge, scope).map(Way::Token);
        }
        if challenge.scheme.eq_ignore_ascii_case("basic") && !nobody {
            return Ok(Way::Password);
        }
    }
    let fix = if nobody { "; set `user` and `password_file` of it, or `secret`" } else { "" };
    Err(refused(ACT, format!("it asks for credentials in a way that is not known here{fix}")))
}

fn token_url(registry: &Registry, challenge: &ChallengeRef<'_>, scope: &str) -> Result<Url, TargetError> {
    let value = |name: &str| {
        let found = challenge.params.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let realm = value("realm").ok_or_else(|| refused(ACT, "it does not say where tokens are given"))?;
    let mut url = Url::parse(&realm).map_err(|cause| refused(ACT, cause))?;
    // A registry may leave tokens to another host, but no password goes there for everybody on the way to read.
    if url.scheme() != "https" && !(registry.settings.plain_http && url.host_str() == registry.base.host_str()) {
        return Err(refused(ACT, format!("its token server `{}` is reached without TLS", short(&realm))));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(ACT, "the address of its token server holds credentials"));
    }
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("scope", scope);
        if let Some(service) = value("service") {
            query.append_pair("service", &service);
        }
    }
    Ok(url)
}

fn short(text: &str) -> Cow<'_, str> {
    text.chars().filter(|letter| !letter.is_control()).take(100).collect::<String>().into()
}

async fn ask(registry: &Registry, login: &Login, url: Url) -> Result<HeaderValue, TargetError> {
    let mut request = registry.http.get(url).timeout(ANSWER);
    if !login.user.is_empty() {
        request = request.header(AUTHORIZATION, basic(login)?);
    }
    let answer = request.send().await.map_err(|cause| unavailable(ACT, None, cause.without_url()))?;
    if !answer.status().is_success() {
        return Err(judged(ACT, answer).await);
    }
    let text = body(ACT, answer, MAX_TOKEN).await?;
    let Answer { token, access_token } =
        serde_json::from_slice(&text).map_err(|_| refused(ACT, "its token server answers with no token"))?;
    let token = if token.is_empty() { access_token } else { token };
    if token.is_empty() {
        return Err(refused(ACT, "its token server answers with no token"));
    }
    secret(&format!("Bearer {token}"))
}

fn basic(login: &Login) -> Result<HeaderValue, TargetError> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{}:{}", login.user, login.password))))
}

fn secret(text: &str) -> Result<HeaderValue, TargetError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| refused(ACT, "the token is none"))?;
    value.set_sensitive(true);
    Ok(value)
}
