//! What a workload is: names, interface ids, and manifests read into validated types.
//!
//! Everything here is pure: text goes in, values or diagnostics come out.

mod diagnostic;
mod digest;
mod egress;
mod function;
mod interface;
pub mod manifest;
mod model;
mod names;
mod ports;
mod pull;
mod reach;
mod reference;
mod resources;
mod schedule;
mod secret;
mod support;
mod units;
mod value;
mod yaml;

pub(crate) use diagnostic::quoted;
pub use diagnostic::{Diagnostic, Diagnostics, nearest};
pub use digest::{Digest, DigestError};
pub use egress::{AllowedHost, AllowedHostError, Destination, HostPattern, RemoteHost, Scheme};
pub use function::{
    ArgumentError, Export, Function, FunctionName, FunctionNameError, NotChosen, NotThere,
};
pub use interface::{Interface, InterfaceError};
pub use manifest::{Locations, Manifest};
pub use model::{
    Component, HostInterface, Image, ImageError, Link, LinkKind, LinkTarget, Service, Volume,
    VolumeSource, Workload,
};
pub use names::{
    ComponentName, HostId, NameError, Namespace, ScheduleName, WorkloadId, WorkloadName,
};
pub use ports::{PortNameError, PortTls, PublishedPort};
pub use pull::{Pull, PullPolicy, PullPolicyError};
pub use reach::{AllowedName, HostPort, Protocol, ReachError};
pub use reference::{Reference, ReferenceError};
pub use resources::{
    Limit, Limits, LocalResources, Mebibytes, Milliseconds, MountPathError, Reuse, VolumeMount,
};
pub use schedule::{ConcurrencyPolicy, MissedRuns, Schedule};
pub use secret::{SecretName, SecretNameError};
pub use support::{Unsupported, unsupported};
pub use units::{duration, size};
pub(crate) use value::Outline;
pub use value::ValueType;
pub use yaml::decode_yaml;
pub(crate) use yaml::{MAX_BYTES, position, source_of};
