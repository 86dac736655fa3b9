//! The server: connections that are accepted, held to their bounds, and brought to their end.
//!
//! It is hyper itself and not `axum::serve`, since that has no bounds for slow clients and for the size of a head.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use shared::services::Services;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{Bounds, routes};

/// The largest head of a request, in bytes: its first line and its headers. Beyond it the answer is a bare 431.
const HEAD_LIMIT: usize = 16 * 1024;

/// Answers HTTP until the stop, and then until the last running request has its answer. After the stop nobody is let
/// in, and connections without a request are closed at once.
pub async fn serve(mut listener: TcpListener, services: Services, bounds: Bounds, stop: CancellationToken) {
    let server = Server { router: routes::router(services, bounds), http: http(&bounds), bounds };
    let places = Arc::new(Semaphore::new(bounds.connections));
    let open = GracefulShutdown::new();
    loop {
        // Without a free place nobody is accepted; who comes meanwhile waits in the system's queue.
        let next = async { (Arc::clone(&places).acquire_owned().await, Listener::accept(&mut listener).await) };
        let (place, (stream, peer)) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        let connection = open.watch(server.connection(stream, peer));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
}

/// How HTTP is spoken. hyper takes at most 100 headers by itself; to say so here would only make it slower.
fn http(bounds: &Bounds) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head).max_header_size(HEAD_LIMIT);
    http
}

struct Server {
    router: Router,
    http: http1::Builder,
    bounds: Bounds,
}

impl Server {
    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> impl GracefulConnection<Error = hyper::Error> + Send + use<> {
        // Small answers leave at once; where that cannot be set they are merely slower.
        drop(stream.set_nodelay(true));
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(self.bounds.write));
        let router = self.router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request)
        });
        self.http.serve_connection(TokioIo::new(Box::pin(stream)), service)
    }
}
