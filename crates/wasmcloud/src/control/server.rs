//! The side of the host: lets programs of the same user in, and does what they ask for.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::protocol::{Answered, Call, Command, Problem, RunSchedule, StatusReply, line, parse};
use super::socket::{PlaceError, SocketPath};
use crate::capability::listen::Refusals;
use crate::host::{CallFailed, CallRequest, LocalHost, WorkloadState, WorkloadStatus};
use crate::plugin::Answer;
use crate::workload::{WorkloadId, nearest};

/// How long a question may be.
const LONGEST_QUESTION: usize = 1 << 20;
/// How long an answer may be.
const LONGEST_ANSWER: usize = 16 << 20;
/// How many may be connected at once.
const MOST_CONNECTIONS: usize = 32;
/// How long somebody may be silent, or let an answer lie.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Control {
    path: SocketPath,
    _serving: AbortOnDropHandle<()>,
}

impl Control {
    /// Begins to answer, at [`SocketPath::in_folder`] of the folder. Whoever calls this must be the only one to use the folder. Must
    /// be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the folder is not private or the socket cannot be made.
    pub fn start(
        host: Arc<LocalHost>,
        http: Option<SocketAddr>,
        folder: &Path,
    ) -> Result<Self, PlaceError> {
        let path = SocketPath::in_folder(folder);
        let listener = path.listen()?;
        let desk = Arc::new(Desk { host, http });
        let serving = tokio::spawn(accept(listener, desk));
        Ok(Self {
            path,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Where it answers.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.path()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.path.remove();
    }
}

async fn accept(listener: UnixListener, desk: Arc<Desk>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // Whoever is served when this ends is served no longer.
    let mut served = tokio::task::JoinSet::new();
    let mut refusals = Refusals::of("control");
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        while served.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                served.spawn(async move {
                    let _permit = permit;
                    // Whoever is gone wants no answer.
                    let _ = desk.serve(stream).await;
                });
            }
            Err(error) => refusals.recover(&error).await,
        }
    }
}

/// What a question came to.
enum Heard {
    Line(Vec<u8>),
    TooLong,
    Nothing,
}

/// Who answers.
struct Desk {
    host: Arc<LocalHost>,
    http: Option<SocketAddr>,
}

impl Desk {
    async fn serve(&self, stream: UnixStream) -> std::io::Result<()> {
        let peer = stream.peer_cred()?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        if peer.uid() != rustix::process::geteuid().as_raw() {
            let problem = Problem::new("only the user that runs the host may ask it");
            return writer.write_all(&line(Answered::Error(problem))).await;
        }
        loop {
            let heard = tokio::time::timeout(PATIENCE, question(&mut reader)).await??;
            let (answered, over) = match heard {
                Heard::Nothing => return Ok(()),
                Heard::TooLong => {
                    let message = format!("the question has more than {LONGEST_QUESTION} bytes");
                    (Answered::Error(Problem::new(message)), true)
                }
                Heard::Line(asked) => tokio::select! {
                    biased;
                    answered = self.answer(&asked) => (answered, false),
                    () = left(&mut reader) => return Ok(()),
                },
            };
            let mut text = line(answered);
            if text.len() > LONGEST_ANSWER {
                let message = format!("the answer has more than {LONGEST_ANSWER} bytes");
                text = line(Answered::Error(Problem::new(message)));
            }
            tokio::time::timeout(PATIENCE, writer.write_all(&text)).await??;
            if over {
                return Ok(());
            }
        }
    }

    async fn answer(&self, asked: &[u8]) -> Answered {
        let answered = match parse(asked) {
            Ok(Command::Status) => Ok(Answered::Status(self.status())),
            Ok(Command::Call(call)) => self.call(call).await,
            Ok(Command::RunSchedule(run)) => self.run_schedule(run).await,
            Err(problem) => Err(problem),
        };
        answered.unwrap_or_else(Answered::Error)
    }

    fn status(&self) -> StatusReply {
        let workloads = self.host.workloads().into_iter();
        let workloads = workloads.map(|mut status| {
            status.plan = None;
            serde_json::to_value(status).unwrap_or_default()
        });
        StatusReply {
            http: self.http,
            workloads: workloads.collect(),
        }
    }

    async fn call(&self, call: Call) -> Result<Answered, Problem> {
        let wrong = |error: &dyn std::fmt::Display| Problem::new(error.to_string());
        let component = call.component.map(|name| name.parse());
        let request = CallRequest {
            workload: self.find(&call.workload)?,
            component: component.transpose().map_err(|error| wrong(&error))?,
            function: call.function.parse().map_err(|error| wrong(&error))?,
            args: call.args,
        };
        let answer = self.host.call(&request).await;
        answer.map(answered).map_err(|error| explain(&error))
    }

    async fn run_schedule(&self, run: RunSchedule) -> Result<Answered, Problem> {
        let id = self.find(&run.workload)?;
        let name = run.schedule.parse();
        let name = name.map_err(|error| Problem::new(format!("{error}")))?;
        let answer = self.host.run_schedule(&id, &name).await;
        answer.map(answered).map_err(|error| explain(&error))
    }

    /// The workload of a name: one that runs, if there is one.
    fn find(&self, wanted: &str) -> Result<WorkloadId, Problem> {
        let all = self.host.workloads();
        let (namespace, name) = match wanted.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, wanted),
        };
        let fits = |status: &&WorkloadStatus| {
            status.name.as_str() == name
                && namespace.is_none_or(|namespace| status.namespace.as_str() == namespace)
        };
        let found: Vec<&WorkloadStatus> = all.iter().filter(fits).collect();
        let running = |status: &&&WorkloadStatus| status.state == WorkloadState::Running;
        let running: Vec<&&WorkloadStatus> = found.iter().filter(running).collect();
        match (running.as_slice(), found.as_slice()) {
            ([one], _) => Ok(one.id.clone()),
            ([], [other, ..]) => Ok(other.id.clone()),
            ([], []) => Err(none_of_the_name(wanted, &all)),
            (several, _) => {
                let names: Vec<String> = several.iter().map(|it| full_name(it)).collect();
                Err(
                    Problem::new(format!("several workloads are called `{wanted}`"))
                        .hint(format!("name one of {}", names.join(", "))),
                )
            }
        }
    }
}

fn full_name(status: &WorkloadStatus) -> String {
    format!("{}/{}", status.namespace, status.name)
}

fn none_of_the_name(wanted: &str, all: &[WorkloadStatus]) -> Problem {
    let names = all.iter().map(|it| it.name.to_string());
    let full = all.iter().map(full_name);
    let known: Vec<String> = names.chain(full).collect();
    let near = nearest(wanted, known.iter().map(String::as_str));
    let problem = Problem::new(format!("no workload is called `{wanted}`"));
    match near {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None if all.is_empty() => problem.hint("the host runs no workload"),
        None => {
            let all: Vec<String> = all.iter().map(full_name).collect();
            problem.hint(format!("the host has {}", all.join(", ")))
        }
    }
}

fn answered(answer: Answer) -> Answered {
    Answered::Answer {
        wave: answer.wave().to_owned(),
        result: answer.json(),
        err: answer.is_err(),
    }
}

fn explain(error: &CallFailed) -> Problem {
    let message = error.in_full();
    Problem {
        message,
        hint: error.hint(),
    }
}

/// One line, without its end.
async fn question(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Heard> {
    let mut question = Vec::new();
    loop {
        let part = reader.fill_buf().await?;
        if part.is_empty() {
            return Ok(Heard::Nothing);
        }
        let end = part.iter().position(|byte| *byte == b'\n');
        let taken = part.get(..end.unwrap_or(part.len())).unwrap_or_default();
        if question.len() + taken.len() > LONGEST_QUESTION {
            return Ok(Heard::TooLong);
        }
        question.extend_from_slice(taken);
        let used = taken.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok(Heard::Line(question));
        }
    }
}

/// Completes when whoever asked is gone. One who asks more meanwhile is there.
async fn left(reader: &mut (impl AsyncBufRead + Unpin)) {
    match reader.fill_buf().await {
        Ok(more) if !more.is_empty() => std::future::pending().await,
        _ => {}
    }
}
