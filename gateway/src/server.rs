//! The HTTP server under the routes: limits, TLS, trailers, files that the kernel sends, and a stop that lets answers finish.

mod body;
mod outgoing;
#[cfg(test)]
mod tests;
mod tls;

use std::convert::Infallible;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::{Filter, Reply};

use self::body::Answer;
pub(crate) use self::body::{ChecksumTrailer, FileBody};
use self::outgoing::{Outgoing, Parts};
pub use self::tls::{Certificates, TlsError};

/// Seconds a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest head of a request.
const MAX_HEAD: usize = 32 << 10;
/// How long open answers may go on after a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves `routes` on `listener`, over TLS where there are `certificates`, until `stop`; then lets open answers finish for ten seconds.
pub async fn serve<F, R>(listener: TcpListener, certificates: Option<Certificates>, routes: F, stop: CancellationToken)
where
    F: Filter<Extract = (R,), Error = Infallible> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    let graceful = GracefulShutdown::new();
    let acceptor = certificates.map(|certificates| certificates.acceptor());
    loop {
        let socket = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors, say: wait for some to come back instead of spinning.
                    tracing::warn!(error = &error as &dyn std::error::Error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (routes, watcher, acceptor) = (routes.clone(), graceful.watcher(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                None => {
                    let parts = Parts::default();
                    drive(Outgoing::new(socket, parts.clone()), Way::Kernel(parts), routes, watcher).await;
                }
                Some(acceptor) => {
                    if let Some(secured) = tls::handshake(&acceptor, socket).await {
                        drive(secured, Way::Tls, routes, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("answers still open after {} s were cut", DRAIN.as_secs());
    }
}

/// How a part of a file leaves over a connection.
enum Way {
    /// The kernel sends it.
    Kernel(Parts),
    /// It is read and encrypted.
    Tls,
}

/// Serves one connection to its end.
async fn drive<I, F, R>(io: I, way: Way, routes: F, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Filter<Extract = (R,), Error = Infallible> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    let inner = TowerToHyperService::new(warp::service(routes));
    let way = &way;
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let response = inner.call(request);
        async move {
            let answer = response.await.map(|response| match way {
                Way::Kernel(parts) => Answer::of(response, |part| Answer::sent_by_kernel(parts, part)),
                Way::Tls => tls::strictly(Answer::of(response, Answer::read)),
            });
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(io), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended early");
    }
}
