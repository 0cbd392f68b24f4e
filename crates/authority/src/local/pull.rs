//! Tokens for pulling from a registry: scanners bring a client id and a secret, and no more (design D21).

use std::fmt;

use export_contract::TenantId;

use super::{LocalAuthority, TokenRefused, Wanted};
use crate::caller::{Caller, Scope};
use crate::verifier::{AuthError, Authority as _};

/// The audience of these tokens: no endpoint of the API takes one.
pub(super) const AUDIENCE: &str = "export-center-registry";
/// Seconds that one is valid; a pull that has begun goes on to its end.
const SECONDS: u64 = 300;

/// A token with which bundles are pulled; printed nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct PullToken {
    /// The JWT.
    pub token: String,
    /// Seconds it is valid.
    pub expires_in: u64,
}

impl fmt::Debug for PullToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

impl LocalAuthority {
    /// The tenants whose bundles a client may pull, if that is its secret.
    ///
    /// # Errors
    /// [`TokenRefused::InvalidClient`] when it is not, [`TokenRefused::InvalidScope`] when the client may not download.
    pub fn puller(&self, client_id: &str, client_secret: &str) -> Result<Vec<TenantId>, TokenRefused> {
        let client = self.proven(client_id, client_secret)?;
        if client.scopes.contains(Scope::Download.as_str()) {
            Ok(client.tenants)
        } else {
            Err(TokenRefused::InvalidScope)
        }
    }

    /// A token with which `subject` pulls bundles of these tenants, and does nothing else.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn pull_token(&self, subject: &str, tenants: &[TenantId]) -> Result<PullToken, TokenRefused> {
        let scope = Scope::Download.as_str();
        let wanted = Wanted { audience: AUDIENCE, subject, scope, tenants, seconds: SECONDS, thumbprint: None };
        let token = self.sign(&wanted)?;
        Ok(PullToken { token, expires_in: SECONDS })
    }

    /// Checks a token of [`Self::pull_token`].
    ///
    /// # Errors
    /// As [`crate::TokenVerifier::verify`]; a token for the API is for another audience.
    pub async fn authenticate_pull(&self, token: &str) -> Result<Caller, AuthError> {
        self.pulls.authenticate(token).await
    }
}
