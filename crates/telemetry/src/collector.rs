//! The collector: OTLP over HTTP, as protobuf.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;

/// How long a connection to the collector may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long it may take for a request.
const ANSWER: Duration = Duration::from_secs(10);

/// Where spans go, and from whom they come.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Its base address, such as `http://collector:4318`.
    pub endpoint: String,
    /// PEM file with the certificates that its own must come from.
    pub ca_file: Option<PathBuf>,
    /// The name of the process among the others: `exportd-sign`.
    pub service: String,
}

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The file with the certificates cannot be read.
    #[error("cannot read `{}`", path.display())]
    Certificates {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The HTTP machinery does not start.
    #[error("cannot speak HTTP")]
    Http(#[source] reqwest::Error),
    /// The address is none.
    #[error("cannot send to this address")]
    Address(#[source] ExporterBuildError),
}

impl Collector {
    /// Does not connect yet.
    pub(crate) fn connect(&self) -> Result<SpanExporter, CollectorError> {
        // What a collector answers leads nowhere else, and what the machine says of proxies does not count.
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &self.ca_file {
            let pem =
                std::fs::read(path).map_err(|cause| CollectorError::Certificates { path: path.clone(), cause })?;
            http = http.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).map_err(CollectorError::Http)?);
        }
        let http = http.no_proxy().build().map_err(CollectorError::Http)?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Http(http))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", self.endpoint.trim_end_matches('/')))
            .with_timeout(ANSWER)
            .build()
            .map_err(CollectorError::Address)?;
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.namespace", "export-center"),
            KeyValue::new("service.name", self.service.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        exporter.set_resource(&resource.build());
        Ok(exporter)
    }
}

/// The HTTP client of all our crates, as OTLP's wants it.
#[derive(Debug)]
struct Http(reqwest::Client);

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.execute(request.try_into()?).await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        Ok(response.body(answer.bytes().await?)?)
    }
}
