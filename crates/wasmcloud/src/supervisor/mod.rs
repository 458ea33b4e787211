//! Who tells a host what to run: files now.

mod file;

pub use file::{FileWorkload, load};
