//! How requests come in and answers go out. It is hyper itself and not `axum::serve`, since a test may want a
//! connection to be closed without an answer.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fault::Fault;
use super::respond::State;
use crate::harness::stand_in_http::Recorded;

const BODY_LIMIT: usize = 1024 * 1024;

/// The state that the server and the test share, and the gate at which held answers wait.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<State>>, Arc<Semaphore>);

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)), Arc::new(Semaphore::new(0)))
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets so many held answers go, also some that are yet to come.
    pub(super) fn open(&self, answers: usize) {
        self.1.add_permits(answers);
    }

    async fn wait(&self) {
        // It is never closed.
        if let Ok(permit) = self.1.acquire().await {
            permit.forget();
        }
    }
}

/// Serves until the task is aborted, which closes all connections.
pub(super) async fn serve(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, say: others are closing theirs.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        connections.spawn(connection(stream, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Shared) {
    // Small answers leave at once; where that cannot be set they are merely slower.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request| answer(shared.clone(), request));
    // It ends with an error where a test ordered that, or where the client went away.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(shared: Shared, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let request = recorded(request).await?;
    let (fault, answer) = shared.with(|state| {
        state.requests.push(request.clone());
        let fault = state.faults.take(&request);
        (fault, (fault != Some(Fault::Refuse)).then(|| state.respond(&request, fault)))
    });
    match (fault, answer) {
        (None | Some(Fault::Status(..) | Fault::Told(..)), Some(answer)) => Ok(answer.into_response()),
        (Some(Fault::Slow(millis)), Some(answer)) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            Ok(answer.into_response())
        }
        (Some(Fault::Held), Some(answer)) => {
            shared.wait().await;
            Ok(answer.into_response())
        }
        (Some(Fault::Lose | Fault::Refuse), _) | (_, None) => Err(io::Error::other("the test wants no answer")),
    }
}

async fn recorded(request: Request<Incoming>) -> io::Result<Recorded> {
    let (head, body) = request.into_parts();
    let body = to_bytes(Body::new(body), BODY_LIMIT).await.map_err(io::Error::other)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Recorded {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body: text(&body),
    })
}
