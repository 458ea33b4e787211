//! What may be used and reached: decided purely, by whoever asks for it.

mod limits;
#[cfg(any(feature = "oci", feature = "secrets"))]
pub(crate) mod private_file;

pub use limits::{Allowance, GuestLimits, InstanceLimits, TooMuch};
mod address;
mod egress;
pub use address::AddressClass;
pub use egress::{Denial, EgressHints, EgressMode, EgressOptions, EgressPolicy, Verdict};
