//! Password hashes: Argon2id with the parameters that OWASP's Password Storage Cheat Sheet asks for at least
//! (19 MiB, 2 passes, 1 lane), computed off the async threads and by few at a time.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, available_parallelism};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use tokio::sync::{Semaphore, oneshot};

use crate::domain::plan::FieldError;
use crate::password_rules;

/// How many may be at work or wait, for each thread. A check takes about 20 ms, so whoever finds a place has an answer
/// after 1.3 s at most, and whoever is told to come again in a second finds most of these done. A longer queue would let
/// in no more of a flood, it would only make everybody wait longer; a shorter one would turn away the people of one course
/// who sign up at the same moment.
pub const PLACES: usize = 64;

/// How many threads hash unless the configuration says otherwise: half of the cores, at least one.
///
/// A hash keeps a core busy all the time that it takes, and the memory that it goes through pushes everything else out
/// of the caches. With as many threads as cores a flood of sign-ins would leave no core for those who are signed in;
/// with half of them the others stay quick, and one thread still lets in about 50 people a second. Threads of a lower
/// priority would use idle cores better, but systems differ in what a priority of a thread is, and within a container's
/// quota a busy thread takes the others' time whatever its priority.
pub fn default_threads() -> usize {
    (available_parallelism().map_or(1, NonZero::get) / 2).max(1)
}

/// Why a password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already; try again shortly.
    #[error("too many sign-ins at once")]
    Busy,
    /// The library refused.
    #[error("hashing failed: {0}")]
    Hash(String),
}

type Work = Box<dyn FnOnce() + Send>;

/// Hashes and checks passwords. Clones share the threads and the bound.
///
/// The threads are its own: an allocator keeps for each thread what it has freed, and with those of a large pool that would
/// come to many times the 19 MiB of a hash.
#[derive(Debug, Clone)]
pub struct Passwords {
    work: mpsc::Sender<Work>,
    places: Arc<Semaphore>,
    operations: Arc<AtomicU64>,
    dummy: Arc<str>,
}

impl Passwords {
    /// At most `threads` at work, and [`PLACES`] times as many at work or waiting. With none, everybody is told to come
    /// back.
    pub fn new(threads: usize) -> Result<Self, PasswordError> {
        let dummy = hash_now("a password that nobody has")?;
        let (work, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..threads {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new().name(format!("hash-{number}"));
            thread.spawn(move || serve(&queue)).map_err(|error| PasswordError::Hash(error.to_string()))?;
        }
        Ok(Self {
            work,
            places: Arc::new(Semaphore::new(threads * PLACES)),
            operations: Arc::default(),
            dummy: dummy.into(),
        })
    }

    /// Refuses if no place is free now, so that one of a flood is sent away before anything is done for it. Hashing still
    /// refuses whoever is overtaken after this.
    pub fn ensure_room(&self) -> Result<(), PasswordError> {
        if self.places.available_permits() > 0 { Ok(()) } else { Err(PasswordError::Busy) }
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(self.counted(move || hash_now(&password))).await?
    }

    /// Whether a hash was made with less than today's parameters, so that a guesser gets on faster with it. Each hash says
    /// what it was made with; one that is outdated is replaced when its owner signs in.
    pub fn is_outdated(hash: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else { return true };
        let Ok(made_with) = argon2::Params::try_from(&hash) else { return true };
        let (today, version) = (argon2::Params::DEFAULT, u32::from(argon2::Version::default()));
        hash.algorithm != argon2::ARGON2ID_IDENT
            || hash.version.is_none_or(|made_by| made_by < version)
            || made_with.m_cost() < today.m_cost()
            || made_with.t_cost() < today.t_cost()
    }

    /// Whether `password` belongs to `hash`; without a hash, the same work for nothing, so that an unknown account
    /// takes as long as a wrong password.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        let right = self.run(self.counted(move || verify_now(&password, &hash))).await?;
        Ok(right && known)
    }

    /// Everything that is wrong with a password; see [`password_rules::check`]. It is judged where hashes are computed, and
    /// bounded like them: for a password that is made for it, the judgement takes longer than a hash.
    pub async fn faults(
        &self,
        field: &'static str,
        password: String,
        about: [String; 3],
    ) -> Result<Vec<FieldError>, PasswordError> {
        let about = about.map(|text| text.trim().to_owned());
        self.run(move || password_rules::check(field, &password, &about.each_ref().map(String::as_str))).await
    }

    /// How many hashes have been computed since the start, for whatever reason: what tells people apart must not show
    /// in it.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// Work that counts as a hash.
    fn counted<T, W: FnOnce() -> T>(&self, work: W) -> impl FnOnce() -> T + use<T, W> {
        let operations = Arc::clone(&self.operations);
        move || {
            operations.fetch_add(1, Ordering::Relaxed);
            work()
        }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let (reply, done) = oneshot::channel();
        // Work goes on when whoever asked for it hangs up, so it keeps its place itself.
        let work = Box::new(move || {
            let outcome = work();
            drop(place);
            drop(reply.send(outcome));
        });
        let gone = || PasswordError::Hash("the threads that hash are gone".to_owned());
        self.work.send(work).map_err(|_| gone())?;
        done.await.map_err(|_| gone())
    }
}

/// Does work until nobody is left who could give any. What panics is told to whoever waits for it, by its absence.
fn serve(queue: &Mutex<mpsc::Receiver<Work>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("hashing a password panicked");
        }
    }
}

fn hash_now(password: &str) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| PasswordError::Hash(error.to_string()))
}

fn verify_now(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| PasswordVerifier::verify_password(&Argon2::default(), password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_hash_belongs_to_its_password_and_every_one_is_counted() {
        let passwords = Passwords::new(1).unwrap();
        let hash = passwords.hash("right".to_owned()).await.unwrap();
        for (password, hash, right) in
            [("right", Some(&hash), true), ("wrong", Some(&hash), false), ("right", None, false)]
        {
            assert_eq!(passwords.verify(password.to_owned(), hash.cloned()).await.unwrap(), right);
        }
        assert_eq!(passwords.operations(), 4);
    }

    #[tokio::test]
    async fn whoever_hangs_up_makes_no_room_for_others_before_the_work_is_done() {
        let passwords = Passwords::new(1).unwrap();
        let (finish, finished) = mpsc::channel();
        let mut asked = Box::pin(passwords.run(move || finished.recv()));
        assert!(asked.as_mut().now_or_never().is_none());
        drop(asked);
        assert_eq!(passwords.places.available_permits(), PLACES - 1);
        finish.send(()).unwrap();
        assert!(passwords.run(|| true).await.unwrap());
        // One thread does one after the other, and gives the place back at the end of its work.
        assert_eq!(passwords.places.available_permits(), PLACES);
    }

    #[tokio::test]
    async fn work_that_panics_takes_no_thread_with_it() {
        let passwords = Passwords::new(1).unwrap();
        let panicked = passwords.run(|| -> bool { panic!("as a test") }).await;
        assert!(matches!(panicked, Err(PasswordError::Hash(_))), "{panicked:?}");
        assert!(passwords.run(|| true).await.unwrap());
    }

    #[tokio::test]
    async fn beyond_the_queue_everybody_is_sent_away_at_once() {
        let passwords = Passwords::new(0).unwrap();
        let refused = passwords.verify("right".to_owned(), None).await;
        assert!(matches!(refused, Err(PasswordError::Busy)), "{refused:?}");
        assert_eq!(passwords.operations(), 0);
    }
}
