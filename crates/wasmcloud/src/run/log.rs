//! The log, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};
use wasmcloud::capability::may_be_logged;
use wasmcloud::config::{LogFormat, LogSection};

/// Warnings, what components say, and how the engines were sized for the machine.
const FILTER: &str = "warn,guest=info,wasmcloud::engine=info";

/// Logs from a thread of its own. Lines are dropped when nobody reads them: guests must never wait for it.
pub(super) fn begin(section: &LogSection) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .finish(io::stderr());
    let configured = section.filter.as_deref().unwrap_or(FILTER);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(configured));
    let log = registry().with(filter).with(filter_fn(may_be_logged));
    let lines = fmt::layer().with_writer(writer);
    match section.format.unwrap_or_default() {
        LogFormat::Text => log.with(lines.with_ansi(color())).init(),
        LogFormat::Json => log.with(lines.json()).init(),
    }
    guard
}

/// Whether to use colour on stderr (<https://no-color.org>).
pub(super) fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
