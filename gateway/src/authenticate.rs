//! Who calls, for which tenant, and whether they may.

use export_authority::{AuthError, Caller, Scope};
use export_contract::{ErrorCode, TenantId};

use crate::front;
use crate::problem::Problem;
use crate::request::Incoming;
use crate::state::Gateway;

/// A caller that may do what it asks, for one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) caller: Caller,
    pub(crate) tenant: TenantId,
}

/// Checks the token, the scope and the tenant, in this order.
pub(crate) async fn session(gateway: &Gateway, request: &Incoming, scope: Scope) -> Result<Session, Problem> {
    let caller = caller(gateway, request).await?;
    front::known(request, &caller);
    if !caller.scopes.contains(&scope) {
        return Err(Problem::new(ErrorCode::ScopeMissing, format!("the token lacks the scope `{scope}`")));
    }
    let tenant = tenant(&caller, request)?;
    let session = Session { caller, tenant };
    front::admitted(gateway, request, &session).await?;
    Ok(session)
}

/// As [`session`], for a caller who must have several scopes.
pub(crate) async fn session_with(gateway: &Gateway, request: &Incoming, scopes: &[Scope]) -> Result<Session, Problem> {
    let first = scopes.first().copied().unwrap_or(Scope::Read);
    let session = session(gateway, request, first).await?;
    match scopes.iter().find(|scope| !session.caller.scopes.contains(scope)) {
        Some(scope) => Err(Problem::new(ErrorCode::ScopeMissing, format!("the token lacks the scope `{scope}`"))),
        None => Ok(session),
    }
}

pub(crate) async fn caller(gateway: &Gateway, request: &Incoming) -> Result<Caller, Problem> {
    let refuse = |detail: String| Problem::new(ErrorCode::Unauthenticated, detail);
    let header = request
        .header("authorization")
        .ok_or_else(|| refuse("send a token: `Authorization: Bearer TOKEN`".to_owned()))?;
    let token = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| refuse("the Authorization header is not of the form `Bearer TOKEN`".to_owned()))?;
    gateway.authority.authenticate(token).await.map_err(|error| match error {
        AuthError::Unavailable(_) => Problem::new(ErrorCode::Unavailable, "the authority does not answer, try again"),
        refused => refuse(refused.to_string()),
    })
}

fn tenant(caller: &Caller, request: &Incoming) -> Result<TenantId, Problem> {
    let refuse = |detail: String| Problem::new(ErrorCode::TenantMismatch, detail);
    match request.header("x-stella-tenant") {
        Some(wanted) => caller
            .tenants
            .iter()
            .find(|tenant| tenant.as_str() == wanted)
            .cloned()
            .ok_or_else(|| refuse(format!("the token does not speak for tenant `{wanted}`"))),
        None => match caller.tenants.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(refuse("the token speaks for several tenants: name one in X-Stella-Tenant".to_owned())),
        },
    }
}
