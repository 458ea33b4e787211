//! Where guests' lines go: standard output, standard error and log calls, labelled with who wrote them.

use std::fmt;

use crate::workload::{ComponentName, Namespace, WorkloadName};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Step-by-step detail.
    Trace,
    /// Detail for whoever looks for a fault.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Odd, but coped with.
    Warn,
    /// Something failed, or the component cannot go on.
    Error,
}

/// Which way a line left the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A log call, with its level.
    Log(LogLevel),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log(LogLevel::Trace) => "trace",
            Self::Log(LogLevel::Debug) => "debug",
            Self::Log(LogLevel::Info) => "info",
            Self::Log(LogLevel::Warn) => "warn",
            Self::Log(LogLevel::Error) => "error",
        })
    }
}

/// One line that a guest wrote.
#[derive(Clone, Copy, Debug)]
pub struct GuestLine<'a> {
    /// The workload's namespace.
    pub namespace: &'a Namespace,
    /// The workload.
    pub workload: &'a WorkloadName,
    /// The component, also when it is fused with others.
    pub component: &'a ComponentName,
    /// Which way it came.
    pub source: Source,
    /// The context of a log call; empty otherwise.
    pub context: &'a str,
    /// The line without its line feed. Whatever bytes the guest wrote that are not UTF-8 are replaced.
    pub text: &'a str,
}

/// Receives guests' lines. Called on the threads that run guests: it must not block.
pub trait GuestOutput: Send + Sync + 'static {
    /// Takes one line.
    fn line(&self, line: GuestLine<'_>);
}

/// Hands guests' lines to `tracing` under the target `guest`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingOutput;

impl GuestOutput for TracingOutput {
    fn line(&self, line: GuestLine<'_>) {
        macro_rules! emit {
            ($level:ident) => {
                tracing::event!(
                    target: "guest",
                    tracing::Level::$level,
                    namespace = %line.namespace,
                    workload = %line.workload,
                    component = %line.component,
                    source = %line.source,
                    context = line.context,
                    "{}",
                    line.text
                )
            };
        }
        match line.source {
            Source::Log(LogLevel::Trace) => emit!(TRACE),
            Source::Log(LogLevel::Debug) => emit!(DEBUG),
            Source::Stdout | Source::Stderr | Source::Log(LogLevel::Info) => emit!(INFO),
            Source::Log(LogLevel::Warn) => emit!(WARN),
            Source::Log(LogLevel::Error) => emit!(ERROR),
        }
    }
}
