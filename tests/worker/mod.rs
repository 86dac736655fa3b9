//! The worker side: its jobs when they are repeated or cut off, and its queues when they fail.

mod account_jobs;
mod queue_faults;
mod relay;
