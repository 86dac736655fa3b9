//! What things cost, and what is left.

pub mod pricing;
pub mod trial;
