//! Around every store: few questions at once, one copy of each value, and failures told once in a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{Secret, SecretStore, SecretsError, WeakSecret};
use crate::workload::SecretName;

/// How many questions of one workload are asked of one store at once; further ones wait.
const AT_ONCE: usize = 4;
/// How often failures of one store are told.
const TELLING: Duration = Duration::from_secs(60);

/// A store whose handles to the same value share it, however many a guest takes.
pub(super) struct Held {
    store: Arc<dyn SecretStore>,
    /// The values that somebody has a handle to.
    shared: Mutex<HashMap<SecretName, WeakSecret>>,
    /// What was answered last, where it is kept.
    last: Option<Mutex<HashMap<SecretName, Secret>>>,
    room: Semaphore,
    told: Mutex<Option<Instant>>,
}

impl Held {
    pub(super) fn new(store: Arc<dyn SecretStore>) -> Self {
        Self {
            store,
            shared: Mutex::default(),
            last: None,
            room: Semaphore::new(AT_ONCE),
            told: Mutex::default(),
        }
    }

    /// One that keeps what it answered last, for when it cannot be had any more.
    pub(super) fn keeping(store: Arc<dyn SecretStore>) -> Self {
        Self {
            last: Some(Mutex::default()),
            ..Self::new(store)
        }
    }

    /// What was answered last, whether or not it is so still.
    pub(super) fn last(&self, name: &SecretName) -> Option<Secret> {
        locked(self.last.as_ref()?).get(name).cloned()
    }

    /// Whether it is time to tell a failure.
    pub(super) fn is_news(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let news = told.is_none_or(|at| at.elapsed() >= TELLING);
        if news {
            *told = Some(Instant::now());
        }
        news
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl SecretStore for Held {
    /// Only for names that the manifest gives to somebody, so what is held is bounded by it.
    async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretsError> {
        let room = self.room.acquire().await;
        let found = self.store.get(name).await;
        drop(room);
        let Some(found) = found? else {
            return Ok(None);
        };
        let mut shared = locked(&self.shared);
        let same = shared.get(name).and_then(WeakSecret::secret);
        let secret = match same.filter(|same| same.bytes() == found.bytes()) {
            Some(same) => same,
            None => {
                shared.insert(name.clone(), found.downgrade());
                found
            }
        };
        if let Some(last) = &self.last {
            locked(last).insert(name.clone(), secret.clone());
        }
        Ok(Some(secret))
    }
}
