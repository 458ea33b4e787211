//! What may be used and reached: decided purely, by whoever asks for it.

mod limits;

pub use limits::{Allowance, GuestLimits, InstanceLimits, TooMuch};
