//! Fetches the components of a workload and looks at them. What is whole by itself is compiled while others are still on their way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt as _, stream};
use tokio::task::JoinSet;

use super::start::Starter;
use super::{StartError, StartRequest};
use crate::artifact::{By, Digest, Fetch, Fetched, Hold, Wanted};
use crate::engine::plan::{Worlds, plan_early};
use crate::engine::{Artifact, Components, Engine, InspectError, Inspected};
use crate::workload::{Component, ComponentName, Image, Workload};

/// How many components of a workload are fetched and looked at at once: each may be hundreds of megabytes.
const FETCHES: usize = 2;

/// A component that was fetched and looked at.
#[derive(Clone)]
pub(crate) struct Looked {
    pub(crate) inspected: Inspected,
    pub(crate) kept: Kept,
}

/// What is left of an image of which the bytes are not kept.
#[derive(Clone)]
pub(crate) struct Kept {
    /// What gives the same bytes again, but for files, which may change.
    pub(super) image: Image,
    _hold: Option<Hold>,
}

/// The components of a workload.
pub(super) struct Arrived {
    pub(super) components: Components,
    pub(super) worlds: Worlds,
    pub(super) kept: BTreeMap<ComponentName, Kept>,
    /// What is compiled already, or soon will be: kept until the plan has said what is needed.
    pub(super) ahead: Ahead,
}

/// Components of one image, and what came of it.
type Arrival<'a> = (Vec<&'a Component>, Result<Looked, StartError>);

/// Fetches and looks at the components of a workload, a few at a time, and each image once. Returns what there is, and everything that
/// is wrong, in the order of the manifest.
pub(crate) async fn look_at_all<I>(
    fetch: &dyn Fetch,
    request: &StartRequest,
    inspect: I,
) -> (Components, Vec<StartError>)
where
    I: Fn(&[u8], Option<Digest>) -> Result<Inspected, InspectError> + Clone + Send + 'static,
{
    let (mut components, mut errors) = (Components::new(), Vec::new());
    let mut looks = stream::iter(looks(fetch, request, inspect)).buffered(FETCHES);
    while let Some((same, looked)) = looks.next().await {
        for Component { name, .. } in same {
            match &looked {
                Ok(looked) => drop(components.insert(name.clone(), looked.inspected.clone())),
                Err(error) => errors.push(error.of(name)),
            }
        }
    }
    (components, errors)
}

/// The same for a start: gives up at the first thing that is wrong, and compiles ahead.
pub(super) async fn arrived(
    starter: &Starter<'_>,
    request: &StartRequest,
) -> Result<Arrived, StartError> {
    let known = starter.engine.clone();
    let inspect = move |bytes: &[u8], digest| known.inspect_known(bytes, digest);
    let looks = looks(starter.fetch, request, inspect);
    let mut left = looks.len();
    let mut looks = stream::iter(looks).buffer_unordered(FETCHES);
    let (mut components, mut kept) = (Components::new(), BTreeMap::new());
    let mut ahead = Ahead::default();
    while let Some((same, looked)) = looks.next().await {
        let looked = looked?;
        left -= 1;
        for Component { name, .. } in same {
            if left > 0 {
                ahead.compile(starter.engine, &request.workload, name, &looked.inspected);
            }
            components.insert(name.clone(), looked.inspected.clone());
            kept.insert(name.clone(), looked.kept.clone());
        }
    }
    Ok(Arrived {
        worlds: worlds(&components),
        components,
        kept,
        ahead,
    })
}

/// The worlds of components.
pub(crate) fn worlds(components: &Components) -> Worlds {
    let components = components.iter();
    components
        .map(|(name, inspected)| (name.clone(), Arc::clone(&inspected.world)))
        .collect()
}

/// What looks at each image, in the order of the manifest.
fn looks<'a, I>(
    fetch: &'a dyn Fetch,
    request: &'a StartRequest,
    inspect: I,
) -> Vec<impl Future<Output = Arrival<'a>>>
where
    I: Fn(&[u8], Option<Digest>) -> Result<Inspected, InspectError> + Clone + Send + 'static,
{
    let by = By::Workload(&request.workload.namespace);
    let looks = by_image(&request.workload)
        .into_iter()
        .map(|(first, same)| {
            let inspect = inspect.clone();
            async move {
                let looked = look_at(fetch, first, by, &request.base, inspect).await;
                (same, looked)
            }
        });
    looks.collect()
}

/// The components that have the same image, with the first of them.
fn by_image(workload: &Workload) -> Vec<(&Component, Vec<&Component>)> {
    let mut places = BTreeMap::new();
    let mut images: Vec<(&Component, Vec<&Component>)> = Vec::new();
    for component in workload.parts() {
        let image = (&component.image, &component.pull);
        let place = *places.entry(image).or_insert(images.len());
        match images.get_mut(place) {
            Some((_, same)) => same.push(component),
            None => images.push((component, vec![component])),
        }
    }
    images
}

/// What is compiled before the plan is known. Dropping it ends what has not begun.
#[derive(Default)]
pub(super) struct Ahead(JoinSet<Option<Arc<Artifact>>>);

impl Ahead {
    /// Compiles a component in the background if it seems to be whole by itself. What goes wrong is told when it is needed.
    fn compile(
        &mut self,
        engine: &Engine,
        workload: &Workload,
        name: &ComponentName,
        inspected: &Inspected,
    ) {
        let plan = plan_early(workload, name, &inspected.world, engine.offers());
        let Some((flavour, members)) = plan else {
            return;
        };
        let (engine, name) = (engine.clone(), name.clone());
        let components = Components::from([(name, inspected.clone())]);
        self.0.spawn(async move {
            let prepared = engine.prepare(flavour, &members, &components).await;
            prepared.ok()
        });
    }
}

/// Fetches a component and looks at it, on a thread that serves nobody.
pub(super) async fn look_at(
    fetch: &dyn Fetch,
    component: &Component,
    by: By<'_>,
    base: &Path,
    inspect: impl FnOnce(&[u8], Option<Digest>) -> Result<Inspected, InspectError> + Send + 'static,
) -> Result<Looked, StartError> {
    let image = component.image.resolve(base);
    let fetched = fetched(fetch, component, &image, by).await?;
    look(fetched, component, image, inspect).await
}

/// Fetches a component.
pub(super) async fn fetched(
    fetch: &dyn Fetch,
    component: &Component,
    image: &Image,
    by: By<'_>,
) -> Result<Fetched, StartError> {
    let pull = &component.pull;
    let fetched = fetch.fetch(Wanted { image, pull, by }).await;
    fetched.map_err(|error| StartError::Fetch {
        component: component.name.clone(),
        source: Arc::new(error),
    })
}

/// Looks at a component that was fetched, on a thread that serves nobody.
pub(super) async fn look(
    fetched: Fetched,
    component: &Component,
    image: Image,
    inspect: impl FnOnce(&[u8], Option<Digest>) -> Result<Inspected, InspectError> + Send + 'static,
) -> Result<Looked, StartError> {
    let Fetched {
        bytes,
        digest,
        pinned,
        hold,
    } = fetched;
    let name = &component.name;
    let inspected = tokio::task::spawn_blocking(move || inspect(&bytes, digest)).await;
    let inspected = inspected.map_err(|_| {
        StartError::Host(format!(
            "looking at component `{name}` crashed; this is a bug worth reporting"
        ))
    })?;
    let inspected = inspected.map_err(|error| StartError::Inspect {
        component: name.clone(),
        image: image.to_string(),
        source: Arc::new(error),
    })?;
    let kept = Kept {
        image: pinned.unwrap_or(image),
        _hold: hold,
    };
    Ok(Looked { inspected, kept })
}
