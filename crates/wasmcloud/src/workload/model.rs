//! The validated workload: what the planner, the host and `wash` work with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component as Step, Path, PathBuf};
use std::str::FromStr;

use semver::Version;

use super::diagnostic::quoted;
use super::interface::{self, Interface, InterfaceError};
use super::names::{ComponentName, Namespace, WorkloadName};
use super::ports::PublishedPort;
use super::pull::Pull;
use super::reference::Reference;
use super::resources::{Keys, Limit, LocalResources, Mebibytes, Reuse};
use super::schedule::Schedule;

/// A set of components and what they need, under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The tenant.
    pub namespace: Namespace,
    /// The name inside the namespace.
    pub name: WorkloadName,
    /// Descriptive text for people and tools. The host does not act on it.
    pub annotations: BTreeMap<String, String>,
    /// Descriptive labels, such as those an orchestrator selects by. The host does not act on them.
    pub labels: BTreeMap<String, String>,
    /// The components, in the order of the manifest. Their names are unique.
    pub components: Vec<Component>,
    /// The long-lived part, if any.
    pub service: Option<Service>,
    /// What the host is asked to grant, and how it is configured.
    pub host_interfaces: Vec<HostInterface>,
    /// Who answers which import, where the defaults do not suit.
    pub links: Vec<Link>,
    /// Folders that components may mount. Their names are unique.
    pub volumes: Vec<Volume>,
    /// What a clock calls. Their names are unique.
    pub schedules: Vec<Schedule>,
}

impl Workload {
    /// Everything in it that runs: the components, and the service behind them.
    pub fn parts(&self) -> impl Iterator<Item = &Component> {
        let service = self.service.iter().map(|service| &service.component);
        self.components.iter().chain(service)
    }

    /// The component of that name; the service goes by the name `service`.
    #[must_use]
    pub fn component(&self, name: &ComponentName) -> Option<&Component> {
        self.parts().find(|component| component.name == *name)
    }

    /// Whether that name is the service's.
    #[must_use]
    pub fn is_service(&self, name: &ComponentName) -> bool {
        let service = self.service.as_ref();
        service.is_some_and(|service| service.component.name == *name)
    }
}

/// One component of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Its name, unique in the workload.
    pub name: ComponentName,
    /// Where its bytes come from.
    pub image: Image,
    /// How it is pulled, if a registry has it.
    pub pull: Pull,
    /// What it runs with.
    pub local_resources: LocalResources,
    /// Whether its instances are reused.
    pub reuse: Reuse,
}

/// The long-lived component of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The component. There is one instance of it at a time, so it has no [`Reuse`] to choose.
    pub component: Component,
    /// How often it is started again after a crash, in a row. Once it has been well for a while, it counts from the beginning.
    pub max_restarts: u64,
    /// Its ports that can be reached from outside the workload. None unless the manifest lists them.
    pub ports: Vec<PublishedPort>,
}

impl Service {
    /// A service that publishes nothing; its name is always `service`.
    #[must_use]
    pub fn new(image: Image, local_resources: LocalResources, max_restarts: u64) -> Self {
        Self {
            component: Component {
                name: ComponentName::service(),
                image,
                pull: Pull::default(),
                local_resources,
                reuse: Reuse::Fresh,
            },
            max_restarts,
            ports: Vec::new(),
        }
    }
}

/// Where the bytes of a component come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Image {
    /// A file. As parsed it is relative to the manifest; see [`Image::resolve`].
    File(PathBuf),
    /// What a registry has.
    Registry(Reference),
}

impl Image {
    /// The image with a relative file path taken from the folder `base`.
    #[must_use]
    pub fn resolve(&self, base: &Path) -> Self {
        match self {
            Self::File(path) => {
                let steps = path.components().filter(|step| *step != Step::CurDir);
                Self::File(base.join(steps.collect::<PathBuf>()))
            }
            Self::Registry(_) => self.clone(),
        }
    }
}

/// Text that is neither a file nor a registry reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no image: {problem}; wanted a file such as `./api.wasm`, or `registry/repository:tag`", quoted(.found))]
pub struct ImageError {
    found: String,
    problem: String,
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let fail = |problem: &str| {
            Err(ImageError {
                found: text.to_owned(),
                problem: problem.to_owned(),
            })
        };
        if text.chars().any(char::is_control) {
            return fail("it holds a control character");
        }
        if let Some(rest) = text.strip_prefix("file:") {
            return match rest.strip_prefix("//") {
                Some(path) if !path.starts_with('/') => fail("its URL names another machine"),
                _ if rest.is_empty() => fail("it names no file"),
                path => Ok(Self::File(path.unwrap_or(rest).into())),
            };
        }
        let path_like = ["./", "../", "/"]
            .iter()
            .any(|start| text.starts_with(start));
        if path_like || (text.ends_with(".wasm") && !text.contains(':')) {
            return Ok(Self::File(text.into()));
        }
        if text.starts_with("artifact://") {
            return fail("artifacts are resources of a cluster, which a host does not see");
        }
        if text.contains("://") {
            return fail("URLs are not fetched");
        }
        if !text.contains('/') {
            return fail("it has neither the form of a path nor that of a reference");
        }
        match text.parse::<Reference>() {
            Ok(reference) => Ok(Self::Registry(reference)),
            Err(error) => fail(&error.problem().to_string()),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::File(path) => {
                let text = path.display().to_string();
                match text.parse() {
                    Ok(Self::File(same)) if same == *path => f.write_str(&text),
                    _ => write!(f, "file:{text}"),
                }
            }
        }
    }
}

/// Interfaces of one package that the host is asked for, and their configuration.
#[derive(Clone, PartialEq)]
pub struct HostInterface {
    /// The import label it is for. `None`: the plain interface.
    pub name: Option<String>,
    /// The namespace of the package, such as `wasi`.
    pub namespace: String,
    /// The package, such as `http`.
    pub package: String,
    /// The interfaces of the package. Never empty.
    pub interfaces: BTreeSet<String>,
    /// The version of the package; without one, any version fits.
    pub version: Option<Version>,
    /// Configuration for the plugin. Values may be secrets: `Debug` shows the keys only.
    pub config: BTreeMap<String, String>,
}

impl HostInterface {
    /// Whether this entry speaks of the interface.
    #[must_use]
    pub fn covers(&self, interface: &Interface) -> bool {
        self.namespace == interface.namespace
            && self.package == interface.package
            && self.interfaces.contains(&interface.name)
            && interface::compatible(self.version.as_ref(), interface.version.as_ref())
    }

    /// Whether this entry asks for HTTP requests to be routed to the workload (WASI 0.2 or 0.3).
    #[must_use]
    pub fn is_http_handler(&self) -> bool {
        let handler = |name| self.interfaces.contains(name);
        self.namespace == "wasi"
            && self.package == "http"
            && (handler("incoming-handler") || handler("handler"))
    }
}

impl fmt::Debug for HostInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostInterface")
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .field("package", &self.package)
            .field("interfaces", &self.interfaces)
            .field("version", &self.version)
            .field("config", &Keys(&self.config))
            .finish()
    }
}

impl FromStr for HostInterface {
    type Err = InterfaceError;

    /// Reads the short form, `namespace:package/one,two@1.2.3`, which has no name and no config.
    fn from_str(text: &str) -> Result<Self, InterfaceError> {
        let (namespace, package, names, version) = interface::split(text)?;
        interface::check_words(text, &[("namespace", namespace), ("package", package)])?;
        for name in names.split(',') {
            interface::check_words(text, &[("interface", name)])?;
        }
        Ok(Self {
            name: None,
            namespace: namespace.to_owned(),
            package: package.to_owned(),
            interfaces: names.split(',').map(str::to_owned).collect(),
            version,
            config: BTreeMap::new(),
        })
    }
}

impl fmt::Display for HostInterface {
    /// Writes the short form; name and config do not show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.interfaces.iter().map(String::as_str).collect();
        write!(f, "{}:{}/{}", self.namespace, self.package, names.join(","))?;
        match &self.version {
            Some(version) => write!(f, "@{version}"),
            None => Ok(()),
        }
    }
}

/// Who answers an import, and over what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whose import it is. `None`: the outside world, so the link chooses whose export is the entry.
    pub from: Option<ComponentName>,
    /// The interface; without a version it stands for every version.
    pub import: Interface,
    /// Who answers.
    pub to: LinkTarget,
    /// Over what.
    pub kind: LinkKind,
}

/// Who answers a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkTarget {
    /// A component of the same workload.
    Component(ComponentName),
    /// The host, through a plugin.
    Host,
}

impl fmt::Display for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(name) => name.fmt(f),
            Self::Host => f.write_str("host"),
        }
    }
}

/// Over what a link goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// Both sides are compiled into one component: nanoseconds.
    Fused,
    /// The callee has its own store and limits: microseconds.
    Isolated,
    /// A plugin of the host answers.
    Host,
    /// The callee runs on another host: a network call.
    Remote,
}

impl LinkKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Fused, Self::Isolated, Self::Host, Self::Remote];

    /// The word a manifest uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::Isolated => "isolated",
            Self::Host => "host",
            Self::Remote => "remote",
        }
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A folder that components may mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name, unique in the workload.
    pub name: String,
    /// What is behind it.
    pub source: VolumeSource,
}

/// What is behind a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A folder of the machine, by its absolute path.
    HostPath(PathBuf),
    /// An empty folder that dies with the workload, and how much it may hold.
    Ephemeral(Limit<Mebibytes>),
}

#[cfg(test)]
mod tests;
