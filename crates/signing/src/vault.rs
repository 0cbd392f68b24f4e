//! A key at HashiCorp Vault or OpenBao: the transit engine, over its HTTP API.
//!
//! <https://developer.hashicorp.com/vault/api-docs/secret/transit>, "Read key" and "Sign data". The private key never leaves the
//! server; it gets a digest and gives a signature, which is verified here before anyone sees it.

mod answer;
mod envelope;
mod error;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use export_canon::digesting::sha256;
use reqwest::header::HeaderValue;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, Url};
use serde_json::json;
use zeroize::Zeroizing;

pub use self::envelope::VaultEnvelope;
pub use self::error::VaultError;
use crate::bundle::to_base64;
use crate::key::PublicKey;
use crate::signer::{SignError, Signer};

/// Longest answer that is read. One with a hundred versions of a key has 30 kB.
const MAX_ANSWER: usize = 1 << 20;

/// Where the key is and how it is reached.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// Address of the server, such as `https://vault.example:8200`. Redirects are not followed, as the token would follow them.
    pub address: String,
    /// Where the transit engine is mounted, such as `transit` or `site/transit`.
    pub mount: String,
    /// Name of the key: to sign of type `ecdsa-p256`, to encrypt of an AEAD type.
    pub key: String,
    /// Which version of the key signs; absent: the latest one at the time of opening, and that one until it is opened again.
    pub version: Option<u32>,
    /// Namespace, where the server has some; else empty.
    pub namespace: String,
    /// File with the token. Read anew for each request, so that an agent may renew the token there.
    pub token_file: PathBuf,
    /// File with the certificates (PEM) that the server's must come from; absent: those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// How long a request may take, from the first byte sent to the last one read.
    pub timeout: Duration,
}

/// Signs with a key at a Vault or an OpenBao.
pub struct VaultSigner {
    server: Server,
    sign_url: Url,
    version: u32,
    public: PublicKey,
}

impl fmt::Debug for VaultSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultSigner")
            .field("key_id", &self.public.key_id())
            .field("url", &self.sign_url.as_str())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl VaultSigner {
    /// Asks the server for the public half of the key.
    ///
    /// # Errors
    /// See [`VaultError`]; [`VaultError::is_transient`] tells which are worth another try.
    pub async fn open(settings: &VaultSettings) -> Result<Self, VaultError> {
        let server = Server::new(settings)?;
        let key_url = url(settings, &["keys", &settings.key])?;
        let sign_url = url(settings, &["sign", &settings.key, "sha2-256"])?;
        let text = server.ask(Method::GET, &key_url, None).await?;
        let (version, pem) = answer::public_key(&text, settings.version)?;
        let public = PublicKey::from_pem(&pem).map_err(VaultError::Key)?;
        Ok(Self { server, sign_url, version, public })
    }

    /// The version of the key that signs.
    pub fn version(&self) -> u32 {
        self.version
    }

    async fn signature(&self, message: &[u8]) -> Result<Vec<u8>, VaultError> {
        let body = json!({
            "input": to_base64(sha256(message).as_bytes()),
            "prehashed": true,
            "marshaling_algorithm": "asn1",
            // Without it a rotation at the server would change the key under our feet.
            "key_version": self.version,
        });
        let text = self.server.ask(Method::POST, &self.sign_url, Some(&body)).await?;
        answer::signature(&text, self.version)
    }
}

#[async_trait]
impl Signer for VaultSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.signature(message).await.map_err(VaultError::judged)?;
        self.public.verify(message, &signature).map_err(SignError::Invalid)?;
        Ok(signature)
    }
}

struct Server {
    http: Client,
    namespace: Option<HeaderValue>,
    token_file: PathBuf,
}

impl Server {
    fn new(settings: &VaultSettings) -> Result<Self, VaultError> {
        let mut builder = Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false);
        if let Some(path) = &settings.ca_file {
            let text = read(path)?;
            let unusable = |cause| VaultError::Certificates { path: path.clone(), cause };
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&text).map_err(unusable)?);
        }
        let namespace = match settings.namespace.as_str() {
            "" => None,
            name => Some(HeaderValue::from_str(name).map_err(|_| VaultError::Setting { what: "namespace" })?),
        };
        Ok(Self {
            http: builder.build().map_err(VaultError::Client)?,
            namespace,
            token_file: settings.token_file.clone(),
        })
    }

    /// Sends a request and gives the text of a good answer.
    async fn ask(&self, method: Method, url: &Url, body: Option<&serde_json::Value>) -> Result<Vec<u8>, VaultError> {
        let mut request: RequestBuilder = self.http.request(method, url.clone()).header("X-Vault-Request", "true");
        request = request.header("X-Vault-Token", self.token()?);
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace.clone());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        // The address stays out of the cause: it is in the settings, and logs travel further than they do.
        let mut response = request.send().await.map_err(|cause| VaultError::Exchange(cause.without_url()))?;
        let status = response.status();
        let text = bounded(&mut response).await?;
        if status.is_success() {
            return Ok(text);
        }
        Err(VaultError::Status { status: status.as_u16(), said: answer::errors(&text) })
    }

    fn token(&self) -> Result<HeaderValue, VaultError> {
        let text = Zeroizing::new(read(&self.token_file)?);
        let mut token =
            HeaderValue::from_bytes(text.trim_ascii()).map_err(|_| VaultError::Setting { what: "token" })?;
        if token.is_empty() {
            return Err(VaultError::Setting { what: "token" });
        }
        token.set_sensitive(true);
        Ok(token)
    }
}

/// The text of an answer, as far as it is not too long.
async fn bounded(response: &mut Response) -> Result<Vec<u8>, VaultError> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|cause| VaultError::Exchange(cause.without_url()))? {
        if text.len() + chunk.len() > MAX_ANSWER {
            return Err(VaultError::TooLong(MAX_ANSWER));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

fn read(path: &Path) -> Result<Vec<u8>, VaultError> {
    fs::read(path).map_err(|cause| VaultError::File { path: path.to_owned(), cause })
}

/// `<address>/v1/<mount>/<words>`, each word escaped.
fn url(settings: &VaultSettings, words: &[&str]) -> Result<Url, VaultError> {
    let wrong = |what| VaultError::Setting { what };
    let mut url: Url = settings.address.parse().map_err(|_| wrong("address"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("address"));
    }
    let is_path_word = |word: &&str| !word.is_empty() && *word != "." && *word != "..";
    let mount: Vec<&str> = settings.mount.split('/').collect();
    if !mount.iter().all(is_path_word) {
        return Err(wrong("mount"));
    }
    if !words.iter().all(is_path_word) || settings.key.contains('/') {
        return Err(wrong("key"));
    }
    let mut path = url.path_segments_mut().map_err(|()| wrong("address"))?;
    path.pop_if_empty().push("v1").extend(mount).extend(words);
    drop(path);
    Ok(url)
}
