//! What attackers try, over HTTP, on both engines.
//!
//! `tokens`: forged and stolen ones. `guessing`: passwords and links, from one network and from many. `enumeration`:
//! who has an account. `overreach`: fields, routes and ids that are not one's own. `flood`: more sign-ins than can be
//! checked. Elsewhere: replayed refresh tokens in `journeys/sessions.rs`, replayed and guessed codes in
//! `journeys/mfa.rs`, tricks with paths, oversize and slow bodies in `api/`, private addresses in `journeys/limits.rs`.

mod enumeration;
mod flood;
mod guessing;
mod overreach;
mod tokens;

use crate::harness::engines::Settings;
use crate::journeys::client::Client;

/// Lets a test play several networks.
const PROXIED: Settings = &[("TRUSTED_PROXIES", "127.0.0.1/32")];
/// A password that is nobody's.
const WRONG: &str = "Wrong-Horse7-Battery";

/// The same client at another address, where the server believes it.
fn at(client: &Client, address: &str) -> Client {
    client.with("x-forwarded-for", address)
}
