//! Who may do what: tokens, scopes and tenants.
//!
//! [`Authority`] is the port the gateway asks. [`TokenVerifier`] checks JWTs against the keys of a [`KeySource`]: fixed ones, or those of
//! an authority elsewhere. [`ProofChecker`] checks that whoever sends a token holds the key that it was issued to (RFC 9449).
//! [`LocalAuthority`] is a small issuer of exactly such tokens for `exportd all` and closed sites. There is no switch that turns
//! authentication off. [`SystemTokens`] are those with which the system itself goes to others,
//! and [`SystemSecrets`] what the authority keeps for it.

mod approvals;
mod caller;
mod dpop;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod jwk;
mod jws;
mod keys;
mod links;
mod local;
mod nonce;
mod register;
mod renewed;
mod secrets;
#[cfg(feature = "testing")]
pub mod suite;
mod system;
mod verifier;

pub use approvals::{ApprovalRefused, Approvers, Wanted as ApprovalWanted};
pub use caller::{Binding, Caller, Scope, UnknownScope};
pub use dpop::{
    PROOF_AHEAD_SECONDS, PROOF_ALGORITHMS, PROOF_SECONDS, Proof, ProofChecker, ProofRefused, Proven, normalised,
};
pub use jwk::{JwkFault, VerifyingKey};
pub use keys::{FixedKeys, KeySource, KeyTiming, KeysUnavailable, RemoteKeys, RemoteKeysError};
pub use links::{Link, LinkKey, LinkKeyError, LinkRefused, MAX_LINK_SECONDS};
pub use local::{
    ClientCredentials, LocalAuthority, LocalAuthorityError, PullToken, TokenRefused, TokenRequest, TokenResponse,
};
pub use nonce::NonceKey;
pub use register::{MemoryRegister, ProofRegister, RegisterUnavailable, Sighting};
pub use secrets::{Secret, SecretError, SystemSecrets, is_name as is_secret_name};
pub use system::{SystemClient, SystemTokenError, SystemTokens};
pub use verifier::{AuthError, Authority, TokenRules, TokenVerifier};
