//! Reading what planning needs to know of workflows, that of many with one statement.

use std::collections::HashMap;
use std::sync::Arc;

use shared::batcher::{Batcher, Together};
use shared::ids::WorkflowId;
use shared::services::Services;
use shared::store::StoreResult;
use shared::store::workflows::{self, Origin};

/// The most workflows of one statement.
const BATCH: usize = 64;
/// Statements at once: one whose connection was lost unnoticed must not hold up all others.
const LANES: usize = 2;

/// Reads origins.
pub struct Origins(Services);

impl Together for Origins {
    type Item = WorkflowId;
    type Answer = Option<Arc<Origin>>;
    const NEEDS_CALLER: bool = true;

    async fn run(&self, ids: &[WorkflowId]) -> StoreResult<Vec<Option<Arc<Origin>>>> {
        let Self(services) = self;
        let mut reader = services.db.read().await?;
        let found = workflows::origins(&mut reader, ids).await?;
        let found: HashMap<_, _> = found.into_iter().map(|origin| (origin.id, Arc::new(origin))).collect();
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }
}

/// Starts the tasks that read.
pub fn origins(services: &Services) -> Batcher<Origins> {
    Batcher::start(LANES, BATCH, Origins(services.clone()))
}
