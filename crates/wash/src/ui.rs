//! What the user sees: data on standard output, talk on standard error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use wasmcloud::capability::may_be_logged;

use crate::cli::Format;
use crate::failure::Failure;

/// How to talk to whoever started the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    format: Format,
    /// Whether standard error is a terminal that may be redrawn.
    terminal: bool,
    /// Whether standard error gets colours.
    color: bool,
}

impl Ui {
    /// Looks at where output goes, and sends the library's log there.
    pub(crate) fn new(format: Format, verbose: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = terminal && !plain;
        let usual = if verbose {
            "info,wasmcloud=debug,wash=debug"
        } else {
            "warn"
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(color)
            .without_time()
            .with_target(false);
        tracing_subscriber::registry()
            .with(filter)
            .with(filter_fn(may_be_logged))
            .with(lines)
            .init();
        Self {
            format,
            terminal,
            color,
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(crate) fn color(&self) -> bool {
        self.color
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints what the command was run for, and a line feed.
    pub(crate) fn data(&self, text: impl Display) -> Result<(), Failure> {
        match writeln!(io::stdout().lock(), "{text}") {
            // Whoever read it has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::new(format!(
                "cannot write to standard output: {error}"
            ))),
            Ok(()) => Ok(()),
        }
    }

    /// Prints the value for tools or the text for people.
    pub(crate) fn result(
        &self,
        value: impl FnOnce() -> Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.is_json() {
            self.data(value())
        } else {
            self.data(text())
        }
    }

    /// Tells people something.
    pub(crate) fn say(&self, text: impl Display) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Says why the command failed.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        self.say(failure.render(self.color));
        if self.is_json() {
            let _ = self.data(failure.to_json());
        }
        ExitCode::from(failure.exit())
    }

    /// Shows how far bytes are on their way until the returned value is dropped; nothing where nobody watches.
    pub(crate) fn transfer(&self, text: impl Into<String>) -> Transfer {
        if !self.terminal || self.is_json() {
            return Transfer(None);
        }
        let bar = ProgressBar::new(0).with_message(text.into());
        let style = "{msg} [{bar:30}] {bytes} of {total_bytes} ({elapsed})";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Transfer(Some(bar))
    }

    /// Shows that something goes on until the returned value is dropped; nothing where nobody watches.
    pub(crate) fn progress(&self, text: impl Into<String>) -> Progress {
        if !self.terminal || self.is_json() {
            return Progress(None);
        }
        let bar = ProgressBar::new_spinner().with_message(text.into());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(Some(bar))
    }
}

/// Bytes on their way, shown as a bar where somebody watches.
pub(crate) struct Transfer(Option<ProgressBar>);

impl wasmcloud::registry::Progress for Transfer {
    fn moved(&self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
            bar.set_position(done);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Something that goes on.
#[must_use = "the spinner goes away with it"]
pub(crate) struct Progress(Option<ProgressBar>);

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A text of somebody else for a terminal: what would steer it, or change the order in which it shows letters, is spelled out.
/// So is a line feed.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

fn steers(c: char) -> bool {
    let invisible = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    invisible || (c.is_control() && c != '\t')
}

/// A size for people: `237.4 KiB`.
pub(crate) fn size(bytes: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let bytes = bytes as f64;
    match bytes {
        _ if bytes < 1024.0 => format!("{bytes} B"),
        _ if bytes < 1024.0 * 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        _ => format!("{:.1} MiB", bytes / (1024.0 * 1024.0)),
    }
}

/// A length of time for people: `1.2 ms`, `3.4 s`.
pub(crate) fn duration(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    if millis < 1000.0 {
        format!("{millis:.1} ms")
    } else {
        format!("{:.1} s", millis / 1000.0)
    }
}

/// "1 import", "2 imports".
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

/// Lines of columns, as wide as they need to be; the last one is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_for_people() {
        assert_eq!(
            [size(12), size(243_098), size(5 << 20)],
            ["12 B", "237.4 KiB", "5.0 MiB"]
        );
        assert_eq!(
            [
                duration(Duration::from_micros(1234)),
                duration(Duration::from_millis(3440))
            ],
            ["1.2 ms", "3.4 s"]
        );
        assert_eq!(
            [count(1, "import"), count(0, "import")],
            ["1 import", "0 imports"]
        );
    }

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        assert_eq!(printable("a\tb ü 漢"), "a\tb ü 漢");
        assert!(matches!(printable("plain"), Cow::Borrowed(_)));
        assert_eq!(
            printable("\u{1b}]0;x\u{7}\r\n\u{9b}2J\u{7f}"),
            "\\u{1b}]0;x\\u{7}\\r\\n\\u{9b}2J\\u{7f}"
        );
        for c in "\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}".chars() {
            assert_eq!(printable(&c.to_string()), c.escape_default().to_string());
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "bb", "c"], ["aaa", "b", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a    bb  c\naaa  b");
    }
}
