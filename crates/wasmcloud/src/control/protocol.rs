//! What is asked and answered. Each is one line of JSON that says which version of this it is.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version that this program speaks.
pub const VERSION: u32 = 1;

/// What is asked: `{"version": 1, "command": {"call": {…}}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The version of the protocol.
    pub version: u32,
    /// What is to be done.
    pub command: Command,
}

/// The one field that every version has.
#[derive(Deserialize)]
pub(super) struct AnyVersion {
    pub(super) version: u32,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Tell how the workloads are.
    Status,
    /// Call a function.
    Call(Call),
    /// Run a schedule now.
    RunSchedule(RunSchedule),
}

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The workload: its name, or `namespace/name`.
    pub workload: String,
    /// The component, where several export the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The function: `namespace:package/interface@1.2.3#function`, or less where that is clear.
    pub function: String,
    /// The arguments, in WAVE.
    #[serde(default)]
    pub args: Vec<String>,
}

/// A run of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSchedule {
    /// The workload: its name, or `namespace/name`.
    pub workload: String,
    /// The schedule.
    pub schedule: String,
}

/// What is answered: `{"version": 1, "answer": {…}}`, or `status`, or `error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The version of the protocol.
    pub version: u32,
    /// Which of the three, and what it says.
    #[serde(flatten)]
    pub answered: Answered,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answered {
    /// The function returned.
    Answer {
        /// Its result in WAVE; empty if it returns nothing.
        wave: String,
        /// Its result in JSON.
        result: Value,
        /// Whether it says that it failed: it returned `err`.
        err: bool,
    },
    /// How the workloads are.
    Status(StatusReply),
    /// It could not be done.
    Error(Problem),
}

/// How the workloads are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReply {
    /// Where the host serves HTTP, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// Each as [`WorkloadStatus`](crate::host::WorkloadStatus) has it, without its plan.
    pub workloads: Vec<Value>,
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What a line asks for.
pub(super) fn parse(line: &[u8]) -> Result<Command, Problem> {
    let wrong = |error: serde_json::Error| {
        Problem::new(format!("the question is not understood: {error}"))
            .hint("ask for `status`, `call` or `run-schedule`, in one line of JSON")
    };
    let AnyVersion { version } = serde_json::from_slice(line).map_err(wrong)?;
    if version != VERSION {
        return Err(Problem::new(format!(
            "the question is of version {version} of the protocol, and this host knows version {VERSION}"
        ))
        .hint("use a `wash` of the same version as the host"));
    }
    let question: Question = serde_json::from_slice(line).map_err(wrong)?;
    Ok(question.command)
}

/// A line for an answer.
pub(super) fn line(answered: Answered) -> Vec<u8> {
    let reply = Reply {
        version: VERSION,
        answered,
    };
    let mut line = serde_json::to_vec(&reply).unwrap_or_default();
    line.push(b'\n');
    line
}
