//! The log, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
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
    #[cfg(feature = "postgres")]
    let filter = wasmcloud::capability::postgres::UNLOGGED
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match section.format.unwrap_or_default() {
        LogFormat::Text => log.with_ansi(color()).init(),
        LogFormat::Json => log.json().init(),
    }
    guard
}

/// Whether to use colour on stderr (<https://no-color.org>).
pub(super) fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
