//! Who may do what: tokens, scopes and tenants.
//!
//! [`Authority`] is the port the gateway asks. [`TokenVerifier`] checks JWTs against a set of public keys;
//! [`LocalAuthority`] is a small issuer of exactly such tokens for `exportd all` and closed sites. There is no
//! switch that turns authentication off.

mod approvals;
mod caller;
mod links;
mod local;
mod verifier;

pub use approvals::{ApprovalRefused, Approvers, Wanted as ApprovalWanted};
pub use caller::{Caller, Scope, UnknownScope};
pub use links::{Link, LinkKey, LinkKeyError, LinkRefused, MAX_LINK_SECONDS};
pub use local::{
    ClientCredentials, LocalAuthority, LocalAuthorityError, PullToken, TokenRefused, TokenRequest, TokenResponse,
};
pub use verifier::{AuthError, Authority, TokenVerifier};
