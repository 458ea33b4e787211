//! Why a workload could not start.

use std::sync::Arc;

use crate::artifact::{FetchError, FetchErrorKind};
use crate::engine::{InspectError, PlanErrors, PrepareError};
use crate::instance::{NoMemory, Owner};
use crate::plugin::PluginError;
use crate::workload::{ComponentName, Unsupported, WorkloadId};

/// Why a workload could not start. Whatever the reason, nothing of it is held.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// Another workload has the id.
    #[error("a workload with the id `{0}` already exists")]
    AlreadyExists(WorkloadId),
    /// It asks for something that this version does not run.
    #[error("{}", .0.iter().map(|unsupported| unsupported.message.clone()).collect::<Vec<_>>().join("\n"))]
    Unsupported(Vec<Unsupported>),
    /// Its settings are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Arc<[PluginError]>),
    /// A component cannot be fetched.
    #[error("component `{component}`: {source}")]
    Fetch {
        /// Which component.
        component: ComponentName,
        /// Why.
        source: Arc<FetchError>,
    },
    /// A component is not what it should be.
    #[error("component `{component}` ({image}): {source}")]
    Inspect {
        /// Which component.
        component: ComponentName,
        /// Where it was taken from.
        image: String,
        /// Why.
        source: Arc<InspectError>,
    },
    /// Its links do not work out.
    #[error(transparent)]
    Plan(Arc<PlanErrors>),
    /// Its components do not compile or do not fit each other.
    #[error(transparent)]
    Prepare(Arc<PrepareError>),
    /// A capability refused it.
    #[error("{plugin}: {source}")]
    Plugin {
        /// Which capability.
        plugin: &'static str,
        /// Why.
        source: Arc<PluginError>,
    },
    /// There is no memory for the first instance of a component.
    #[error("component `{component}` cannot start: {source}")]
    NoMemory {
        /// Which component.
        component: ComponentName,
        /// What it wants and what there is.
        source: NoMemory,
    },
    /// Its service does not come up.
    #[error("{reason}")]
    Service {
        /// Why.
        reason: String,
    },
    /// It was stopped while it started.
    #[error("the workload was stopped while it was starting")]
    Stopped,
    /// The host is shutting down or broke.
    #[error("the host failed: {0}")]
    Host(String),
}

impl StartError {
    /// The same of another component that has the same image.
    pub(super) fn of(&self, name: &ComponentName) -> Self {
        let mut error = self.clone();
        if let Self::Fetch { component, .. } | Self::Inspect { component, .. } = &mut error {
            component.clone_from(name);
        }
        error
    }

    /// The places in the manifest that are to blame, each with a message and what to do: for an excerpt of the file.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        match self {
            Self::Unsupported(list) => list
                .iter()
                .map(|item| Place {
                    path: item.path.clone(),
                    message: item.message.clone(),
                    hint: Some(item.hint.clone()),
                })
                .collect(),
            Self::Plan(errors) => errors
                .0
                .iter()
                .map(|problem| Place {
                    path: problem.path(),
                    message: problem.to_string(),
                    hint: problem.hint(),
                })
                .collect(),
            Self::Fetch { component, .. } | Self::Inspect { component, .. } => {
                vec![Place {
                    path: format!("spec.components.{component}.image"),
                    message: self.to_string(),
                    hint: self.fetch_hint(),
                }]
            }
            Self::NoMemory { component, source } => vec![Place {
                path: format!("spec.components.{component}.localResources.memoryLimitMb"),
                message: self.to_string(),
                hint: Some(match source.owner {
                    Owner::Instance => "raise `memoryLimitMb`".to_owned(),
                    Owner::Workload | Owner::Host => {
                        "stop something else, or give the host more memory for guests".to_owned()
                    }
                }),
            }],
            Self::Settings(errors) => errors
                .iter()
                .map(|error| Place {
                    path: error.path.clone().unwrap_or_else(|| "spec".to_owned()),
                    message: error.to_string(),
                    hint: error.hint.clone(),
                })
                .collect(),
            Self::Plugin { source, .. } => vec![Place {
                path: source.path.clone().unwrap_or_else(|| "spec".to_owned()),
                message: self.to_string(),
                hint: source.hint.clone(),
            }],
            Self::Service { .. } => vec![Place {
                path: "spec.service".to_owned(),
                message: self.to_string(),
                hint: None,
            }],
            _ => vec![Place {
                path: "spec".to_owned(),
                message: self.to_string(),
                hint: None,
            }],
        }
    }

    fn fetch_hint(&self) -> Option<String> {
        let Self::Fetch { source, .. } = self else {
            return None;
        };
        match &source.kind {
            FetchErrorKind::NotFound => Some(
                "build it first, or correct `image`; paths begin at the folder of the manifest"
                    .to_owned(),
            ),
            FetchErrorKind::Registry { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

/// Something wrong at a place of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where, such as `spec.components.api`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}
