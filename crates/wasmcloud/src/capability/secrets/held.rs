//! Around every store: few questions at once, one copy of each value, and failures told once in a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::{Secret, SecretStore, SecretsError};
use crate::workload::SecretName;

/// How many questions of one workload are asked of one store at once; further ones wait.
const AT_ONCE: usize = 4;
/// How often failures of one store are told.
const TELLING: Duration = Duration::from_secs(60);

/// A store, with what it answered last: handles to the same value share it, however many a guest takes.
pub(super) struct Held {
    store: Arc<dyn SecretStore>,
    last: Mutex<HashMap<SecretName, Secret>>,
    room: Semaphore,
    told: Mutex<Option<Instant>>,
}

impl Held {
    pub(super) fn new(store: Arc<dyn SecretStore>) -> Self {
        Self {
            store,
            last: Mutex::default(),
            room: Semaphore::new(AT_ONCE),
            told: Mutex::default(),
        }
    }

    /// What was answered last, whether or not it is so still.
    pub(super) fn last(&self, name: &SecretName) -> Option<Secret> {
        self.kept().get(name).cloned()
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

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<SecretName, Secret>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SecretStore for Held {
    /// Only for names that the manifest gives to somebody, so what is kept is bounded by it.
    async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretsError> {
        let room = self.room.acquire().await;
        let found = self.store.get(name).await;
        drop(room);
        let Some(found) = found? else {
            return Ok(None);
        };
        let mut last = self.kept();
        match last.get(name) {
            Some(same) if same.bytes() == found.bytes() => Ok(Some(same.clone())),
            _ => {
                last.insert(name.clone(), found.clone());
                Ok(Some(found))
            }
        }
    }
}
