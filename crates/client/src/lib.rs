//! A typed client of the REST API.
//!
//! Answers that are not a success become [`ClientError::Refused`] with the problem document; everything below that
//! (no connection, a cut body) is [`ClientError::Unreachable`] and worth another try. Each request, also one that is sent again, carries a
//! proof of its own that the token is ours ([`ProofKey`]).

mod audit;
mod credentials;
mod dead_letters;
mod download;
mod events;
mod problem;
mod profiles;
mod proof;
mod schedules;
mod session;
mod webhooks;

use std::sync::Arc;

use export_contract::Timestamp;
use export_contract::run::{Phase, Run, RunOptions};
use export_contract::selectors::SelectorRequest;
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Duration;

use crate::session::Session;

pub use audit::{AuditPage, Quota};
pub use credentials::{Credentials, CredentialsError};
pub use dead_letters::LetterPage;
pub use download::{DownloadError, Downloaded};
pub use events::{EventStream, RunSignal};
pub use reqwest::Method;
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

pub use problem::{FieldProblem, ProblemDocument};
pub use profiles::{ProfileView, RevisionPage};
pub use proof::{CannotProve, ProofKey};
pub use schedules::ScheduleView;
pub use webhooks::{DeliveryPage, MadeWebhook};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server does not answer or the connection broke.
    #[error("the server `{server}` cannot be reached")]
    Unreachable {
        /// Which.
        server: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// The certificates that the credentials name cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The server says no.
    #[error("{0}")]
    Refused(Box<ProblemDocument>),
    /// The authority gave no token.
    #[error("the authority refused the client's credentials: {0}")]
    LoginRefused(String),
    /// The proof of possession cannot be made.
    #[error("no proof of possession can be made")]
    Proof(#[source] CannotProve),
    /// The answer is not what the API promises.
    #[error("the server's answer to {act} cannot be read")]
    Unreadable {
        /// Which call.
        act: &'static str,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

impl ClientError {
    /// Whether another try may well help: the server was not reached, or says that it cannot answer at the moment.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(problem) => problem.status == 503,
            Self::Credentials(_) | Self::LoginRefused(_) | Self::Proof(_) | Self::Unreadable { .. } => false,
        }
    }
}

/// One page of runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPage {
    /// The runs, newest first.
    pub runs: Vec<Run>,
    /// Hand this to the next call; absent at the end.
    pub next_cursor: Option<String>,
}

/// A link that stands for a permission.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunLink {
    /// The whole address.
    #[serde(default)]
    pub url: String,
    /// The path on the gateway.
    pub path: String,
    /// Which file.
    pub file: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A run to be submitted.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRun {
    /// The profile.
    pub profile_id: String,
    /// What to export.
    pub selectors: SelectorRequest,
    /// Other choices.
    pub options: RunOptions,
    /// The signed approval that lets it read the evidence of other tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<serde_json::Value>,
}

/// The answer to [`Client::call_any`], as its body comes in.
#[derive(Debug)]
pub struct Answer(Response);

impl Answer {
    /// The next piece of the body.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn piece(&mut self) -> Result<Option<bytes::Bytes>, ClientError> {
        let server = self.0.url().origin().ascii_serialization();
        self.0.chunk().await.map_err(|cause| ClientError::Unreachable { server, cause })
    }
}

/// A client of one server, as one client id. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    session: Arc<Session>,
}

impl Client {
    /// A client with these credentials. Connects at the first call.
    ///
    /// # Errors
    /// When the HTTP machinery cannot start.
    pub fn new(credentials: Credentials) -> Result<Self, ClientError> {
        let unreachable = |cause| ClientError::Unreachable { server: credentials.server.clone(), cause };
        let mut http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_mins(1))
            .redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = credentials.ca_pem()? {
            http = http.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).map_err(unreachable)?);
        }
        let http = http.build().map_err(unreachable)?;
        let session = Arc::new(Session::new(ProofKey::generate().map_err(ClientError::Proof)?));
        Ok(Self { http, credentials: Arc::new(credentials), session })
    }

    /// Fetches a token, to see whether the credentials are good.
    ///
    /// # Errors
    /// When the authority refuses or cannot be reached.
    pub async fn login(&self) -> Result<(), ClientError> {
        self.token().await.map(|_| ())
    }

    /// Submits a run. With an idempotency key the call may be repeated.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn start_run(&self, run: &NewRun, idempotency_key: Option<&str>) -> Result<Run, ClientError> {
        let mut request = self.request(Method::POST, "/api/export/runs").json(run);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let response = self.send(request).await?;
        self.read("start a run", response).await
    }

    /// Runs of the tenant, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn runs(&self, query: &[(&str, String)]) -> Result<RunPage, ClientError> {
        let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.call("list runs", Method::GET, &format!("/api/export/runs?{}", pairs.join("&")), None::<&()>).await
    }

    /// One run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn run(&self, id: &str) -> Result<Run, ClientError> {
        self.call("show a run", Method::GET, &format!("/api/export/runs/{id}"), None::<&()>).await
    }

    /// Makes a link to a file of a finished run, for whoever has no token; gives its whole address.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn link(&self, id: &str, file: &str, seconds: u32) -> Result<RunLink, ClientError> {
        let wanted = serde_json::json!({ "file": file, "expiresInSeconds": seconds });
        let path = format!("/api/export/runs/{id}/links");
        let mut link: RunLink = self.call("make a link", Method::POST, &path, Some(&wanted)).await?;
        if link.url.is_empty() {
            link.url = format!("{}{}", self.credentials.server.trim_end_matches('/'), link.path);
        }
        Ok(link)
    }

    /// Cancels a run.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_run(&self, id: &str) -> Result<Run, ClientError> {
        self.call("cancel a run", Method::POST, &format!("/api/export/runs/{id}/cancel"), None::<&()>).await
    }

    /// Replays a run that failed or was cancelled, from a stage on; without one it goes on with the results that there are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn replay_run(&self, id: &str, from: Option<Phase>) -> Result<Run, ClientError> {
        let wanted = from.map_or_else(|| serde_json::json!({}), |from| serde_json::json!({ "from": from }));
        self.call("replay a run", Method::POST, &format!("/api/export/runs/{id}/replay"), Some(&wanted)).await
    }

    /// A small file of a run, such as `manifest` or `files/export.json.sig`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn file(&self, id: &str, name: &str) -> Result<bytes::Bytes, ClientError> {
        let request = self.request(Method::GET, &format!("/api/export/runs/{id}/{name}"));
        let response = self.send(request).await?;
        response.bytes().await.map_err(|cause| self.unreachable(cause))
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.credentials.server
    }

    async fn call<T: DeserializeOwned, B: Serialize + ?Sized>(
        &self,
        act: &'static str,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, ClientError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.send(request).await?;
        self.read(act, response).await
    }

    async fn read<T: DeserializeOwned>(&self, act: &'static str, response: Response) -> Result<T, ClientError> {
        let body = response.bytes().await.map_err(|cause| self.unreachable(cause))?;
        serde_json::from_slice(&body).map_err(|cause| ClientError::Unreadable { act, cause })
    }

    /// A request for the tenant. Token and proof come with [`Self::send`].
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, self.address(path));
        if let Some(tenant) = &self.credentials.tenant {
            request = request.header("x-stella-tenant", tenant.as_str());
        }
        request
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.credentials.server.trim_end_matches('/'))
    }

    /// Sends with token and proof, and turns an answer that is no success into its problem.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = self.exchange(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.map_err(|cause| self.unreachable(cause))?;
        Err(ClientError::Refused(Box::new(ProblemDocument::read(status.as_u16(), &body))))
    }

    /// Sends any request: `path` begins with `/`, a body is JSON unless `headers` say something else.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call_any(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, ClientError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        // Later headers stand in the place of earlier ones.
        self.send(request.headers(headers)).await.map(Answer)
    }

    pub(crate) fn unreachable(&self, cause: reqwest::Error) -> ClientError {
        ClientError::Unreachable { server: self.credentials.server.clone(), cause }
    }
}
