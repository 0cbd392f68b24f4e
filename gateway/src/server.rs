//! The HTTP server under the routes: limits, TLS, trailers, files that the kernel sends, and a stop that lets answers finish.

mod body;
mod outgoing;
#[cfg(test)]
mod tests;
mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
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
use crate::front;
use crate::state::Gateway;

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
    serve_behind(listener, certificates, routes, None, stop).await;
}

/// The same for the API of a gateway: with its request rates and its audit log.
pub async fn serve_api(
    listener: TcpListener,
    certificates: Option<Certificates>,
    gateway: Gateway,
    stop: CancellationToken,
) {
    let routes = crate::routes(&gateway);
    serve_behind(listener, certificates, routes, Some(gateway), stop).await;
}

async fn serve_behind<F, R>(
    listener: TcpListener,
    certificates: Option<Certificates>,
    routes: F,
    gateway: Option<Gateway>,
    stop: CancellationToken,
) where
    F: Filter<Extract = (R,), Error = Infallible> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    let graceful = GracefulShutdown::new();
    let acceptor = certificates.map(|certificates| certificates.acceptor());
    let service = Arc::new(Service { routes, gateway });
    loop {
        let (socket, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, say: wait for some to come back instead of spinning.
                    tracing::warn!(error = &error as &dyn std::error::Error, "connection not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (service, watcher, acceptor) = (service.clone(), graceful.watcher(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                None => {
                    let parts = Parts::default();
                    let io = Outgoing::new(socket, parts.clone());
                    drive(io, Way::Kernel(parts), service, peer, watcher).await;
                }
                Some(acceptor) => {
                    if let Some(io) = tls::handshake(&acceptor, socket).await {
                        drive(io, Way::Tls, service, peer, watcher).await;
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

/// What answers requests: one for all connections, so that an idle one costs next to nothing.
struct Service<F> {
    routes: F,
    /// With its request rates and its audit log, where it is the API that is served.
    gateway: Option<Gateway>,
}

/// Serves one connection to its end.
async fn drive<I, F, R>(io: I, way: Way, service: Arc<Service<F>>, peer: SocketAddr, watcher: Watcher)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Filter<Extract = (R,), Error = Infallible> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    let (way, service) = (&way, &service);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        // On the heap, so that it is gone once the answer is: hyper keeps the room of a future for as long as the connection.
        Box::pin(async move {
            let routes = TowerToHyperService::new(warp::service(service.routes.clone()));
            let response = match &service.gateway {
                Some(gateway) => front::serve(gateway, peer, request, |request| routes.call(request)).await,
                None => routes.call(request).await,
            };
            response.map(|response| match way {
                Way::Kernel(parts) => Answer::of(response, |part| Answer::sent_by_kernel(parts, part)),
                Way::Tls => tls::strictly(Answer::of(response, Answer::read)),
            })
        })
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
