//! The HTTP server under the routes: limits, trailers, and a stop that lets answers finish.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::{Filter, Reply};

use crate::front;
use crate::state::Gateway;

/// Seconds a client may take to send its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest head of a request.
const MAX_HEAD: usize = 32 << 10;
/// How long open answers may go on after a stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Set on a response: end its body with this `Repr-Digest` trailer.
#[derive(Clone, Debug)]
pub(crate) struct ChecksumTrailer(pub(crate) String);

/// Serves `routes` on `listener` until `stop`, then lets open answers finish for ten seconds.
pub async fn serve<F, R>(listener: TcpListener, routes: F, stop: CancellationToken)
where
    F: Filter<Extract = (R,), Error = Infallible> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    serve_behind(listener, routes, None, stop).await;
}

/// The same for the API of a gateway: with its request rates and its audit log.
pub async fn serve_api(listener: TcpListener, gateway: Gateway, stop: CancellationToken) {
    let routes = crate::routes(&gateway);
    serve_behind(listener, routes, Some(gateway), stop).await;
}

async fn serve_behind<F, R>(listener: TcpListener, routes: F, gateway: Option<Gateway>, stop: CancellationToken)
where
    F: Filter<Extract = (R,), Error = Infallible> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    let graceful = GracefulShutdown::new();
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
        let inner = TowerToHyperService::new(warp::service(routes.clone()));
        let gateway = gateway.clone();
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let (inner, gateway) = (inner.clone(), gateway.clone());
            async move {
                let response = match gateway {
                    Some(gateway) => front::serve(&gateway, peer, request, |request| inner.call(request)).await,
                    None => inner.call(request).await,
                };
                response.map(with_trailer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(socket), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("answers still open after {} s were cut", DRAIN.as_secs());
    }
}

/// A body that is followed by trailers, where the response asks for them.
struct Trailed<B> {
    body: Pin<Box<B>>,
    trailers: Option<HeaderMap>,
}

fn with_trailer<B: Body>(mut response: Response<B>) -> Response<Trailed<B>> {
    let trailers = response.extensions_mut().remove::<ChecksumTrailer>().and_then(|ChecksumTrailer(digest)| {
        let value = HeaderValue::from_str(&digest).ok()?;
        Some(HeaderMap::from_iter([(HeaderName::from_static("repr-digest"), value)]))
    });
    response.map(|body| Trailed { body: Box::pin(body), trailers })
}

impl<B: Body<Data = Bytes>> Body for Trailed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match ready!(self.body.as_mut().poll_frame(cx)) {
            None => Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            more => Poll::Ready(more),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
