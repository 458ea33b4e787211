//! A way into a running host for programs of the same user on the same machine: a socket in a private folder, one question and one
//! answer a line, in JSON.
//!
//! What may be asked is little: how the workloads are, a call of a function, a run of a schedule. Whoever goes away before the answer
//! ends what was asked for.

mod client;
mod protocol;
mod server;
mod socket;

pub use client::{AskError, Client};
pub use protocol::{
    Answered, Call, Command, Problem, Question, Reply, RunSchedule, StatusReply, VERSION,
};
pub use server::Control;
pub use socket::{PlaceError, SocketPath};
