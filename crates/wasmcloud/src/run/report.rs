//! Tells what happens: events as JSON lines, or sentences for people. A thread of its own writes, so that nobody who serves waits
//! for whoever reads.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Map, Value, json};
use wasmcloud::supervisor::{News, Summary};
use wasmcloud::workload::{Diagnostic, Diagnostics, WorkloadId};

use super::Stop;
use super::log::color;
use super::settings::Output;

/// Where events go.
pub(super) struct Reporter {
    output: Output,
    state: Mutex<State>,
}

struct State {
    lines: Option<Sender<Line>>,
    writer: Option<JoinHandle<()>>,
    /// What is told after `ready`, which is first.
    before_ready: Option<Vec<Line>>,
}

enum Line {
    Out(String),
    Err(String),
}

impl Reporter {
    pub(super) fn new(output: Output) -> io::Result<Self> {
        let (lines, received) = channel();
        let writer = thread::Builder::new()
            .name("report".to_owned())
            .spawn(move || {
                for line in received {
                    // Who closed the other end does not want to know.
                    let _ = match line {
                        Line::Out(line) => writeln!(io::stdout().lock(), "{line}"),
                        Line::Err(line) => writeln!(io::stderr().lock(), "{line}"),
                    };
                }
            })?;
        Ok(Self {
            output,
            state: Mutex::new(State {
                lines: Some(lines),
                writer: Some(writer),
                before_ready: Some(Vec::new()),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, lines: impl IntoIterator<Item = Line>) {
        let mut state = self.state();
        match &mut state.before_ready {
            Some(later) => later.extend(lines),
            None => state.send(lines),
        }
    }

    /// An event, or a sentence; what people need no sentence about is left out.
    fn event(&self, event: Value, text: impl Into<Option<String>>) {
        self.send(match self.output {
            Output::Json => Some(Line::Out(event.to_string())),
            Output::Text => text.into().map(Line::Out),
        });
    }

    /// Everything had its first try.
    pub(super) fn ready(&self, http: Option<SocketAddr>, summary: &Summary) {
        let http = http.map(|http| http.to_string()).unwrap_or_default();
        let ready = match self.output {
            Output::Json => json!({
                "event": "ready", "http": http, "workloads": ids(&summary.running),
                "failed": ids(&summary.failed), "compiled": summary.compiled,
            })
            .to_string(),
            Output::Text => {
                let serves = match &*ids(&summary.running).join(", ") {
                    "" => "waits for workloads".to_owned(),
                    running => format!("serves {running}"),
                };
                format!("ready: http://{http} {serves}")
            }
        };
        let mut state = self.state();
        let later = state.before_ready.take().unwrap_or_default();
        state.send([Line::Out(ready)]);
        state.send(later);
    }

    /// What happened to workloads and files.
    pub(super) fn news(&self, news: &News) {
        match news {
            // That what runs first runs is told by `ready`.
            News::Started { .. } | News::Replaced { .. } if self.state().before_ready.is_some() => {
            }
            News::Started { workload, compiled } => self.event(
                json!({"event": "workload-started", "workload": workload, "compiled": compiled}),
                format!("started: {workload}"),
            ),
            News::Replaced {
                workload,
                renamed,
                compiled,
            } => {
                let mut event = json!({"event": "workload-replaced", "workload": workload, "compiled": compiled});
                add(&mut event, "renamed", renamed.as_ref().map(|it| json!(it)));
                let instead = renamed.as_ref().map(|it| format!(" instead of {it}"));
                self.event(
                    event,
                    format!("replaced: {workload}{}", instead.unwrap_or_default()),
                );
            }
            News::Stopped { workload } => self.event(
                json!({"event": "workload-stopped", "workload": workload}),
                format!("stopped: {workload}"),
            ),
            News::Failed {
                workload,
                errors,
                running,
            } => {
                self.problems(errors, Some(workload), running.as_slice());
                let mut event = json!({"event": "workload-failed", "workload": workload});
                add(&mut event, "running", running.as_ref().map(|it| json!(it)));
                self.event(
                    event,
                    match running {
                        Some(running) => format!(
                            "failed: {workload}; the last good version of {running} runs on"
                        ),
                        None => {
                            format!("failed: {workload}; it is tried again when its files change")
                        }
                    },
                );
            }
            News::Unusable { errors, running } => {
                self.problems(errors, None, running);
                let kept = (!running.is_empty())
                    .then(|| format!("kept: {} runs on as it was", ids(running).join(", ")));
                if self.output == Output::Text
                    && let Some(kept) = kept
                {
                    self.send([Line::Out(kept)]);
                }
            }
            News::Usable { path } => {
                let path = path.display().to_string();
                let text = format!("usable again: {path}");
                self.event(json!({"event": "usable", "file": path}), text);
            }
        }
    }

    pub(super) fn reloaded(&self) {
        self.event(json!({"event": "reloaded"}), "reloaded".to_owned());
    }

    /// A signal ends the run.
    pub(super) fn stopping(&self, stop: Stop, grace: Duration) {
        let (signal, seconds) = (stop.name(), grace.as_secs_f64());
        self.event(
            json!({"event": "stopping", "signal": signal, "graceSeconds": seconds}),
            format!("stopping on {signal}: what is being answered has {seconds} s; a second signal ends at once"),
        );
    }

    /// The last word of a run that a signal ended.
    pub(super) fn stopped(&self, drained: bool) {
        let text = if drained {
            "stopped"
        } else {
            "stopped: the grace was over before everything was answered"
        };
        self.event(
            json!({"event": "stopped", "drained": drained}),
            text.to_owned(),
        );
    }

    /// What `--check` found.
    pub(super) fn checked(&self, good: &[WorkloadId], problems: usize) {
        let text = format!("ok: {}", ids(good).join(", "));
        self.event(
            json!({"event": "checked", "workloads": ids(good), "problems": problems}),
            (problems == 0).then_some(text),
        );
    }

    /// What went wrong.
    pub(super) fn errors(&self, errors: &Diagnostics) {
        self.problems(errors, None, &[]);
    }

    fn problems(
        &self,
        errors: &Diagnostics,
        workload: Option<&WorkloadId>,
        running: &[WorkloadId],
    ) {
        self.send(match self.output {
            Output::Text => vec![Line::Err(errors.render(color()))],
            Output::Json => errors
                .into_iter()
                .map(|error| {
                    let mut event = problem(error);
                    add(&mut event, "workload", workload.map(|it| json!(it)));
                    add(
                        &mut event,
                        "running",
                        (!running.is_empty()).then(|| json!(running)),
                    );
                    Line::Out(event.to_string())
                })
                .collect(),
        });
    }

    /// Writes everything that was told.
    pub(super) fn finish(&self) {
        let mut state = self.state();
        let later = state.before_ready.take().unwrap_or_default();
        state.send(later);
        state.lines = None;
        if let Some(writer) = state.writer.take() {
            let _ = writer.join();
        }
    }
}

impl State {
    fn send(&self, lines: impl IntoIterator<Item = Line>) {
        for line in lines {
            // The writer is there until the end.
            let _ = self.lines.as_ref().map(|to| to.send(line));
        }
    }
}

/// An error as an event, with what is known about it.
fn problem(error: &Diagnostic) -> Value {
    let file = error.file.as_deref().map(|file| file.display().to_string());
    let mut event = json!({"event": "error", "message": error.message});
    for (name, value) in [
        ("hint", error.hint.as_ref().map(|it| json!(it))),
        ("file", file.map(|it| json!(it))),
        ("line", error.line.map(|it| json!(it))),
        ("column", error.column.map(|it| json!(it))),
    ] {
        add(&mut event, name, value);
    }
    event
}

/// Adds a field, if there is something to say.
fn add(event: &mut Value, name: &str, value: Option<Value>) {
    let fields: Option<&mut Map<String, Value>> = event.as_object_mut();
    if let (Some(fields), Some(value)) = (fields, value) {
        fields.insert(name.to_owned(), value);
    }
}

fn ids(ids: &[WorkloadId]) -> Vec<&str> {
    ids.iter().map(WorkloadId::as_str).collect()
}
