//! Operations: health, public keys, the catalogue of actions, the documentation.

pub mod actions;
pub mod docs;
pub mod health;
pub mod jwks;
