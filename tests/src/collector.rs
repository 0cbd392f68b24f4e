//! A collector of traces: takes OTLP over HTTP and keeps the spans.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Longest that a test waits for spans.
const WITHIN: Duration = Duration::from_mins(1);

/// A span as it came. Ids are hex digits.
#[derive(Clone, Debug)]
pub struct Span {
    /// The process: `service.name`.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Id of the trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// Id of the span above; empty where there is none.
    pub parent: String,
    /// Whether it ended with an error.
    pub failed: bool,
    /// Its attributes; numbers as text.
    pub attributes: BTreeMap<String, String>,
}

/// A collector at work. Dropping it ends it.
#[derive(Debug)]
pub struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Span>>>,
    count: watch::Receiver<usize>,
    serving: AbortHandle,
}

impl Collector {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for a collector")?;
        let address = format!("http://{}", listener.local_addr().context("the collector has no address")?);
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let kept = spans.clone();
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (kept, counted) = (kept.clone(), counted.clone());
                tokio::spawn(async move {
                    let came = |more: Vec<Span>| {
                        let mut spans = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        spans.extend(more);
                        counted.send_replace(spans.len());
                    };
                    drop(serve(socket, came).await);
                });
            }
        });
        Ok(Self { address, spans, count, serving: serving.abort_handle() })
    }

    /// Its base address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The spans that came so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the spans are what `wanted` looks for.
    ///
    /// # Errors
    /// When they do not become so within a minute; the error has their names.
    pub async fn wait_for(&self, wanted: impl Fn(&[Span]) -> bool) -> anyhow::Result<Vec<Span>> {
        let mut count = self.count.clone();
        let waiting = async {
            loop {
                let spans = self.spans();
                if wanted(&spans) {
                    return Ok(spans);
                }
                count.changed().await.context("the collector ended")?;
            }
        };
        let Ok(waited) = timeout(WITHIN, waiting).await else {
            let names: BTreeSet<String> =
                self.spans().iter().map(|span| format!("{} {}", span.service, span.name)).collect();
            anyhow::bail!("the spans are not what was waited for: {names:?}");
        };
        waited
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves the requests of a connection.
async fn serve(socket: TcpStream, came: impl Fn(Vec<Span>)) -> anyhow::Result<()> {
    let mut socket = BufReader::new(socket);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if socket.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let is_ours = head.starts_with("POST /v1/traces HTTP/1.1\r\n");
        anyhow::ensure!(
            is_ours && head.to_lowercase().contains("application/x-protobuf"),
            "not a request of OTLP: {head}"
        );
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.context("a request without a length")?];
        socket.read_exact(&mut body).await?;
        came(read(&body)?);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
            .await?;
    }
}

fn read(body: &[u8]) -> anyhow::Result<Vec<Span>> {
    let request = ExportTraceServiceRequest::decode(body).context("not a message of OTLP")?;
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let of = attributes(group.resource.map(|resource| resource.attributes).unwrap_or_default());
        let service = of.get("service.name").cloned().unwrap_or_default();
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            anyhow::ensure!(
                span.end_time_unix_nano >= span.start_time_unix_nano,
                "{} ended before it began",
                span.name
            );
            spans.push(Span {
                service: service.clone(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                failed: span.status.is_some_and(|status| status.code == 2),
                attributes: attributes(span.attributes),
            });
        }
    }
    Ok(spans)
}

fn attributes(told: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        other => format!("{other:?}"),
    };
    told.into_iter().filter_map(|told| Some((told.key, text(told.value?.value?)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
