//! The engine: the pure aggregate under any interleaving, and recovery on both engines.

mod model;
mod recovery;
