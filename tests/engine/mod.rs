//! The engine: the pure aggregate under any interleaving, and recovery on both engines.

mod agents;
mod budget;
mod dag;
mod model;
mod recovery;
