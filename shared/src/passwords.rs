//! Password hashes: Argon2id with the parameters that OWASP's Password Storage Cheat Sheet asks for at least
//! (19 MiB, 2 passes, 1 lane), computed off the async threads and by few at a time.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use tokio::sync::Semaphore;

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

/// Hashes and checks passwords. Clones share the bound.
#[derive(Debug, Clone)]
pub struct Passwords {
    threads: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    dummy: Arc<str>,
}

impl Passwords {
    /// At most `threads` at work, and 16 times as many waiting.
    pub fn new(threads: usize) -> Result<Self, PasswordError> {
        let dummy = hash_now("a password that nobody has")?;
        Ok(Self {
            threads: Arc::new(Semaphore::new(threads)),
            queue: Arc::new(Semaphore::new(threads * 16)),
            dummy: dummy.into(),
        })
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.run(move || hash_now(&password)).await?
    }

    /// Whether `password` belongs to `hash`; without a hash, the same work for nothing, so that an unknown account
    /// takes as long as a wrong password.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, PasswordError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.to_string());
        let right = self.run(move || verify_now(&password, &hash)).await?;
        Ok(right && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PasswordError> {
        let _place = self.queue.try_acquire().map_err(|_| PasswordError::Busy)?;
        let _thread = self.threads.acquire().await.map_err(|_| PasswordError::Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|error| PasswordError::Hash(error.to_string()))
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
