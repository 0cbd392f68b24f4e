//! TLS before a server that speaks none, as a site would put a proxy before it.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Certificates;

/// A port that speaks TLS and passes what comes on to a server behind it. Dropping it closes the port.
#[derive(Debug)]
pub struct Curtain {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Curtain {
    /// Puts TLS before the server at `HOST:PORT`.
    ///
    /// # Errors
    /// When there is no port or the certificate cannot be used.
    pub async fn before(server: String, certificates: &Certificates) -> anyhow::Result<Self> {
        let chain = CertificateDer::from_pem_file(certificates.certificate("server")).context("no certificate")?;
        let key = PrivateKeyDer::from_pem_file(certificates.key("server")).context("no key")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the curtain")?;
        let port = listener.local_addr().context("the curtain has no address")?.port();
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    let Ok(mut secured) = acceptor.accept(socket).await else { return };
                    let Ok(mut behind) = TcpStream::connect(&server).await else { return };
                    // How a connection ends is the matter of those at its ends.
                    drop(copy_bidirectional(&mut secured, &mut behind).await);
                });
            }
        });
        Ok(Self { port, accepting })
    }

    /// Where it is, as certificates name it.
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }
}

impl Drop for Curtain {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
