//! Who tells a host what to run: files.

mod file;
#[cfg(feature = "follow")]
mod follow;
mod look;
#[cfg(feature = "follow")]
mod news;
#[cfg(feature = "follow")]
mod places;
mod reconcile;
mod stamp;
#[cfg(feature = "follow")]
mod watch;

pub use file::FileWorkload;
#[cfg(feature = "follow")]
pub use follow::Follower;
pub use look::{Look, Seen, Sources, Version, Versioned, load};
#[cfg(feature = "follow")]
pub use news::{News, Summary};
pub use reconcile::{Action, Desired, Failed, Known, Running, Twin, Wanted, reconcile};
