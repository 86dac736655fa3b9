//! The API: answers HTTP and writes rows, nothing else.
//!
//! `routes` is the map of all URLs; each handler is one file named after its verb. What a handler may do is said by
//! its extractors (`extract/`), what every answer carries by the `layers/`, what can go wrong by `error`.

mod auth;
mod error;
mod extract;
mod intents;
mod layers;
mod limits;
mod ops;
mod payments;
mod routes;
mod workflows;

pub use routes::{openapi, router};

use std::sync::Arc;

use shared::batcher::Batcher;
use shared::services::Services;

use extract::Sessions;
use intents::accept::Accepting;
use limits::Limiter;

/// What handlers have at hand.
#[derive(Clone)]
struct App {
    services: Services,
    limiter: Arc<Limiter>,
    /// Intents of many requests, accepted together.
    acceptor: Batcher<Accepting>,
    /// Sessions of many requests, looked up together.
    sessions: Batcher<Sessions>,
}

impl App {
    fn new(services: Services) -> Self {
        let (acceptor, sessions) = (intents::accept::acceptor(&services), extract::sessions(&services));
        Self { services, limiter: Arc::default(), acceptor, sessions }
    }
}
