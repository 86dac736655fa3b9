//! Stand-ins of our own for services where no independent counterpart shows what we need.
//!
//! What is here was written by us from the service's published description, so a test against it proves that we follow
//! that description, not that the service does. Where an independent counterpart exists, test against that one as well.

pub mod stripe_like;
