//! Those who deliver: in no order, many at a time, and again and again until the program has answered, as Stripe does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use shared::clock::Clock;
use tokio::task::JoinSet;

use super::DEADLINE;
use crate::harness::stripe_sdk::Signer;
use crate::journeys::client::Client;
use crate::journeys::{PATIENCE, POLL, Site};
use crate::stand_ins::stripe_like::Happened;

/// What webhooks are signed with.
pub(super) const SECRET: &str = "whsec_ten_thousand";
/// How many are under way at once.
const COURIERS: usize = 32;
/// How often it is looked how many have arrived.
const GLANCE: Duration = Duration::from_millis(5);

/// An event to be delivered, signed.
pub(super) struct Letter {
    body: Arc<str>,
    signature: String,
}

/// Chance that is the same each time, by a linear congruential generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The lower bits are hardly random.
        (self.0 >> 33) as usize % bound
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.below(place + 1));
        }
    }
}

/// Events that wait to be delivered, in no order.
pub(super) struct Bag {
    dice: Dice,
    waiting: Vec<Happened>,
    events: BTreeSet<String>,
    withheld: BTreeSet<String>,
}

impl Default for Bag {
    fn default() -> Self {
        Self { dice: Dice(2_026), waiting: Vec::new(), events: BTreeSet::new(), withheld: BTreeSet::new() }
    }
}

impl Bag {
    /// Takes in what has happened. A tenth is never delivered, a third twice.
    pub(super) fn add(&mut self, mut news: Vec<Happened>) {
        self.events.extend(news.iter().map(|event| event.id.clone()));
        self.dice.shuffle(&mut news);
        let (tenth, third) = (news.len() / 10, news.len() / 3);
        let withheld = news.split_off(news.len() - tenth);
        self.withheld.extend(withheld.into_iter().map(|event| event.id));
        self.waiting.extend_from_slice(&news[..third]);
        self.waiting.append(&mut news);
        self.dice.shuffle(&mut self.waiting);
    }

    /// Three fifths of what waits. The rest comes late, among what has not happened yet.
    pub(super) fn most(&mut self, signer: &Signer) -> Vec<Letter> {
        let rest = self.waiting.split_off(self.waiting.len() * 3 / 5);
        let most = std::mem::replace(&mut self.waiting, rest);
        sign(signer, most)
    }

    /// All that waits.
    pub(super) fn rest(&mut self, signer: &Signer) -> Vec<Letter> {
        sign(signer, std::mem::take(&mut self.waiting))
    }

    /// The ids of all events.
    pub(super) fn events(&self) -> &BTreeSet<String> {
        &self.events
    }

    /// The ids of those that are never delivered.
    pub(super) fn withheld(&self) -> &BTreeSet<String> {
        &self.withheld
    }
}

fn sign(signer: &Signer, events: Vec<Happened>) -> Vec<Letter> {
    let now = Clock::System.now().timestamp();
    let letter = |event: Happened| Letter { signature: signer.header(&event.raw, SECRET, now), body: event.raw };
    events.into_iter().map(letter).collect()
}

/// Letters under way.
struct Post {
    left: Mutex<Vec<Letter>>,
    arrived: AtomicUsize,
}

impl Post {
    fn next(&self) -> Option<Letter> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn until_arrived(&self, count: usize) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let arrived = self.arrived.load(Ordering::Relaxed);
            if arrived >= count {
                return;
            }
            assert!(Instant::now() < deadline, "only {arrived} of {count} have arrived after {DEADLINE:?}");
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// Delivers all letters; half-way the program is killed, if `kill`, and started again. Of all that is delivered that is
/// after a good quarter and after two thirds.
pub(super) async fn deliver(site: &mut Site, letters: Vec<Letter>, kill: bool) {
    let half = letters.len() / 2;
    let post = Arc::new(Post { left: Mutex::new(letters), arrived: AtomicUsize::new(0) });
    let mut couriers = JoinSet::new();
    for _ in 0..COURIERS {
        couriers.spawn(carry(site.client(), Arc::clone(&post)));
    }
    if kill {
        post.until_arrived(half).await;
        crash(site).await;
    }
    couriers.join_all().await;
}

/// Kills all that takes webhooks in or acts on them, as a crash of the machine would.
async fn crash(site: &mut Site) {
    if let Some(worker) = &mut site.worker {
        worker.kill9();
    }
    site.crash_api().await;
    if site.worker.is_some() {
        site.crash_worker().await;
    }
}

async fn carry(client: Client, post: Arc<Post>) {
    while let Some(letter) = post.next() {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match hand_over(&client, &letter).await {
                Ok((200, _)) => break,
                Ok((status, answer)) => panic!("a webhook was answered {status}: {answer}"),
                Err(error) => assert!(Instant::now() < deadline, "not delivered after {PATIENCE:?}: {error:?}"),
            }
            tokio::time::sleep(POLL).await;
        }
        post.arrived.fetch_add(1, Ordering::Relaxed);
    }
}

async fn hand_over(client: &Client, letter: &Letter) -> reqwest::Result<(u16, String)> {
    let request = client.request(Method::POST, "/webhooks/stripe").header("content-type", "application/json");
    let request = request.header("Stripe-Signature", &letter.signature).body(letter.body.to_string());
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}
