//! What plugins bound to a workload, found by type.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// One plugin's state for one workload, to be found again by its type.
#[derive(Clone)]
pub struct State {
    id: TypeId,
    value: Arc<dyn Any + Send + Sync>,
}

impl State {
    /// Wraps a value. Each plugin uses a type of its own.
    pub fn new<T: Any + Send + Sync>(value: Arc<T>) -> Self {
        Self {
            id: TypeId::of::<T>(),
            value,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

/// The states of all plugins bound to a workload.
#[derive(Debug, Default)]
pub struct States(Vec<State>);

impl States {
    /// The state of the given type, if a plugin bound one. There are a handful of plugins, so a scan beats a map.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        let wanted = TypeId::of::<T>();
        self.0
            .iter()
            .find(|state| state.id == wanted)
            .and_then(|state| state.value.downcast_ref())
    }

    /// The same, to be kept.
    #[must_use]
    pub fn get_arc<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let wanted = TypeId::of::<T>();
        let state = self.0.iter().find(|state| state.id == wanted)?;
        Arc::clone(&state.value).downcast().ok()
    }
}

impl FromIterator<State> for States {
    fn from_iter<I: IntoIterator<Item = State>>(states: I) -> Self {
        Self(states.into_iter().collect())
    }
}
