//! What `wash dev` tells: events, one JSON object a line for tools, or lines for people.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use wasmcloud::host::ServiceStatus;
use wasmcloud::plugin::Port;

use crate::failure::Failure;
use crate::ui::Ui;

/// Something that happened. The names of fields are part of the interface for tools.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// For the first time, everything runs.
    Ready { http: String, plan: Value },
    /// Sources changed, and the project is being built again.
    Rebuilding { changed: Vec<String> },
    /// What changed is served, so many milliseconds after the compiler was done.
    Reloaded { millis: u64 },
    /// What changed makes no difference to what runs.
    Unchanged,
    /// Something did not work; what ran before runs on.
    Failed {
        stage: Stage,
        message: String,
        errors: Value,
    },
    /// The service of a workload does something else than before.
    Service {
        workload: String,
        #[serde(flatten)]
        status: ServiceStatus,
    },
    /// The ports on which a workload listens, when they are others than before.
    Ports { workload: String, ports: Vec<Port> },
    /// A request was answered.
    Request {
        method: String,
        host: String,
        path: String,
        status: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        workload: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        component: Option<String>,
        millis: f64,
    },
    /// A component wrote a line.
    Log {
        workload: String,
        component: String,
        source: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        context: String,
        text: String,
    },
    /// Everything is stopped.
    Stopped,
}

/// What did not work.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// The sources do not compile.
    Build,
    /// The workload does not start.
    Start,
    /// The manifest or the configuration cannot be read.
    Manifest,
}

/// How many lines of guests and requests may wait to be printed; more are left out, because guests never wait.
const MOST_WAITING: usize = 10_000;
/// How many bytes these may have together.
const MOST_BYTES: usize = 16 << 20;

enum Line {
    Out(String),
    Err(String),
    /// Everything before it is printed when the sender hears of it.
    End(mpsc::Sender<()>),
}

impl Line {
    fn len(&self) -> usize {
        match self {
            Self::Out(text) | Self::Err(text) => text.len(),
            Self::End(_) => 0,
        }
    }
}

/// What waits to be printed.
#[derive(Debug, Default)]
struct Waiting {
    lines: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.lines.load(Ordering::Relaxed) >= MOST_WAITING
            || self.bytes.load(Ordering::Relaxed) >= MOST_BYTES
    }

    fn add(&self, bytes: usize) {
        self.lines.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds a line if there is room for it.
    fn try_add(&self, bytes: usize) -> bool {
        let before = self.lines.fetch_add(1, Ordering::Relaxed);
        let room = |there: usize| {
            there
                .checked_add(bytes)
                .filter(|together| *together <= MOST_BYTES)
        };
        let fits = before < MOST_WAITING
            && self
                .bytes
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
                .is_ok();
        if !fits {
            self.lines.fetch_sub(1, Ordering::Relaxed);
        }
        fits
    }

    fn remove(&self, bytes: usize) {
        self.lines.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Tells events, from any thread and without waiting for whoever reads them.
#[derive(Clone)]
pub(super) struct Reporter {
    json: bool,
    color: bool,
    lines: mpsc::Sender<Line>,
    waiting: Arc<Waiting>,
    left_out: Arc<AtomicUsize>,
}

impl Reporter {
    pub(super) fn new(ui: &Ui) -> io::Result<Self> {
        let (lines, printed) = mpsc::channel();
        let waiting = Arc::new(Waiting::default());
        let counter = Arc::clone(&waiting);
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || print(&printed, &counter))?;
        Ok(Self {
            json: ui.is_json(),
            color: ui.color(),
            lines,
            waiting,
            left_out: Arc::default(),
        })
    }

    /// Tells an event; people get `text`, where there is something to say.
    pub(super) fn event(&self, event: &Event, text: impl FnOnce() -> Option<String>) {
        if let Some(line) = self.line(event, text) {
            self.send(Line::Out(line));
        }
    }

    fn line(&self, event: &Event, text: impl FnOnce() -> Option<String>) -> Option<String> {
        if self.json {
            serde_json::to_string(event).ok()
        } else {
            text()
        }
    }

    /// Tells an event of which there may be more than anybody can read.
    pub(super) fn frequent(&self, event: &Event, text: impl FnOnce() -> String) {
        let line = if self.waiting.is_full() {
            None
        } else {
            self.line(event, || Some(text()))
        };
        let Some(line) = line.filter(|line| self.waiting.try_add(line.len())) else {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let missing = self.left_out.swap(0, Ordering::Relaxed);
        if missing > 0 {
            self.talk(format!(
                "warning: {missing} lines were left out, because nobody read them in time"
            ));
        }
        // The printing thread outlives every reporter.
        let _ = self.lines.send(Line::Out(line));
    }

    /// Tells why something did not work.
    pub(super) fn failed(&self, stage: Stage, failure: &Failure) {
        self.talk(failure.render(self.color));
        let failed = Event::Failed {
            stage,
            message: failure.message(),
            errors: failure.problems_json(),
        };
        self.event(&failed, || None);
    }

    /// Tells people something, on standard error.
    pub(super) fn talk(&self, text: impl Into<String>) {
        self.send(Line::Err(text.into()));
    }

    /// Waits until everything is printed, or until it seems that nobody reads it.
    pub(super) fn finish(&self) {
        let (done, printed) = mpsc::channel();
        self.send(Line::End(done));
        let _ = printed.recv_timeout(Duration::from_secs(2));
    }

    fn send(&self, line: Line) {
        self.waiting.add(line.len());
        let _ = self.lines.send(line);
    }
}

fn print(lines: &mpsc::Receiver<Line>, waiting: &Waiting) {
    while let Ok(line) = lines.recv() {
        let bytes = line.len();
        // When nobody is left to tell, there is nobody to tell that to.
        let _ = match line {
            Line::Out(text) => writeln!(io::stdout().lock(), "{text}"),
            Line::Err(text) => writeln!(io::stderr().lock(), "{text}"),
            Line::End(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        // What is being printed waits, too, as long as nobody reads it.
        waiting.remove(bytes);
    }
}

/// One plan as it is; several as a list.
pub(super) fn plans(mut plans: Vec<Value>) -> Value {
    if plans.len() == 1 {
        plans.swap_remove(0)
    } else {
        json!(plans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_shape() {
        let line = |event: &Event| serde_json::to_value(event).unwrap();
        assert_eq!(
            line(&Event::Ready {
                http: "127.0.0.1:1".into(),
                plan: plans(vec![json!({"links": []})])
            }),
            json!({"event": "ready", "http": "127.0.0.1:1", "plan": {"links": []}})
        );
        assert_eq!(
            line(&Event::Rebuilding {
                changed: vec!["src/lib.rs".into()]
            }),
            json!({"event": "rebuilding", "changed": ["src/lib.rs"]})
        );
        assert_eq!(
            line(&Event::Reloaded { millis: 5 }),
            json!({"event": "reloaded", "millis": 5})
        );
        let failed = Event::Failed {
            stage: Stage::Build,
            message: "no".into(),
            errors: json!([]),
        };
        assert_eq!(
            line(&failed),
            json!({"event": "failed", "stage": "build", "message": "no", "errors": []})
        );
        assert_eq!(line(&Event::Unchanged), json!({"event": "unchanged"}));
        assert_eq!(line(&Event::Stopped), json!({"event": "stopped"}));
    }

    /// A reporter whose lines nobody reads.
    fn unread() -> (Reporter, mpsc::Receiver<Line>) {
        let (lines, waiting) = mpsc::channel();
        let reporter = Reporter {
            json: false,
            color: false,
            lines,
            waiting: Arc::default(),
            left_out: Arc::default(),
        };
        (reporter, waiting)
    }

    #[test]
    fn what_nobody_reads_is_bounded_by_lines_and_by_bytes() {
        for (length, fit) in [(1, MOST_WAITING), (1 << 20, 16), ((1 << 20) + 1, 15)] {
            let (reporter, lines) = unread();
            for _ in 0..fit + 3 {
                reporter.frequent(&Event::Stopped, || "x".repeat(length));
            }
            assert_eq!(lines.try_iter().count(), fit);
            assert_eq!(reporter.left_out.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn when_lines_are_read_again_it_is_told_how_many_are_missing() {
        let (reporter, lines) = unread();
        for _ in 0..2 {
            reporter.frequent(&Event::Stopped, || "x".repeat(MOST_BYTES));
        }
        reporter.waiting.remove(lines.recv().unwrap().len());
        reporter.frequent(&Event::Stopped, || "read".to_owned());
        let Line::Err(warning) = lines.recv().unwrap() else {
            panic!("the warning comes first")
        };
        assert!(warning.contains("1 lines were left out"), "{warning}");
        assert!(matches!(lines.recv().unwrap(), Line::Out(text) if text == "read"));
    }

    #[test]
    fn several_plans_are_a_list() {
        assert_eq!(plans(vec![json!(1), json!(2)]), json!([1, 2]));
    }
}
