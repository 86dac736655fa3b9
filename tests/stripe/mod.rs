//! Stripe as we talk to it and hear from it, against stand-ins that run here and counterparts that others wrote.

mod counterparts;
mod gateway;
mod scripted;
mod stories;
mod sync;
mod truth;
mod world;
