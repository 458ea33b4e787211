//! Where guests' lines go: standard output, standard error and log calls, labelled with who wrote them.

use std::borrow::Cow;
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

/// How many bytes of a text reach the log.
const LONGEST_TEXT: usize = 8 << 10;

/// Hands guests' lines to `tracing` under the target `guest`.
///
/// Each is one line of the log, whatever the guest wrote: control characters and those that turn the direction of writing are
/// escaped, and beyond 8 KiB it is cut.
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
                    context = &*loggable(line.context),
                    "{}",
                    loggable(line.text)
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

/// A text that cannot pass for anything but a part of its line.
fn loggable(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT && !text.contains(is_deceptive) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for c in text.chars() {
        let before = shown.len();
        if is_deceptive(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        if shown.len() > LONGEST_TEXT {
            shown.truncate(before);
            shown.push('…');
            break;
        }
    }
    Cow::Owned(shown)
}

/// Whether a character ends a line, steers a terminal, or makes text look like other text.
fn is_deceptive(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log has of one line.
    fn logged(context: &str, text: &str) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let (namespace, workload) = (Namespace::default(), "shop".parse().unwrap());
        let line = GuestLine {
            namespace: &namespace,
            workload: &workload,
            component: &"front".parse().unwrap(),
            source: Source::Log(LogLevel::Error),
            context,
            text,
        };
        tracing::subscriber::with_default(log, || TracingOutput.line(line));
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_honest_line_is_logged_as_it_is() {
        let log = logged("orders", "größe 日本 \"x\"");
        assert!(log.contains("größe 日本 \"x\""), "{log}");
        assert!(log.contains("context=\"orders\""), "{log}");
    }

    #[test]
    fn a_guest_cannot_forge_lines() {
        let evil = "a\n2026-01-01 ERROR host: b\r\u{1b}[2J\u{85}\u{202e}\u{2066}\u{2028}\u{7}c";
        let log = logged(evil, evil);
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(!log.trim_end().contains(is_deceptive), "{log}");
        assert!(log.contains("a\\n2026"), "{log}");
        assert!(log.contains("\\u{202e}"), "{log}");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        for text in [
            "é".repeat(9_000),
            format!("x{}", "é".repeat(9_000)),
            "\n".repeat(9_000),
        ] {
            let shown = loggable(&text);
            assert!(shown.ends_with('…'));
            assert!((LONGEST_TEXT - 8..=LONGEST_TEXT + 3).contains(&shown.len()));
            assert!(logged(&text, &text).len() < 5 * LONGEST_TEXT);
        }
        assert_eq!(loggable(&"x".repeat(LONGEST_TEXT)).len(), LONGEST_TEXT);
    }
}
