//! A component that the configuration names and no build makes: a file of the project, or an image of a registry.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde_saphyr::Spanned;
use wasmcloud::artifact::{By, Fetch, FetchErrorKind, Wanted};
use wasmcloud::engine::inspect::{World, inspect};
use wasmcloud::workload::{Image, Pull, PullPolicy, Reference};

use super::Project;
use super::config::Checker;
use crate::failure::Failure;

/// Where such a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// A file is relative to the project.
    pub(crate) image: Image,
    /// How it is pulled, if a registry has it.
    pub(crate) pull: Pull,
}

impl Part {
    /// A file of the project.
    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            image: Image::File(path.into()),
            pull: Pull::default(),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.image {
            Image::File(path) => write!(f, "{}", path.display()),
            Image::Registry(reference) => write!(f, "{reference}"),
        }
    }
}

/// The three keys that say it, as they are written, each with its name.
pub(super) struct Written<'a> {
    pub(super) file: Key<'a>,
    pub(super) image: Key<'a>,
    pub(super) policy: Key<'a>,
}

pub(super) type Key<'a> = (&'static str, Option<&'a Spanned<String>>);

impl Written<'_> {
    /// Reads them. Neither a file nor an image is nothing, and no error.
    pub(super) fn read(&self, checker: &mut Checker) -> Option<Part> {
        let (file, image, policy) = (self.file.1, self.image.1, self.policy.1);
        if let (Some(_), Some(image)) = (file, image) {
            let message = format!("both `{}` and `{}` are given", self.file.0, self.image.0);
            checker.error(image, message, "remove one of them");
        }
        if let (None, Some(policy)) = (image, policy) {
            let [policy_key, image_key] = [self.policy.0, self.image.0];
            let message = format!("`{policy_key}` is for `{image_key}`; a file is always read");
            checker.error(policy, message, "remove it");
        }
        let hint = "write the place of an image, such as registry.example/shop/cart:1.2";
        let reference = image.map(|text| parsed::<Reference>(checker, text, hint));
        let hint = "write `Always`, `IfNotPresent` or `Never`";
        let policy = policy.map(|text| parsed::<PullPolicy>(checker, text, hint));
        match (file, reference) {
            (Some(file), _) => Some(Part::file(&file.value)),
            (None, reference) => Some(Part {
                image: Image::Registry(reference??),
                pull: Pull {
                    policy: policy.flatten(),
                    secret: None,
                },
            }),
        }
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(
    checker: &mut Checker,
    text: &Spanned<String>,
    hint: &str,
) -> Option<T> {
    let parsed = text.value.parse::<T>();
    parsed
        .map_err(|error| checker.error(text, error.to_string(), hint))
        .ok()
}

/// What the components are that the configuration names, by where they come from.
pub(crate) type Worlds = BTreeMap<Image, Arc<World>>;

/// Looks at the components that the configuration names. A file that cannot be read is left out: starting the workload tells of it.
/// Without a source, images are left out as well.
pub(crate) async fn worlds(
    project: &Project,
    source: Option<&dyn Fetch>,
) -> Result<Worlds, Failure> {
    let mut worlds = Worlds::new();
    for part in project.config.parts() {
        let world = match &part.image {
            Image::File(file) => of_file(&project.dir.join(file)),
            Image::Registry(_) => match source {
                Some(source) => Some(of_image(part, source).await?),
                None => None,
            },
        };
        worlds.extend(world.map(|world| (part.image.clone(), world)));
    }
    Ok(worlds)
}

fn of_file(file: &Path) -> Option<Arc<World>> {
    let bytes = std::fs::read(file).ok()?;
    inspect(&bytes).ok().map(|inspected| inspected.world)
}

async fn of_image(part: &Part, source: &dyn Fetch) -> Result<Arc<World>, Failure> {
    let wanted = Wanted {
        image: &part.image,
        pull: &part.pull,
        by: By::Host,
    };
    let fetched = source.fetch(wanted).await.map_err(|error| {
        let failure = Failure::new(error.to_string());
        match error.kind {
            FetchErrorKind::Registry {
                hint: Some(hint), ..
            } => failure.hint(hint),
            _ => failure,
        }
    })?;
    let inspected = inspect(&fetched.bytes);
    let inspected = inspected.map_err(|error| Failure::new(format!("`{part}`: {error}")))?;
    Ok(inspected.world)
}
