//! Looking up the sessions that tokens name, those of many requests with one statement.

use std::collections::HashMap;

use shared::batcher::{Batcher, Together};
use shared::ids::SessionId;
use shared::services::Services;
use shared::store::StoreResult;
use shared::store::users::{self, SignedIn};

/// The most sessions of one statement.
const BATCH: usize = 64;
/// Statements at once.
const LANES: usize = 2;

/// Reads sessions; each after it was asked for, so that its end takes effect on the next request.
pub struct Sessions(Services);

impl Together for Sessions {
    type Item = SessionId;
    type Answer = Option<SignedIn>;
    const NEEDS_CALLER: bool = true;

    async fn run(&self, sessions: &[SessionId]) -> StoreResult<Vec<Option<SignedIn>>> {
        let Self(services) = self;
        let mut reader = services.db.read().await?;
        let found = users::signed_in(&mut reader, sessions, services.clock.now()).await?;
        let mut found: HashMap<_, _> = found.into_iter().map(|one| (one.session_id, one)).collect();
        // The last to ask for a session gets what was read, so that nothing is copied for those who are alone.
        let answer = |(i, session): (usize, &SessionId)| {
            let again = sessions[i + 1..].contains(session);
            if again { found.get(session).cloned() } else { found.remove(session) }
        };
        Ok(sessions.iter().enumerate().map(answer).collect())
    }
}

/// Starts the tasks that read.
pub fn sessions(services: &Services) -> Batcher<Sessions> {
    Batcher::start(LANES, BATCH, Sessions(services.clone()))
}
