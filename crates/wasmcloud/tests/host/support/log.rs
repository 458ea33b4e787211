//! The host's own log, captured. [`Log`] works where everything runs on the thread of the test.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Captures the log of the calling thread while it lives.
pub(crate) struct Log {
    lines: Arc<Mutex<String>>,
    _guard: DefaultGuard,
}

impl Log {
    pub(crate) fn capture() -> Self {
        // With one subscriber alone, tracing asks the thread that comes first whether a line is wanted, for all threads and for good.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(Lines(Arc::default())));
        let lines = Arc::default();
        let guard = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
        Self {
            lines,
            _guard: guard,
        }
    }

    /// Everything so far: level, message and fields of each event.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().clone()
    }
}

/// The log of all threads of this process, of which a test knows its own lines: where guests compute for long, calls of the host come
/// from other threads than that of the test. Threads that capture their own are left out.
pub(crate) struct WholeLog(Arc<Mutex<String>>);

impl WholeLog {
    pub(crate) fn begin() -> Self {
        static LINES: OnceLock<Arc<Mutex<String>>> = OnceLock::new();
        let lines = LINES.get_or_init(|| {
            let lines = Arc::default();
            tracing::subscriber::set_global_default(Lines(Arc::clone(&lines))).unwrap();
            lines
        });
        Self(Arc::clone(lines))
    }

    /// The lines so far that have this in them.
    pub(crate) fn lines_with(&self, part: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let ours = lines.lines().filter(|line| line.contains(part));
        ours.map(str::to_owned).collect()
    }
}

/// Writes events of this crate down, and takes no notice of spans.
struct Lines(Arc<Mutex<String>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("wasmcloud") && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{}", event.metadata().level()));
        event.record(&mut line);
        let mut lines = self.0.lock().unwrap();
        lines.push_str(&line.0);
        lines.push('\n');
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}
