//! Submitting intents: the gate, what an intent would do and cost, and storing it.

pub mod accept;
pub mod batch;
pub mod create;
mod gate;
pub mod preview;
mod request;

/// Micro-dollars as a decimal number of dollars; for answers only.
pub fn dollars(micros: i64) -> f64 {
    micros as f64 / 1_000_000.0
}
