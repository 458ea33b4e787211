//! The plugin: checks what components were given against what there is, and opens the stores of a workload.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::LinkerInstance;

use super::environment::Environment;
use super::guarded::{Guarded, REFUSED};
use super::held::Held;
use super::settings::{Backend, Source, concerns, sources};
use super::values::Values;
use super::vault::Vault;
use super::{KEY_VARIABLE, SecretStore, SecretsOptions, Variables, files, p3};
use crate::plugin::{
    BindRequest, Binding, Grant, Import, Offer, Plugin, PluginError, State, StoreData,
};
use crate::workload::{ComponentName, Interface, SecretName, Workload, nearest};

const ID: &str = "wasmcloud-secrets";
/// The version that it serves.
const VERSION: semver::Version = semver::Version::new(2, 1, 0);

/// The plugin for secrets.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// None where no host is configured.
    options: Option<Arc<SecretsOptions>>,
    /// Where the encrypted store is; without a data folder there is none.
    vault: Option<Vault>,
    /// What no manifest gets as a file.
    guarded: Guarded,
}

/// What the host functions see of one workload.
pub(super) struct Bound {
    /// For `store`, where there is an entry for it.
    pub(super) plain: Option<Held>,
    /// For each label: the name of the secret where it is kept, and the store.
    pub(super) labelled: BTreeMap<SecretName, (SecretName, Held)>,
    /// Which component may read what.
    pub(super) given: HashMap<ComponentName, HashSet<SecretName>>,
    /// The components that ask `store`, which cannot tell one from another.
    pub(super) asking: HashSet<ComponentName>,
}

impl Bound {
    /// Whether a component may read a secret.
    pub(super) fn may(&self, component: &ComponentName, name: &SecretName) -> bool {
        let given = self.given.get(component);
        given.is_some_and(|given| given.contains(name))
    }
}

struct Holder(Arc<Bound>);

impl Binding for Holder {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.0)))
    }
}

impl Secrets {
    /// A plugin that reads what the options allow, and the encrypted store of a data folder.
    #[must_use]
    pub fn new(options: SecretsOptions, data: Option<&Path>) -> Self {
        let key_file = options.key_file.as_deref();
        let vault = data.map(|data| Vault::new(data, key_file));
        // A key may be there for a store that is not.
        let files = vault.as_ref().map_or_else(
            || key_file.map(Path::to_owned).into_iter().collect(),
            Vault::files,
        );
        Self {
            guarded: Guarded::new(files, data),
            vault,
            options: Some(Arc::new(options)),
        }
    }

    /// What a workload may read of the environment, where a host is configured.
    fn variables(&self, workload: &Workload) -> Option<Vec<Variables>> {
        let options = self.options.as_ref()?;
        Some(options.variables(workload))
    }

    fn open(
        &self,
        source: &Source,
        request: &BindRequest<'_>,
    ) -> Result<Arc<dyn SecretStore>, PluginError> {
        let at = |field: &str| format!("spec.hostInterfaces.{}.config.{field}", source.index);
        Ok(match &source.backend {
            Backend::Values(values) => Arc::new(Values::new(values.clone())),
            Backend::Environment { prefix } => {
                let allowed = self.variables(request.workload).unwrap_or_default();
                Arc::new(Environment::new(prefix.clone(), allowed))
            }
            Backend::File { path } => {
                let opened = self.file(Path::new(path), source, request);
                opened.map_err(|error| error.at(at("path")))?
            }
            Backend::Encrypted { tenant } => match &self.vault {
                Some(vault) => Arc::new(vault.of(tenant)),
                None => {
                    let message = "the host has no data folder, so it has no encrypted store";
                    let hint = "start it with a data folder, such as `wasmcloud run --data-dir`";
                    return Err(PluginError::new(message).hint(hint).at(at("backend")));
                }
            },
        })
    }

    /// Where a path of the manifest leads, if the host lets the workload read there.
    fn file(
        &self,
        path: &Path,
        source: &Source,
        request: &BindRequest<'_>,
    ) -> Result<Arc<dyn SecretStore>, PluginError> {
        let path = request.base.join(path);
        let (folder, name) = match path.file_name() {
            Some(name) if files::is_document(&path) => (path.parent(), Some(name)),
            _ => (Some(path.as_path()), None),
        };
        let folder = folder.unwrap_or(Path::new("."));
        let options = self.options.iter();
        let allowed = options.flat_map(|options| options.folders(request.workload));
        let found = folder.canonicalize();
        for root in allowed {
            let inside = match (root.canonicalize(), &found) {
                (Ok(root), Ok(found)) => found.strip_prefix(&root).ok().map(|it| (root, it)),
                // Of other folders it is not told whether they are there.
                (_, Err(error)) if plainly_below(folder, root) => {
                    let hint = "name a folder with a file for each secret, or a YAML or JSON file with all";
                    let message = format!("`{}`: {error}", folder.display());
                    return Err(PluginError::new(message).hint(hint));
                }
                _ => None,
            };
            if let Some((root, inside)) = inside {
                let inside = name.map_or_else(|| inside.to_owned(), |name| inside.join(name));
                self.must_not_guard(&root.join(&inside), source, request.workload)?;
                return Ok(files::at(&root, &inside, &self.guarded));
            }
        }
        let folder = folder.display();
        let message = format!("the host lets this workload read no secrets in `{folder}`");
        let hint = "allow the folder in the host's configuration, under `secrets.folders`; `wash dev` allows the one of the project";
        Err(PluginError::new(message).hint(hint))
    }

    /// Refuses what the host keeps for itself, where it shows when a workload starts.
    fn must_not_guard(
        &self,
        path: &Path,
        source: &Source,
        workload: &Workload,
    ) -> Result<(), PluginError> {
        let folder = match files::is_document(path) {
            true => path.parent().unwrap_or(path),
            false => path,
        };
        if self.guarded.has_folder(folder) {
            let folder = folder.display();
            let message = format!("the host keeps what is its own in `{folder}`");
            let hint = "keep files with secrets in a folder that is not below the data folder of the host; what `wash secrets set` keeps there is had with `backend: encrypted`";
            return Err(PluginError::new(message).hint(hint));
        }
        let names = workload.parts().flat_map(|it| &it.local_resources.secrets);
        let key = |name| match &source.label {
            Some((label, key)) => (label == name).then_some(key),
            None => Some(name),
        };
        let named = names.filter_map(key).map(|name| path.join(name.as_str()));
        let mut all = named.chain([path.to_owned()]);
        match all.find(|path| self.guarded.has_path(path)) {
            Some(path) => {
                let message = format!("`{}`: {REFUSED}", path.display());
                Err(PluginError::new(message))
            }
            None => Ok(()),
        }
    }

    /// What is given to components and cannot be had.
    fn check_given(&self, workload: &Workload, sources: &[Source]) -> Vec<PluginError> {
        let mut errors = Vec::new();
        for component in workload.parts() {
            for name in &component.local_resources.secrets {
                let labelled = sources.iter().find(|it| is_for(it, Some(name)));
                let source = labelled.or_else(|| sources.iter().find(|it| is_for(it, None)));
                if let Some(error) = self.cannot_be_had(workload, name, source) {
                    let path = format!("spec.components.{}.localResources.secrets", component.name);
                    errors.push(error.at(path));
                }
            }
        }
        errors
    }

    fn cannot_be_had(
        &self,
        workload: &Workload,
        name: &SecretName,
        source: Option<&Source>,
    ) -> Option<PluginError> {
        let Some(source) = source else {
            let message =
                format!("nothing in `hostInterfaces` says where the secret `{name}` comes from");
            let hint = "add an entry for `wasmcloud:secrets` with `store` and `reveal`";
            return Some(PluginError::new(message).hint(hint));
        };
        let key = source.label.as_ref().map_or(name, |(_, key)| key);
        match &source.backend {
            Backend::Values(values) if !values.contains_key(key) => {
                let near = nearest(key.as_str(), values.keys().map(SecretName::as_str));
                let hint = near.map_or_else(
                    || "add it to the `config` of the entry".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                let message = format!("the entry for `wasmcloud:secrets` holds no secret `{key}`");
                Some(PluginError::new(message).hint(hint))
            }
            Backend::Environment { prefix } => self.no_variable(workload, name, prefix, key),
            _ => None,
        }
    }

    /// What is wrong with a secret that is a variable.
    fn no_variable(
        &self,
        workload: &Workload,
        name: &SecretName,
        prefix: &str,
        key: &SecretName,
    ) -> Option<PluginError> {
        let allowed = self.variables(workload);
        let environment = Environment::new(prefix.to_owned(), allowed.clone().unwrap_or_default());
        let (variable, covered) = environment.variable(key);
        if variable == KEY_VARIABLE {
            let message = format!(
                "the secret `{name}` is the variable `{variable}`, the key of the encrypted store, which no workload may read"
            );
            let hint = "keep the secret in another variable";
            return Some(PluginError::new(message).hint(hint));
        }
        // What a host allows is not known where there is none.
        allowed?;
        (!covered).then(|| {
            let message = format!(
                "the secret `{name}` is the variable `{variable}`, which the host does not let this workload read"
            );
            let hint = "allow it in the host's configuration, under `secrets.environment`, or for `wash dev` with `--allow-env`";
            PluginError::new(message).hint(hint)
        })
    }
}

/// Whether a path leads below a folder as it is written, without a way up.
fn plainly_below(path: &Path, folder: &Path) -> bool {
    let up = |step| step == std::path::Component::ParentDir;
    path.starts_with(folder) && !path.components().any(up)
}

/// Whether an entry is for that label, or for the plain import.
fn is_for(source: &Source, label: Option<&SecretName>) -> bool {
    source.label.as_ref().map(|(label, _)| label) == label
}

/// Secrets that stand in the manifest and are given to nobody.
fn check_sources(workload: &Workload, sources: &[Source]) -> Vec<PluginError> {
    let given: BTreeSet<&SecretName> = workload
        .parts()
        .flat_map(|component| &component.local_resources.secrets)
        .collect();
    let mut errors = Vec::new();
    for source in sources {
        let at = format!("spec.hostInterfaces.{}", source.index);
        let names: Vec<(&SecretName, String)> = match (&source.label, &source.backend) {
            (Some((label, _)), _) => vec![(label, format!("{at}.name"))],
            (None, Backend::Values(values)) => {
                let place = |name| (name, format!("{at}.config.{name}"));
                values.keys().map(place).collect()
            }
            (None, _) => Vec::new(),
        };
        for (name, place) in names.into_iter().filter(|(name, _)| !given.contains(name)) {
            let message = format!("no component is given the secret `{name}`");
            let hint = "list it in `localResources.secrets` of each component that may read it";
            errors.push(PluginError::new(message).hint(hint).at(place));
        }
    }
    errors
}

#[async_trait]
impl Plugin for Secrets {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self) -> Vec<Offer> {
        let offer = |name: &str, identity| Offer {
            interface: Interface {
                namespace: "wasmcloud".to_owned(),
                package: "secrets".to_owned(),
                name: name.to_owned(),
                version: Some(VERSION),
            },
            grant: Grant::Listed,
            identity,
            configurable: true,
        };
        // `store` defines the handle, so it cannot tell who asks; a value is had through the other two only.
        vec![
            offer("store", false),
            offer("reveal", true),
            offer("secret", true),
        ]
    }

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        let (sources, mut errors) = sources(workload, ID);
        if errors.is_empty() {
            errors.extend(check_sources(workload, &sources));
            errors.extend(self.check_given(workload, &sources));
        }
        errors
    }

    fn is_wanted(&self, workload: &Workload) -> bool {
        workload.host_interfaces.iter().any(concerns)
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let (sources, errors) = sources(request.workload, ID);
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
        let (mut plain, mut labelled) = (None, BTreeMap::new());
        for source in &sources {
            let store = self.open(source, &request)?;
            match &source.label {
                None => plain = Some(Held::new(store)),
                Some((label, key)) => {
                    let held = Held::keeping(store);
                    must_be_there(&held, label, key, source.index).await?;
                    labelled.insert(label.clone(), (key.clone(), held));
                }
            }
        }
        let given = request.workload.parts().map(|component| {
            let names = component.local_resources.secrets.iter().cloned();
            (component.name.clone(), names.collect())
        });
        let asking = request.uses.iter().filter(|(_, it)| it.name == "store");
        Ok(Box::new(Holder(Arc::new(Bound {
            plain,
            labelled,
            given: given.collect(),
            asking: asking.map(|(component, _)| component.clone()).collect(),
        }))))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        p3::link(import, linker)
    }
}

/// An import by a label cannot say that its secret is missing, so it has to be there from the beginning.
async fn must_be_there(
    held: &Held,
    label: &SecretName,
    key: &SecretName,
    index: usize,
) -> Result<(), PluginError> {
    let at = format!("spec.hostInterfaces.{index}");
    match held.get(key).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => {
            let message = format!("there is no secret `{key}` for the import `{label}`");
            let hint = "an import by a label needs its secret when the workload starts";
            Err(PluginError::new(message).hint(hint).at(at))
        }
        Err(error) => {
            let message = format!("the secret for the import `{label}` cannot be read: {error}");
            Err(PluginError::new(message).at(at))
        }
    }
}

#[cfg(test)]
mod tests;
