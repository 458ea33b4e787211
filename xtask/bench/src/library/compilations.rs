//! How often the library compiles something, as it says in its log.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static COMPILED: AtomicUsize = AtomicUsize::new(0);

/// How often it was so far in this process, from the first time on that this is asked.
pub(crate) fn compilations() -> usize {
    static BEGUN: OnceLock<()> = OnceLock::new();
    // Where somebody listens to the log already, the count stays at 0, which the bench takes for an error.
    BEGUN.get_or_init(|| drop(tracing::subscriber::set_global_default(Counting)));
    COMPILED.load(Ordering::Relaxed)
}

/// Counts, and says nothing.
struct Counting;

impl Subscriber for Counting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "wasmcloud::engine::prepare" && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut is = Compiled(false);
        event.record(&mut is);
        if is.0 {
            COMPILED.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Whether an event says that something was compiled.
struct Compiled(bool);

impl Visit for Compiled {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 |= field.name() == "message" && format!("{value:?}") == "compiled";
    }
}
