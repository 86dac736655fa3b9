//! Operations: health, the catalogue of actions, the documentation.

pub mod actions;
pub mod docs;
pub mod health;
