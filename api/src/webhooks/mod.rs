//! What others tell of their own accord. Whoever tells something proves with a signature who they are; it is stored,
//! and a job looks at it. For one more: a file named after who tells.

pub mod stripe;
