//! Who tells a host what to run: files.

mod file;
#[cfg(feature = "follow")]
mod follow;
mod look;
#[cfg(feature = "follow")]
mod places;
mod reconcile;
#[cfg(feature = "follow")]
mod watch;

pub use file::FileWorkload;
#[cfg(feature = "follow")]
pub use follow::{Follower, News, Summary};
pub use look::{Look, Seen, Sources, Version, Versioned, load};
pub use reconcile::{Action, Desired, Failed, Known, Running, Twin, Wanted, reconcile};
