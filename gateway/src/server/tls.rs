//! TLS of the listener: certificate and key from PEM files, read again when they are replaced.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use export_contract::LogEvent;
use http::{HeaderValue, Response, header};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Why a certificate cannot be served. The key itself is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or holds no such PEM section.
    #[error("cannot read {what} from `{}`", path.display())]
    File {
        /// What was wanted of it.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: rustls::pki_types::pem::Error,
    },
    /// The file has no certificate.
    #[error("`{}` has no certificate", .0.display())]
    Empty(PathBuf),
    /// Key and certificate do not belong together, or are of a kind that TLS does not take.
    #[error("certificate `{}` and key `{}` cannot be used together", certificate.display(), key.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why not.
        #[source]
        cause: rustls::Error,
    },
}

/// Certificate chain and key of a listener.
#[derive(Clone, Debug)]
pub struct Certificates {
    served: Arc<Served>,
}

struct Served {
    certificate: PathBuf,
    key: PathBuf,
    pair: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("certificate", &self.certificate).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the chain (PEM, the server's own certificate first) and its key (PEM: PKCS #8, SEC 1 or PKCS #1, not encrypted).
    ///
    /// # Errors
    /// When they cannot be read or do not belong together.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let pair = RwLock::new(load(certificate, key)?);
        Ok(Self { served: Arc::new(Served { certificate: certificate.to_owned(), key: key.to_owned(), pair }) })
    }

    /// Reads the files again whenever one of them was replaced, until `stop`. A pair that cannot be used changes nothing, and is told.
    pub async fn follow(self, stop: CancellationToken) {
        let mut seen = self.served.written();
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_some() {
            let now = self.served.written();
            if now == seen {
                continue;
            }
            match load(&self.served.certificate, &self.served.key) {
                Ok(pair) => {
                    *self.served.pair.write().unwrap_or_else(PoisonError::into_inner) = pair;
                    seen = now;
                    tracing::info!(event = %LogEvent::CertificateRenewed, "new certificate is served");
                }
                // Whoever replaces two files is between them for a moment: it is tried again.
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "new certificate is not usable"),
            }
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(self.served.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Served {
    fn written(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok())
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let unreadable = |what, path: &Path| {
        let path = path.to_owned();
        move |cause| TlsError::File { what, path, cause }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(unreadable("the certificate", certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(certificate.to_owned()));
    }
    let der = PrivateKeyDer::from_pem_file(key).map_err(unreadable("the key", key))?;
    CertifiedKey::from_der(chain, der, &rustls::crypto::aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|cause| TlsError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), cause })
}

/// Speaks TLS with a client; `None` when it does not.
pub(super) async fn handshake(acceptor: &TlsAcceptor, socket: TcpStream) -> Option<TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await {
        Ok(Ok(secured)) => Some(secured),
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no TLS handshake");
            None
        }
        Err(_) => None,
    }
}

/// Over TLS, clients are told to come over TLS only (RFC 6797), for two years.
pub(super) fn strictly<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    response
}
