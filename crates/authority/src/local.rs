//! A small authority of one's own: clients, a signing key, and tokens.
//!
//! It lives in one folder: `signing.p8` (ES256, PKCS #8 DER) and `clients.json` (client ids with digests of their
//! secrets). Both are readable by the owner only.

mod issued;
mod pull;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use export_contract::TenantId;
use export_signing::keeping;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::caller::{Caller, Scope};
use crate::keys::FixedKeys;
use crate::verifier::{AuthError, Authority, TokenRules, TokenVerifier};

use self::issued::Wanted;
pub use self::pull::PullToken;

/// The claim with the tenant.
const TENANT_CLAIM: &str = "tenant";
/// For the owner's eyes.
const PRIVATE: u32 = 0o600;
/// Seconds that a token is valid.
const TOKEN_SECONDS: u64 = 900;
/// Why the local authority cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum LocalAuthorityError {
    /// A file of it cannot be read or written.
    #[error("cannot {act} `{}`", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// The signing key cannot be made or read.
    #[error("the signing key `{}` cannot be used", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why, where the cause is known.
        #[source]
        cause: Option<jsonwebtoken::errors::Error>,
    },
    /// The client list cannot be read.
    #[error("the client list `{}` cannot be read", path.display())]
    Clients {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

/// A client's id and secret; printed nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCredentials {
    /// Id.
    pub client_id: String,
    /// Secret.
    pub client_secret: String,
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A token request (RFC 6749 section 4.4, client credentials).
#[derive(Clone, Deserialize)]
pub struct TokenRequest {
    /// Must be `client_credentials`.
    pub grant_type: String,
    /// Client id.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
    /// Wanted scopes, separated by blanks; absent means all that the client has.
    #[serde(default)]
    pub scope: Option<String>,
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequest").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// An issued token (RFC 6749 section 5.1).
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenResponse {
    /// The JWT.
    pub access_token: String,
    /// `DPoP`: the token is good only with proofs by the key that asked for it.
    pub token_type: String,
    /// Seconds it is valid.
    pub expires_in: u64,
    /// What it allows.
    pub scope: String,
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Why no token was issued; the codes of RFC 6749 section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Unknown client or wrong secret.
    #[error("invalid_client")]
    InvalidClient,
    /// Another grant than client credentials.
    #[error("unsupported_grant_type")]
    UnsupportedGrant,
    /// A scope that the client does not have.
    #[error("invalid_scope")]
    InvalidScope,
    /// Signing failed.
    #[error("server_error")]
    ServerError,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Client {
    secret_sha256: String,
    tenants: Vec<TenantId>,
    scopes: BTreeSet<String>,
}

/// An authority in a folder.
pub struct LocalAuthority {
    folder: PathBuf,
    issuer: String,
    audience: String,
    key: EncodingKey,
    key_id: String,
    keys: JwkSet,
    verifier: TokenVerifier,
    /// Checks the tokens that a registry takes.
    pulls: TokenVerifier,
}

impl fmt::Debug for LocalAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalAuthority")
            .field("folder", &self.folder)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl LocalAuthority {
    /// Opens the authority in `folder`, and makes folder and key on first use. Its tokens are of `issuer`, for `audience`.
    ///
    /// # Errors
    /// When the folder or key cannot be made, read or used.
    pub fn open(folder: &Path, issuer: &str, audience: &str) -> Result<Self, LocalAuthorityError> {
        keeping::make_folder(folder).map_err(|cause| file_error("create", folder, cause))?;
        let path = folder.join("signing.p8");
        let unusable = |cause| LocalAuthorityError::Key { path: path.clone(), cause };
        if !path.exists() {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| unusable(None))?;
            let document = pair.to_pkcs8v1().map_err(|_| unusable(None))?;
            // Another process may have been first: then its key stands.
            keeping::write_once(&path, document.as_ref(), PRIVATE)
                .map_err(|cause| file_error("create", &path, cause))?;
        }
        let der = fs::read(&path).map_err(|cause| file_error("read", &path, cause))?;
        let key = EncodingKey::from_ec_der(&der);
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|cause| unusable(Some(cause)))?;
        let key_id = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|cause| unusable(Some(cause)))?;
        jwk.common.key_id = Some(key_id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let keys = JwkSet { keys: vec![jwk] };
        let readable = serde_json::to_value(&keys).map(|keys| FixedKeys::of_set(&keys)).unwrap_or_default();
        if readable.is_empty() {
            return Err(unusable(None));
        }
        let readable = Arc::new(readable);
        let verifier = |audience: &str| {
            let rules = TokenRules {
                issuer: issuer.to_owned(),
                audience: audience.to_owned(),
                tenant_claim: TENANT_CLAIM.to_owned(),
            };
            TokenVerifier::new(rules, readable.clone())
        };
        Ok(Self {
            folder: folder.to_owned(),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            key,
            key_id,
            verifier: verifier(audience),
            pulls: verifier(pull::AUDIENCE),
            keys,
        })
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> &JwkSet {
        &self.keys
    }

    /// Makes a client with a fresh secret, or gives an existing one a fresh secret.
    ///
    /// # Errors
    /// When the client list cannot be read or written.
    pub fn put_client(
        &self,
        client_id: &str,
        tenants: Vec<TenantId>,
        scopes: &BTreeSet<Scope>,
    ) -> Result<ClientCredentials, LocalAuthorityError> {
        let client_secret = random_hex();
        let mut clients = self.clients()?;
        clients.insert(
            client_id.to_owned(),
            Client {
                secret_sha256: sha256_hex(&client_secret),
                tenants,
                scopes: scopes.iter().map(ToString::to_string).collect(),
            },
        );
        let path = self.clients_path();
        let text = serde_json::to_vec_pretty(&clients)
            .map_err(|cause| LocalAuthorityError::Clients { path: path.clone(), cause })?;
        // A secret that was handed out is known from then on, also after a power cut.
        keeping::replace(&path, &text, PRIVATE).map_err(|cause| file_error("replace", &path, cause))?;
        Ok(ClientCredentials { client_id: client_id.to_owned(), client_secret })
    }

    /// Issues a token to a client that proves itself, bound to the key with this thumbprint.
    ///
    /// # Errors
    /// See [`TokenRefused`].
    pub fn issue(&self, request: &TokenRequest, thumbprint: &str) -> Result<TokenResponse, TokenRefused> {
        if request.grant_type != "client_credentials" {
            return Err(TokenRefused::UnsupportedGrant);
        }
        let client = self.proven(&request.client_id, &request.client_secret)?;
        let scopes: BTreeSet<String> = match &request.scope {
            None => client.scopes.clone(),
            Some(wanted) => wanted.split_ascii_whitespace().map(str::to_owned).collect(),
        };
        if !scopes.is_subset(&client.scopes) {
            return Err(TokenRefused::InvalidScope);
        }
        let scope = scopes.into_iter().collect::<Vec<_>>().join(" ");
        let wanted = Wanted {
            audience: &self.audience,
            subject: &request.client_id,
            scope: &scope,
            tenants: &client.tenants,
            seconds: TOKEN_SECONDS,
            thumbprint: Some(thumbprint),
        };
        let access_token = self.sign(&wanted)?;
        Ok(TokenResponse { access_token, token_type: "DPoP".to_owned(), expires_in: TOKEN_SECONDS, scope })
    }

    /// The client, if that is its secret.
    fn proven(&self, client_id: &str, client_secret: &str) -> Result<Client, TokenRefused> {
        let mut clients = self.clients().map_err(|_| TokenRefused::ServerError)?;
        let client = clients.remove(client_id).ok_or(TokenRefused::InvalidClient)?;
        let given = sha256_hex(client_secret);
        verify_slices_are_equal(given.as_bytes(), client.secret_sha256.as_bytes())
            .map_err(|_| TokenRefused::InvalidClient)?;
        Ok(client)
    }

    fn clients_path(&self) -> PathBuf {
        self.folder.join("clients.json")
    }

    fn clients(&self) -> Result<BTreeMap<String, Client>, LocalAuthorityError> {
        let path = self.clients_path();
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|cause| LocalAuthorityError::Clients { path, cause }),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(cause) => Err(file_error("read", &path, cause)),
        }
    }
}

#[async_trait]
impl Authority for LocalAuthority {
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        self.verifier.authenticate(token).await
    }
}

fn random_hex() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

fn sha256_hex(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn file_error(act: &'static str, path: &Path, cause: io::Error) -> LocalAuthorityError {
    LocalAuthorityError::File { act, path: path.to_owned(), cause }
}
