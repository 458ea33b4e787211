//! What a component gets to run with: environment, config, limits, mounts, and whether its instances are reused.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::diagnostic::quoted;
use super::egress::AllowedHost;
use super::reach::{AllowedName, HostPort};
use super::secret::SecretName;

/// What one component (or service) gets to run with. Everything in it belongs to that component alone.
#[derive(Clone, Default, PartialEq)]
pub struct LocalResources {
    /// Environment variables. Values may be secrets: `Debug` shows the keys only.
    pub environment: BTreeMap<String, String>,
    /// What `wasi:config` answers. Values may be secrets: `Debug` shows the keys only.
    pub config: BTreeMap<String, String>,
    /// Limits of its own.
    pub limits: Limits,
    /// Volumes of the workload that the component sees, and where.
    pub volume_mounts: Vec<VolumeMount>,
    /// Hosts that requests and connections may go to. Empty: none.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Names that may be looked up. Empty: none.
    pub allowed_ip_name_lookups: Vec<AllowedName>,
    /// Ports of the machine's own loopback that may be reached. Empty: none.
    pub allowed_host_loopback_ports: Vec<HostPort>,
    /// Secrets that may be read, by name. Empty: none.
    pub secrets: Vec<SecretName>,
}

impl fmt::Debug for LocalResources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalResources")
            .field("environment", &Keys(&self.environment))
            .field("config", &Keys(&self.config))
            .field("limits", &self.limits)
            .field("volume_mounts", &self.volume_mounts)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("allowed_ip_name_lookups", &self.allowed_ip_name_lookups)
            .field(
                "allowed_host_loopback_ports",
                &self.allowed_host_loopback_ports,
            )
            .field("secrets", &self.secrets)
            .finish()
    }
}

/// Shows a map's keys and hides its values.
pub(super) struct Keys<'a>(pub(super) &'a BTreeMap<String, String>);

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Limits that a component asks for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of one instance, all its memories and tables together.
    pub memory: Limit<Mebibytes>,
    /// Processor time of one invocation, in milliseconds.
    pub cpu: Limit<Milliseconds>,
    /// Time from the beginning of one invocation to its end, in milliseconds.
    pub time: Limit<Milliseconds>,
}

/// The word of a manifest for [`Limit::Unlimited`].
pub(super) const NO_LIMIT: &str = "none";

/// How much of something a component may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit<T> {
    /// As much as the host gives by default.
    #[default]
    Default,
    /// This much.
    Of(T),
    /// As much as there is. A manifest has to say so in a word.
    Unlimited,
}

impl<T: Copy> Limit<T> {
    /// The amount, if one is given.
    #[must_use]
    pub fn amount(self) -> Option<T> {
        match self {
            Self::Of(amount) => Some(amount),
            Self::Default | Self::Unlimited => None,
        }
    }
}

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milliseconds(pub u32);

impl Milliseconds {
    /// The span.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// An amount of memory in MiB (1,048,576 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mebibytes(pub u32);

impl Mebibytes {
    /// The amount in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        (self.0 as u64) << 20
    }
}

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0)
    }
}

/// Whether instances of a component outlive an invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Every invocation gets a new instance.
    #[default]
    Fresh,
    /// Instances are kept and used again.
    Pooled {
        /// How many instances are kept.
        size: NonZeroU32,
        /// After how many invocations one is retired. `None`: never for that reason.
        max_invocations: Option<NonZeroU32>,
        /// How many invocations one instance serves at once.
        max_concurrency: NonZeroU32,
    },
}

/// Where a component sees a volume of its workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// The volume's name.
    pub name: String,
    /// The absolute path inside the guest, without `.`, `..`, doubled or trailing slashes.
    pub mount_path: String,
    /// Whether writes are refused.
    pub read_only: bool,
}

/// The longest path that a mount may have, in bytes.
const LONGEST_PATH: usize = 1024;

/// Why a text is no path for a mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountPathError {
    /// It does not begin at the root.
    #[error("found {}, wanted an absolute path", quoted(.0))]
    Relative(String),
    /// It cannot be handed to a guest.
    #[error("{} is no path for a mount: it has a control character or more than {LONGEST_PATH} bytes", quoted(.0))]
    Unfit(String),
    /// It leads up.
    #[error("{} goes up with `..`", quoted(.0))]
    Up(String),
}

impl VolumeMount {
    /// A path of a mount in the one form in which two paths to the same place are equal.
    ///
    /// # Errors
    /// When it is no path for a mount.
    pub fn path(text: &str) -> Result<String, MountPathError> {
        if !text.starts_with('/') {
            return Err(MountPathError::Relative(text.to_owned()));
        }
        if text.len() > LONGEST_PATH || text.contains(char::is_control) {
            return Err(MountPathError::Unfit(text.to_owned()));
        }
        let steps = text.split('/').filter(|step| !matches!(*step, "" | "."));
        let steps: Vec<&str> = steps.collect();
        if steps.contains(&"..") {
            return Err(MountPathError::Up(text.to_owned()));
        }
        Ok(format!("/{}", steps.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_shows_a_value() {
        let secret = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
        let resources = LocalResources {
            environment: secret.clone(),
            config: secret,
            ..Default::default()
        };
        let shown = format!("{resources:?}");
        assert!(shown.contains("TOKEN"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn mebibytes_know_their_bytes() {
        assert_eq!(Mebibytes(64).bytes(), 67_108_864);
        assert_eq!(Mebibytes(u32::MAX).bytes(), 4_503_599_626_321_920);
    }
}
