//! All integration tests, as one binary: one link, and servers that are started once.

#[cfg(test)]
mod api;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod journeys;
#[cfg(test)]
mod limiter;
#[cfg(test)]
mod scheduler;
#[cfg(test)]
mod stand_ins;
#[cfg(test)]
mod store;
#[cfg(test)]
mod stripe;
#[cfg(test)]
mod worker;
