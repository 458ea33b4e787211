//! Calls that a clock makes: the `schedules` of a manifest.
//!
//! When something is due is decided without a clock at hand, by values that are told what time it is; see `agenda`.

mod agenda;
mod board;
mod plugin;
mod timetable;

pub use plugin::Schedules;
pub use timetable::{Timetable, TimetableError, Wrong};
