//! Proofs of possession (RFC 9449): whoever sends a token shows that it holds the key that the token was issued to.
//!
//! [`Proof::read`] does what one request can tell by itself; [`ProofChecker`] adds what needs memory: the nonces of this deployment, and
//! the register in which every proof is seen once.

mod uri;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use export_contract::Timestamp;
use serde::Deserialize;
use serde_json::Number;

use crate::jwk::{JwkFault, VerifyingKey};
use crate::jws::{Jws, seconds};
use crate::nonce::NonceKey;
use crate::register::{ProofRegister, RegisterUnavailable, Sighting};

pub use self::uri::normalised;

/// Longest proof that is looked at: an RSA key of 8192 bits and its signature fit.
const MAX_PROOF_BYTES: usize = 8 << 10;
/// Seconds that a proof is good for.
pub const PROOF_SECONDS: i64 = 60;
/// Seconds that the clock of whoever makes proofs may be ahead.
pub const PROOF_AHEAD_SECONDS: i64 = 5;
/// Seconds that the clocks of two gateways may differ: for so long a proof is remembered after it is too old.
const REMEMBERED: i64 = 10;
/// Longest `jti`, bytes.
const MAX_ID: usize = 128;
/// The algorithms, as `WWW-Authenticate` names them.
pub const PROOF_ALGORITHMS: &str = "ES256 EdDSA RS256";

/// Why a proof was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProofRefused {
    /// There is none.
    #[error("send a proof in the header `DPoP` (RFC 9449)")]
    Missing,
    /// There are several.
    #[error("send one proof, in one header `DPoP`")]
    Several,
    /// It is no proof.
    #[error("the proof is not valid: {0}")]
    Malformed(&'static str),
    /// Its key cannot be used.
    #[error("the `jwk` of the proof is not valid: {0}")]
    Key(JwkFault),
    /// Signature.
    #[error("the signature of the proof does not verify with its `jwk`")]
    Signature,
    /// `htm`.
    #[error("the proof is for another method: `htm` must be `{0}`")]
    Method(String),
    /// `htu`.
    #[error("the proof is for another address: `htu` must be `{0}`")]
    Address(String),
    /// `iat`.
    #[error(
        "`iat` of the proof is more than {PROOF_SECONDS} s ago or more than {PROOF_AHEAD_SECONDS} s ahead; make a proof for each request, and look at the clock"
    )]
    Time,
    /// `ath`.
    #[error("the proof is for another token: `ath` must be the SHA-256 of the one that is sent")]
    Token,
    /// The key is not the one that the token is bound to.
    #[error("the token was issued to another key than the one that made the proof")]
    Binding,
    /// `nonce` is missing, is not ours or is over.
    #[error("the proof needs the nonce of the header `DPoP-Nonce`")]
    Nonce,
    /// It was seen before.
    #[error("the proof was used before; make one for each request")]
    Replayed,
    /// Whether it was seen before cannot be told.
    #[error("whether the proof was used before cannot be told at the moment")]
    Unavailable(#[source] RegisterUnavailable),
}

/// What a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Proven<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The address that clients see, as they see it; query and fragment count for nothing.
    pub address: &'a str,
    /// The token that comes with it; none at the token endpoint.
    pub token: Option<&'a str>,
    /// The thumbprint of the key that the token is bound to.
    pub bound_to: Option<&'a str>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: Number,
    #[serde(default)]
    ath: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
}

/// A proof that belongs to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of its key (RFC 7638).
    pub thumbprint: String,
    id: String,
    issued_at: i64,
    nonce: Option<String>,
}

impl Proof {
    /// Checks what one request tells by itself: RFC 9449 section 4.3 but for nonce and replay.
    ///
    /// # Errors
    /// See [`ProofRefused`].
    pub fn read(text: &str, proven: &Proven<'_>, now: Timestamp) -> Result<Self, ProofRefused> {
        let malformed = |fault| ProofRefused::Malformed(fault);
        let jws = Jws::read(text, MAX_PROOF_BYTES).map_err(malformed)?;
        if jws.typ.as_deref() != Some("dpop+jwt") {
            return Err(malformed("its `typ` is not `dpop+jwt`"));
        }
        let jwk = jws.jwk.as_ref().ok_or(malformed("its header has no `jwk`"))?;
        let key = VerifyingKey::from_jwk(jwk).map_err(ProofRefused::Key)?;
        if !key.has_signed(&jws) {
            return Err(ProofRefused::Signature);
        }
        let claims: Claims =
            serde_json::from_slice(&jws.payload).map_err(|_| malformed("its claims cannot be read"))?;
        if !(1..=MAX_ID).contains(&claims.jti.len()) {
            return Err(malformed("its `jti` must have 1 to 128 characters"));
        }
        // Methods are case-sensitive (RFC 9110 section 9.1).
        if claims.htm != proven.method {
            return Err(ProofRefused::Method(proven.method.to_owned()));
        }
        let address = normalised(proven.address).ok_or(malformed("the request's address cannot be normalised"))?;
        if normalised(&claims.htu).as_ref() != Some(&address) {
            return Err(ProofRefused::Address(address));
        }
        let issued_at = seconds(&claims.iat).ok_or(ProofRefused::Time)?;
        let now = now.as_seconds();
        if issued_at < now.saturating_sub(PROOF_SECONDS) || issued_at > now.saturating_add(PROOF_AHEAD_SECONDS) {
            return Err(ProofRefused::Time);
        }
        if let Some(token) = proven.token {
            let expected = URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()));
            let given = claims.ath.unwrap_or_default();
            verify_slices_are_equal(expected.as_bytes(), given.as_bytes()).map_err(|_| ProofRefused::Token)?;
        }
        let thumbprint = key.thumbprint().to_owned();
        if let Some(bound_to) = proven.bound_to {
            verify_slices_are_equal(thumbprint.as_bytes(), bound_to.as_bytes()).map_err(|_| ProofRefused::Binding)?;
        }
        Ok(Self { thumbprint, id: claims.jti, issued_at, nonce: claims.nonce })
    }

    /// What the register keeps of it.
    fn sighting(&self, now: i64) -> Sighting {
        let name = format!("{}\n{}", self.thumbprint, self.id);
        let mut proof = [0; 32];
        proof.copy_from_slice(digest(&SHA256, name.as_bytes()).as_ref());
        let until = self.issued_at.saturating_add(PROOF_SECONDS + REMEMBERED);
        Sighting { proof, issued_at: self.issued_at, now, until }
    }
}

/// Checks proofs whole.
#[derive(Clone)]
pub struct ProofChecker {
    nonces: NonceKey,
    needs_nonce: bool,
    register: Arc<dyn ProofRegister>,
}

impl fmt::Debug for ProofChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofChecker")
            .field("needs_nonce", &self.needs_nonce)
            .field("register", &self.register)
            .finish_non_exhaustive()
    }
}

impl ProofChecker {
    /// Checks proofs with a register that all gateways share; `needs_nonce`: a proof without one of our nonces is refused.
    pub fn new(nonces: NonceKey, needs_nonce: bool, register: Arc<dyn ProofRegister>) -> Self {
        Self { nonces, needs_nonce, register }
    }

    /// The nonce to hand out at `now`, where proofs need one.
    pub fn nonce_to_offer(&self, now: Timestamp) -> Option<String> {
        self.needs_nonce.then(|| self.nonces.nonce(now))
    }

    /// The nonce at `now`, for whoever came with a wrong one.
    pub fn nonce(&self, now: Timestamp) -> String {
        self.nonces.nonce(now)
    }

    /// Checks the proofs of a request, of which there must be one; gives the thumbprint of its key. From now on the proof is used.
    ///
    /// # Errors
    /// See [`ProofRefused`].
    pub async fn check(&self, proofs: &[&str], proven: &Proven<'_>, now: Timestamp) -> Result<String, ProofRefused> {
        let text = match proofs {
            [] => return Err(ProofRefused::Missing),
            [one] => one,
            _ => return Err(ProofRefused::Several),
        };
        let proof = Proof::read(text, proven, now)?;
        match &proof.nonce {
            Some(nonce) if !self.nonces.is_ours(nonce, now) => return Err(ProofRefused::Nonce),
            None if self.needs_nonce => return Err(ProofRefused::Nonce),
            _ => {}
        }
        // Last, so that only proofs that are good in all else take a place.
        match self.register.first_seen(&proof.sighting(now.as_seconds())).await {
            Ok(true) => Ok(proof.thumbprint),
            Ok(false) => Err(ProofRefused::Replayed),
            Err(error) => Err(ProofRefused::Unavailable(error)),
        }
    }
}
