//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that comes again has no effect of its own.
//!
//! Runs have their key in the run ledger, where it is written with the run (`runs.rs`). For everything else a key is reserved
//! before the request's effect and settled after it; what the store promises is in `export_runs::idempotency`.

use std::collections::BTreeMap;

use export_canon::digesting::sha256;
use export_contract::ErrorCode;
use export_runs::idempotency::{KeptAnswer, KeyState, LEASE_SECONDS, MAX_ANSWER, Reservation};
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use warp::reply::Response;

use crate::authenticate::Session;
use crate::problem::Problem;
use crate::request::Incoming;
use crate::state::{Gateway, now};

/// Longest `Idempotency-Key`.
const MAX_KEY: usize = 255;

/// What a repetition gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// The same answer.
    Same,
    /// A refusal that explains: the answer held a secret, which is not kept.
    Secret,
    /// A new answer: what is asked for leaves nothing behind, and its answer is a permission, which is not kept.
    Anew,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Of the table.
    pub(crate) operation: &'static str,
    /// What it names in path and query.
    pub(crate) target: &'a str,
    pub(crate) body: &'a [u8],
}

impl Asked<'_> {
    fn fingerprint(&self) -> String {
        let mut text = format!("{}\n{}\n", self.operation, self.target).into_bytes();
        text.extend_from_slice(self.body);
        sha256(&text).hex()
    }
}

/// The key of a request.
pub(crate) fn key(request: &Incoming) -> Result<Option<String>, Problem> {
    let mut keys = request.headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let text = key.to_str().ok().filter(|text| (1..=MAX_KEY).contains(&text.len()));
    match (text, keys.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Problem::new(
            ErrorCode::InvalidRequest,
            format!("Idempotency-Key must come once and have 1 to {MAX_KEY} characters of ASCII"),
        )),
    }
}

/// Does `work` where the request has no key, or a new one; else gives what became of the first request with the key.
pub(crate) async fn once(
    gateway: &Gateway,
    session: &Session,
    request: &Incoming,
    asked: Asked<'_>,
    repeated: Repeated,
    work: impl Future<Output = Result<Response, Problem>>,
) -> Result<Response, Problem> {
    let Some(key) = key(request)? else { return work.await };
    let id = sha256(key.as_bytes()).hex();
    let store = &gateway.idempotency;
    let reserved = match store.reserve(&session.tenant, &id, &asked.fingerprint(), now()).await? {
        Reservation::Yours(reserved) => reserved,
        Reservation::InFlight => {
            let text = format!(
                "another request with this Idempotency-Key is at work, or stopped less than {LEASE_SECONDS} s ago; repeat it then"
            );
            let wait = HeaderValue::from(u64::try_from(LEASE_SECONDS / 10).unwrap_or_default());
            return Err(Problem::new(ErrorCode::IdempotencyInFlight, text).with_header(header::RETRY_AFTER, wait));
        }
        Reservation::Mismatch => {
            return Err(Problem::new(
                ErrorCode::IdempotencyMismatch,
                "this Idempotency-Key came with another request before; use a new key for a new request",
            ));
        }
        Reservation::Done(Some(answer)) => return again(&answer),
        Reservation::Done(None) if repeated == Repeated::Anew => return work.await,
        Reservation::Done(None) => {
            return Err(Problem::new(
                ErrorCode::IdempotencyDone,
                "the request with this Idempotency-Key was done; its answer held a secret and was not kept. Where it did not arrive, \
                 delete what was made and make it anew with another key",
            ));
        }
    };
    let (state, outcome) = match work.await {
        Ok(response) => {
            let (kept, response) = kept(response, repeated).await?;
            (KeyState::Done { answer: kept }, Ok(response))
        }
        // A refusal had no effect, and may be answered by a corrected request.
        Err(problem) => (KeyState::Free, Err(problem)),
    };
    match store.settle(&reserved, state).await {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(tenant = %session.tenant, operation = asked.operation, "an idempotency key ran out under its request");
        }
        // The effect is there: the answer counts, and a repetition within the lease is told to wait.
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "an idempotency key is not settled"),
    }
    outcome
}

/// The answer with what of it is kept.
async fn kept(response: Response, repeated: Repeated) -> Result<(Option<KeptAnswer>, Response), Problem> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Problem::new(ErrorCode::Internal, "the answer broke off"))?.to_bytes();
    let mut kept = None;
    if repeated == Repeated::Same && body.len() <= MAX_ANSWER {
        let headers: BTreeMap<String, String> = parts
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let body = String::from_utf8_lossy(&body).into_owned();
        kept = Some(KeptAnswer { status: parts.status.as_u16(), headers, body });
    }
    Ok((kept, Response::from_parts(parts, body.into())))
}

fn again(answer: &KeptAnswer) -> Result<Response, Problem> {
    let mut response = Response::new(bytes::Bytes::from(answer.body.clone()).into());
    *response.status_mut() = StatusCode::from_u16(answer.status)
        .map_err(|_| Problem::new(ErrorCode::Internal, "the kept answer cannot be given"))?;
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));
    Ok(response)
}
