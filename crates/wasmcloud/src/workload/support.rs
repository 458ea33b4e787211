//! The one list of what manifests can say and this version does not run yet.
//!
//! Such things are refused before anything starts, so nobody believes in a limit that is not there.

use super::model::{LinkKind, Workload};

/// One thing a workload asks for that this version does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Where it is in the manifest, such as `spec.components.api.poolSize`.
    pub path: String,
    /// What is not done.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Everything in the workload that this version does not run yet, in the order of the manifest's fields.
#[must_use]
pub fn unsupported(workload: &Workload) -> Vec<Unsupported> {
    let mut found = Vec::new();
    for (index, link) in workload.links.iter().enumerate() {
        if link.kind == LinkKind::Remote {
            let path = format!("spec.links.{index}.kind");
            let message = format!("`{}` links are not made yet", link.kind);
            push(
                &mut found,
                path,
                &message,
                "use `kind: isolated` or `kind: fused`, or leave `kind` out",
            );
        }
    }
    #[cfg(not(feature = "secrets"))]
    for component in workload.parts() {
        if !component.local_resources.secrets.is_empty() {
            let path = format!("spec.components.{}.localResources.secrets", component.name);
            let hint = "take a host with the feature `secrets`, or remove it";
            push(
                &mut found,
                path,
                "this host was built without secrets",
                hint,
            );
        }
    }
    found
}

fn push(found: &mut Vec<Unsupported>, path: String, message: &str, hint: &str) {
    found.push(Unsupported {
        path,
        message: message.to_owned(),
        hint: hint.to_owned(),
    });
}
