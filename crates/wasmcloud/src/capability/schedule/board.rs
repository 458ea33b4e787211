//! The schedules of one workload while it runs: waits for what is due, runs it, and remembers how it went.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::agenda::{Agenda, Rules, Step};
use crate::plugin::{
    Answer, CallError, Callee, LastRun, RunOutcome, ScheduleStatus, Scheduled, WaveError,
};
use crate::workload::{ComponentName, FunctionName, ScheduleName};

/// What is kept of the reason of a failure.
const LONGEST_REASON: usize = 1000;

/// One schedule, and whom it calls.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) name: ScheduleName,
    pub(super) component: ComponentName,
    pub(super) function: FunctionName,
    pub(super) args: Vec<String>,
    pub(super) rules: Rules,
    pub(super) callee: Callee,
}

/// The schedules of one workload.
#[derive(Debug)]
pub(super) struct Board {
    jobs: Vec<Job>,
    state: Mutex<State>,
    /// A run has ended.
    ended: Notify,
    /// Nothing more begins.
    over: CancellationToken,
}

#[derive(Debug)]
struct State {
    agenda: Agenda,
    /// The runs that are at work: the number of each, its schedule, and what ends it.
    at_work: Vec<(u64, usize, CancellationToken)>,
    /// How many runs there have been.
    numbers: u64,
}

impl Board {
    pub(super) fn new(jobs: Vec<Job>) -> Self {
        let rules = jobs.iter().map(|job| job.rules.clone());
        let agenda = Agenda::new(rules, Timestamp::now());
        Self {
            jobs,
            state: Mutex::new(State {
                agenda,
                at_work: Vec::new(),
                numbers: 0,
            }),
            ended: Notify::new(),
            over: CancellationToken::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on where another has come to, which begins nothing more.
    pub(super) fn takes_over(&self, before: &Self) {
        before.end();
        let before_state = before.state();
        let mut state = self.state();
        for (index, job) in self.jobs.iter().enumerate() {
            let there = before.jobs.iter().position(|it| it.name == job.name);
            if let Some(there) = there {
                state.agenda.goes_on(index, &before_state.agenda, there);
            }
        }
    }

    /// Begins nothing more. What is at work goes on.
    pub(super) fn end(&self) {
        self.over.cancel();
    }

    /// Runs what is due until it is ended.
    pub(super) async fn serve(self: Arc<Self>) {
        loop {
            let (steps, wait) = {
                let now = Timestamp::now();
                let mut state = self.state();
                (state.agenda.look(now), state.agenda.wait(now))
            };
            for (index, step) in steps {
                if step == Step::Replace {
                    self.replace(index);
                }
                tokio::spawn(Arc::clone(&self).begin(index));
            }
            tokio::select! {
                () = self.over.cancelled() => return,
                () = self.ended.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ends the runs of a schedule that are at work.
    fn replace(&self, index: usize) {
        let state = self.state();
        let own = state.at_work.iter().filter(|(_, job, _)| *job == index);
        own.for_each(|(_, _, replaced)| replaced.cancel());
    }

    /// A run that counts from now on.
    fn begin(
        self: Arc<Self>,
        index: usize,
    ) -> impl Future<Output = Option<Result<Answer, WaveError>>> + Send {
        let run = Run::of(self, index);
        async move { Some(run?.go().await) }
    }
}

/// A run that is at work. Dropped before it has come to its end, it was ended.
struct Run {
    board: Arc<Board>,
    number: u64,
    index: usize,
    replaced: CancellationToken,
    began: Timestamp,
    clock: Instant,
    over: bool,
}

impl Run {
    fn of(board: Arc<Board>, index: usize) -> Option<Self> {
        let replaced = CancellationToken::new();
        let number = {
            let mut state = board.state();
            let progress = state.agenda.progress(index)?;
            progress.running += 1;
            progress.runs += 1;
            state.numbers += 1;
            let number = state.numbers;
            state.at_work.push((number, index, replaced.clone()));
            number
        };
        Some(Self {
            board,
            number,
            index,
            replaced,
            began: Timestamp::now(),
            clock: Instant::now(),
            over: false,
        })
    }

    async fn go(mut self) -> Result<Answer, WaveError> {
        let replaced = self.replaced.clone();
        let board = Arc::clone(&self.board);
        let Some(job) = board.jobs.get(self.index) else {
            return Err(CallError::Stopped.into());
        };
        let answer = tokio::select! {
            biased;
            () = replaced.cancelled() => None,
            answer = job.callee.call_wave(&job.function, &job.args) => Some(answer),
        };
        let outcome = match &answer {
            None => RunOutcome::Ended("the next run took its place".to_owned()),
            Some(Ok(answer)) if answer.is_err() => {
                RunOutcome::Failed(cut(&format!("it returned {}", answer.wave())))
            }
            Some(Ok(_)) => RunOutcome::Ok,
            Some(Err(WaveError::Call(CallError::Stopped))) => {
                RunOutcome::Ended("the workload was stopped".to_owned())
            }
            Some(Err(error)) => RunOutcome::Failed(cut(&error.in_full())),
        };
        if let RunOutcome::Failed(reason) = &outcome {
            tell(job, reason);
        }
        self.settle(outcome);
        answer.unwrap_or(Err(CallError::Stopped.into()))
    }

    fn settle(&mut self, outcome: RunOutcome) {
        self.over = true;
        let took = self.clock.elapsed();
        let show = |job: &Job| job.rules.timetable.show(self.began);
        let started = self.board.jobs.get(self.index).map(show);
        let last = LastRun {
            started: started.unwrap_or_default(),
            started_at: SystemTime::from(self.began),
            took,
            outcome,
        };
        {
            let mut state = self.board.state();
            state.at_work.retain(|(number, ..)| *number != self.number);
            if let Some(progress) = state.agenda.progress(self.index) {
                progress.running = progress.running.saturating_sub(1);
                progress.last = Some(last);
            }
        }
        self.board.ended.notify_one();
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.over {
            self.settle(RunOutcome::Ended("whoever wanted it went away".to_owned()));
        }
    }
}

/// Says in the log why a run failed, as far as the workload may fill it.
fn tell(job: &Job, reason: &str) {
    let workload = &job.callee.context().workload;
    if workload.log.admits(reason.len()) {
        tracing::warn!(%workload, schedule = %job.name, component = %job.component, function = %job.function, reason, "a scheduled run failed");
    }
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    if text.len() <= LONGEST_REASON {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(LONGEST_REASON);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// What the host sees of a board.
pub(super) struct Shown(pub(super) Arc<Board>);

#[async_trait]
impl Scheduled for Shown {
    fn status(&self) -> Vec<ScheduleStatus> {
        let mut state = self.0.state();
        let jobs = self.0.jobs.iter().enumerate();
        let status = jobs.filter_map(|(index, job)| {
            let progress = state.agenda.progress(index)?;
            let next = progress.next.map(|next| job.rules.timetable.show(next));
            Some(ScheduleStatus {
                name: job.name.clone(),
                component: job.component.clone(),
                function: job.function.clone(),
                next,
                last: progress.last.clone(),
                running: progress.running,
                runs: progress.runs,
                missed: progress.missed,
                skipped: progress.skipped,
                suspended: job.rules.suspend,
            })
        });
        status.collect()
    }

    async fn run(&self, name: &ScheduleName) -> Option<Result<Answer, WaveError>> {
        let index = self.0.jobs.iter().position(|job| job.name == *name)?;
        Arc::clone(&self.0).begin(index).await
    }
}
