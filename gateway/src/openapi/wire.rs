//! What is answered in the words of other standards, for the document.
#![expect(dead_code, reason = "these types only describe; the answers are made elsewhere")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token request (RFC 6749 section 4.4).
#[derive(Deserialize, JsonSchema)]
pub(super) struct TokenForm {
    /// `client_credentials`.
    grant_type: String,
    client_id: String,
    client_secret: String,
    /// Scopes that are wanted, separated by blanks; without, all that the client has.
    scope: Option<String>,
}

/// A token (RFC 6749 section 5.1).
#[derive(Serialize, JsonSchema)]
pub(super) struct TokenAnswer {
    access_token: String,
    token_type: String,
    /// Seconds.
    expires_in: u64,
    scope: String,
}

/// A refusal of the authority (RFC 6749 section 5.2).
#[derive(Serialize, JsonSchema)]
pub(super) struct TokenRefusal {
    error: String,
}

/// Keys (RFC 7517).
#[derive(Serialize, JsonSchema)]
pub(super) struct KeySet {
    keys: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// A token for pulling.
#[derive(Serialize, JsonSchema)]
pub(super) struct PullToken {
    token: String,
    access_token: String,
    /// Seconds.
    expires_in: u64,
    issued_at: export_contract::Timestamp,
}

/// A refusal in the words of registries (OCI distribution specification).
#[derive(Serialize, JsonSchema)]
pub(super) struct RegistryRefusal {
    errors: Vec<RegistryError>,
}

#[derive(Serialize, JsonSchema)]
struct RegistryError {
    code: String,
    message: String,
}

/// `.well-known/vex-repository.json` of the VEX repository specification.
#[derive(Serialize, JsonSchema)]
pub(super) struct VexRepository {
    name: String,
    versions: Vec<serde_json::Map<String, serde_json::Value>>,
}

/// That the process lives.
#[derive(Serialize, JsonSchema)]
pub(super) struct Live {
    status: String,
}

/// Whether it can do its work.
#[derive(Serialize, JsonSchema)]
pub(super) struct Ready {
    /// `ready` or `unavailable`.
    status: String,
}
