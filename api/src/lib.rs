//! The API: answers HTTP and writes rows, nothing else.
//!
//! `routes` is the map of all URLs; each handler is one file named after its verb. What a handler may do is said by
//! its extractors (`extract/`), what every answer carries by the `layers/`, what can go wrong by `error`, and how long
//! anything may take by `bounds`.

mod auth;
mod bounds;
mod document;
mod error;
mod extract;
mod intents;
mod layers;
mod limits;
mod ops;
mod page;
mod payments;
mod replay;
mod routes;
mod server;
mod webhooks;
mod workflows;

pub use bounds::Bounds;
pub use routes::openapi;
pub use server::serve;

use std::ops::Deref;
use std::sync::Arc;

use shared::batcher::Batcher;
use shared::services::Services;

use auth::throttle::Gates;
use extract::Sessions;
use intents::accept::Accepting;

/// What handlers have at hand. Every layer of the router clones it for every request.
#[derive(Clone)]
struct App(Arc<Parts>);

struct Parts {
    services: Services,
    /// Intents of many requests, accepted together.
    acceptor: Batcher<Accepting>,
    /// Sessions of many requests, looked up together.
    sessions: Batcher<Sessions>,
    bounds: Bounds,
    /// Where guesses at passwords take turns.
    gates: Gates,
}

impl App {
    fn new(services: Services, bounds: Bounds) -> Self {
        let (acceptor, sessions) = (intents::accept::acceptor(&services), extract::sessions(&services));
        Self(Arc::new(Parts { services, acceptor, sessions, bounds, gates: Gates::new() }))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
