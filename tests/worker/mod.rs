//! The worker side, against real queues.

mod queue_faults;
