//! Keeps the service of a workload at work: starts it, starts it again when it has crashed, and asks it to end.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::{ComponentExportIndex, Instance};
use wasmtime::{AsContextMut, Store};

use super::start::Patience;
use crate::instance::{Callee, Resident, WorkloadContext};
use crate::plugin::{CallError, Ending, EndingSender, OnInstance, StoreData};
use crate::workload::Interface;

/// What a crash counts for in the log of its workload, in bytes: a line and a backtrace.
const CRASH: usize = 4 << 10;

/// How services that crashed come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// How long until the first restart. Each further one in a row waits twice as long as the one before; all waits vary at random
    /// by up to a half, so that services that crash together do not come back together.
    pub first: Duration,
    /// The longest that a restart waits.
    pub longest: Duration,
    /// How long a service has to be up until its restarts are counted from the beginning again.
    pub healthy: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
            healthy: Duration::from_secs(60),
        }
    }
}

impl Restarts {
    /// How long the restart waits that is the `count`th in a row.
    fn wait(&self, count: u64) -> Duration {
        let doublings = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.longest);
        whole.mul_f64(1.0 - fastrand::f64() / 2.0)
    }
}

/// What a service is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// Its first instance is being made.
    Starting,
    /// It is up.
    Running,
    /// It has crashed and comes back.
    Restarting,
    /// It came to its end and is not wanted any more.
    Completed,
    /// It has crashed once too often.
    Failed,
}

/// How a service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// What it is doing.
    pub state: ServiceState,
    /// How often it was started again since its workload started.
    pub restarts: u64,
    /// Why it crashed the last time, if it ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What it takes to run a service.
pub(super) struct Service {
    /// Its one instance.
    pub(super) callee: Callee,
    /// What is run on it, where anything is.
    pub(super) run: Option<Run>,
    pub(super) max_restarts: u64,
    pub(super) restarts: Restarts,
    /// Where to tell that the workload is over.
    pub(super) ending: EndingSender,
    /// Whether the workload is over when the service has completed: nothing else of it is called.
    pub(super) alone: bool,
}

/// The function that a service runs for as long as it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run(ComponentExportIndex);

impl Run {
    /// Finds the function of `wasi:cli/run`.
    pub(super) fn find(callee: &Callee, export: &Interface) -> wasmtime::Result<Self> {
        let component = callee.pre().component();
        let interface = component.get_export_index(None, export.to_string());
        let function = interface.and_then(|it| component.get_export_index(Some(&it), "run"));
        let missing = || wasmtime::format_err!("`{export}` has no function `run`");
        function.map(Self).ok_or_else(missing)
    }

    fn load(self, mut store: impl AsContextMut, instance: Instance) -> wasmtime::Result<Main> {
        instance.get_typed_func(&mut store, self.0)
    }

    /// Runs it on an instance with an event loop.
    async fn beside_others(self, resident: &Resident) -> Result<Exit, CallError> {
        let ran = resident.run(Box::new(move |accessor, instance| -> OnInstance<'_, _> {
            Box::pin(async move {
                let main = accessor.with(|store| self.load(store, instance))?;
                main.call_concurrent(accessor, ()).await
            })
        }));
        ran.await.map(|(result,)| result)
    }

    async fn alone(
        self,
        store: &mut Store<StoreData>,
        instance: Instance,
    ) -> wasmtime::Result<Exit> {
        let main = self.load(&mut *store, instance)?;
        let (result,) = main.call_async(store, ()).await?;
        Ok(result)
    }
}

/// What a program says about itself when it ends.
type Exit = Result<(), ()>;
type Main = wasmtime::component::TypedFunc<(), (Exit,)>;

/// A service that is kept at work. Dropping it ends the service at once.
pub(super) struct Keeper {
    status: watch::Receiver<ServiceStatus>,
    /// Cancelled when the service is up for the first time: it may have crashed before anybody looks at the status.
    was_up: CancellationToken,
    workload: Arc<WorkloadContext>,
    task: AbortOnDropHandle<()>,
}

impl Keeper {
    /// Starts a service.
    pub(super) fn start(service: Service) -> Self {
        let (tell, status) = watch::channel(ServiceStatus {
            state: ServiceState::Starting,
            restarts: 0,
            reason: None,
        });
        let workload = Arc::clone(&service.callee.context().workload);
        let was_up = CancellationToken::new();
        let task = AbortOnDropHandle::new(tokio::spawn(service.keep(tell, was_up.clone())));
        Self {
            status,
            was_up,
            workload,
            task,
        }
    }

    /// How the service is.
    pub(super) fn status(&self) -> ServiceStatus {
        self.status.borrow().clone()
    }

    /// How the service is, as it changes.
    pub(super) fn watch(&self) -> watch::Receiver<ServiceStatus> {
        self.status.clone()
    }

    /// Returns when the service is up, or has been.
    ///
    /// # Errors
    /// With the reason when it does not come up.
    pub(super) async fn up(&mut self) -> Result<(), String> {
        let ended = |status: &ServiceStatus| {
            matches!(status.state, ServiceState::Completed | ServiceState::Failed)
        };
        tokio::select! {
            biased;
            () = self.was_up.cancelled() => Ok(()),
            status = self.status.wait_for(ended) => match status {
                Ok(status) if status.state == ServiceState::Failed => {
                    Err(status.reason.clone().unwrap_or_default())
                }
                Ok(_) => Ok(()),
                Err(_) => Err("the host failed; its log has more".to_owned()),
            },
        }
    }

    /// Asks the service to end, waits for as long as it may take where it would notice, and then ends it. Says whether it ended by
    /// itself or could not have known.
    pub(super) async fn end(self, patience: &Patience) -> bool {
        if !self.workload.farewell.say() {
            return true;
        }
        patience.outlasts(async { drop(self.task.await) }).await
    }
}

/// How one life of a service ended.
enum Life {
    Completed,
    /// Its workload is being stopped.
    Stopped,
    Crashed(String),
    /// There was no room for it.
    NoRoom(String),
}

impl Service {
    async fn keep(self, tell: watch::Sender<ServiceStatus>, was_up: CancellationToken) {
        let farewell = &self.callee.context().workload.farewell;
        let mut in_a_row = 0;
        loop {
            farewell.begin();
            let (life, uptime) = self.live(&tell, &was_up).await;
            if farewell.is_said() {
                return;
            }
            if uptime >= self.restarts.healthy {
                in_a_row = 0;
            }
            let never_up = !was_up.is_cancelled();
            let reason = match life {
                Life::Stopped => return,
                Life::Completed => return self.completed(&tell),
                Life::Crashed(reason) if in_a_row >= self.max_restarts => {
                    return self.failed(&tell, reason);
                }
                Life::NoRoom(reason) if never_up => return self.failed(&tell, reason),
                Life::Crashed(reason) | Life::NoRoom(reason) => reason,
            };
            in_a_row += 1;
            let wait = self.restarts.wait(in_a_row);
            let milliseconds = wait.as_millis();
            self.log(format_args!(
                "the service has crashed and comes back in {milliseconds} ms ({in_a_row} in a row): {reason}"
            ));
            tell.send_modify(|status| {
                status.state = ServiceState::Restarting;
                status.reason = Some(reason);
            });
            tokio::select! {
                () = sleep(wait) => {}
                () = farewell.said() => return,
                () = self.callee.stopped() => return,
            }
            tell.send_modify(|status| status.restarts += 1);
        }
    }

    /// One life, and how long it took.
    async fn live(
        &self,
        tell: &watch::Sender<ServiceStatus>,
        was_up: &CancellationToken,
    ) -> (Life, Duration) {
        let (begun, tell, was_up) = (Instant::now(), tell.clone(), was_up.clone());
        let up = move || {
            tell.send_modify(|status| status.state = ServiceState::Running);
            was_up.cancel();
        };
        let lived = if self.callee.is_concurrent() {
            self.live_beside_others(up).await
        } else {
            self.live_alone(up).await
        };
        (judge(lived), begun.elapsed())
    }

    async fn live_beside_others(&self, up: impl FnOnce()) -> Result<Exit, CallError> {
        let resident = self.callee.reside().await?;
        up();
        match self.run {
            Some(run) => run.beside_others(&resident).await,
            None => Err(resident.failed().await),
        }
    }

    async fn live_alone(&self, up: impl FnOnce() + Send + 'static) -> Result<Exit, CallError> {
        let Some(run) = self.run else {
            return Err(CallError::Busy);
        };
        let ran = self.callee.run_service(move |lease| {
            Box::pin(async move {
                let (store, instance) = lease.parts()?;
                up();
                run.alone(store, instance).await
            })
        });
        ran.await
    }

    fn completed(&self, tell: &watch::Sender<ServiceStatus>) {
        tell.send_modify(|status| status.state = ServiceState::Completed);
        if self.alone {
            self.ending.end(Ending::Completed);
        }
    }

    fn failed(&self, tell: &watch::Sender<ServiceStatus>, reason: String) {
        let times = match self.max_restarts {
            0 => "and is not to be started again (`maxRestarts`)".to_owned(),
            most => {
                format!("once more than it may be started again in a row (`maxRestarts`: {most})")
            }
        };
        let reason = format!("the service has crashed, {times}: {reason}");
        self.log(format_args!("{reason}"));
        tell.send_modify(|status| {
            status.state = ServiceState::Failed;
            status.reason = Some(reason.clone());
        });
        self.ending.end(Ending::Failed(reason));
    }

    fn log(&self, what: std::fmt::Arguments<'_>) {
        let workload = &self.callee.context().workload;
        if workload.log.admits(CRASH) {
            tracing::error!(%workload, "{what}");
        }
    }
}

/// What came of a life.
fn judge(lived: Result<Exit, CallError>) -> Life {
    let error = match lived {
        Ok(Ok(())) => return Life::Completed,
        Ok(Err(())) => return Life::Crashed("`run` returned an error".to_owned()),
        Err(error) => error,
    };
    match (&error, error.exit_status()) {
        (_, Some(0)) => Life::Completed,
        (_, Some(status)) => Life::Crashed(format!("it exited with status {status}")),
        (CallError::Stopped, _) => Life::Stopped,
        _ if error.is_for_lack_of_room() => Life::NoRoom(explained(&error)),
        _ => Life::Crashed(explained(&error)),
    }
}

/// An error with its causes but without a backtrace.
fn explained(error: &CallError) -> String {
    let cause = match error {
        CallError::Trap(cause) | CallError::Instantiate(cause) => cause,
        error => return error.to_string(),
    };
    match error.no_memory() {
        Some(refused) => format!("{error}: {refused}"),
        None => format!("{error}: {}", cause.root_cause()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_restart_in_a_row_waits_about_twice_as_long_up_to_a_limit() {
        let restarts = Restarts {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            healthy: Duration::from_secs(60),
        };
        for (count, whole) in [
            (1, 100),
            (2, 200),
            (3, 400),
            (4, 800),
            (5, 1000),
            (u64::MAX, 1000),
        ] {
            let wait = restarts.wait(count).as_millis();
            assert!((whole / 2..=whole).contains(&wait), "{count}: {wait}");
        }
    }

    #[test]
    fn a_program_that_exits_well_has_completed() {
        let trap = |error| Err(CallError::Trap(error));
        assert!(matches!(judge(Ok(Ok(()))), Life::Completed));
        assert!(matches!(
            judge(trap(wasmtime_wasi::I32Exit(0).into())),
            Life::Completed
        ));
        for (lived, wanted) in [
            (Ok(Err(())), "`run` returned an error"),
            (
                trap(wasmtime_wasi::I32Exit(3).into()),
                "it exited with status 3",
            ),
            (
                trap(wasmtime::Trap::IntegerDivisionByZero.into()),
                "divide by zero",
            ),
        ] {
            let Life::Crashed(reason) = judge(lived) else {
                panic!("{wanted} is a crash");
            };
            assert!(reason.contains(wanted), "{reason}");
        }
    }
}
