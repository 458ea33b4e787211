//! The plugin: checks schedules, and runs those of each workload.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::LinkerInstance;

use super::agenda::Rules;
use super::board::{Board, Job, Shown};
use super::timetable::{Timetable, TimetableError, Wrong};
use crate::plugin::{
    BindRequest, Binding, Entry, Import, Offer, Opening, Plugin, PluginError, Scheduled, StoreData,
};
use crate::workload::{Export, Schedule, Workload, WorkloadId};

/// Calls what the schedules of workloads name, when they are due.
#[derive(Debug, Default)]
pub struct Schedules {
    boards: Arc<Boards>,
}

/// What runs, by workload.
#[derive(Debug, Default)]
struct Boards(Mutex<HashMap<WorkloadId, Arc<Board>>>);

impl Boards {
    fn all(&self) -> MutexGuard<'_, HashMap<WorkloadId, Arc<Board>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Plugin for Schedules {
    fn id(&self) -> &'static str {
        "schedule"
    }

    fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    fn runs_schedules(&self) -> bool {
        true
    }

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        let schedules = workload.schedules.iter().enumerate();
        schedules
            .filter_map(|(index, schedule)| {
                let error = timetable(schedule).err()?;
                Some(refused(index, schedule, &error))
            })
            .collect()
    }

    /// Nothing more begins; what is at work goes on.
    fn close(&self) {
        self.boards.all().values().for_each(|board| board.end());
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        Ok(Box::new(Bound {
            boards: Arc::clone(&self.boards),
            id: request.id.clone(),
            schedules: request.workload.schedules.clone(),
            replaces: None,
            board: None,
            serving: None,
        }))
    }

    fn link(
        &self,
        import: &Import<'_>,
        _: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        Err(wasmtime::format_err!(
            "`{}` is not offered",
            import.interface
        ))
    }
}

fn timetable(schedule: &Schedule) -> Result<Timetable, TimetableError> {
    Timetable::parse(&schedule.schedule, schedule.time_zone.as_deref())
}

fn refused(index: usize, schedule: &Schedule, error: &TimetableError) -> PluginError {
    let field = match error.wrong {
        Wrong::Schedule => "schedule",
        Wrong::TimeZone => "timeZone",
    };
    let refused = PluginError::new(format!("schedule `{}`: {error}", schedule.name))
        .at(format!("spec.schedules.{index}.{field}"));
    match &error.hint {
        Some(hint) => refused.hint(hint.clone()),
        None => refused,
    }
}

/// The schedules of one workload.
struct Bound {
    boards: Arc<Boards>,
    id: WorkloadId,
    schedules: Vec<Schedule>,
    replaces: Option<WorkloadId>,
    board: Option<Arc<Board>>,
    serving: Option<AbortOnDropHandle<()>>,
}

#[async_trait]
impl Binding for Bound {
    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        let mut jobs = Vec::new();
        for (index, schedule) in self.schedules.iter().enumerate() {
            let named = |entry: &&Entry| entry.schedule.as_ref() == Some(&schedule.name);
            let Some(entry) = opening.entries.iter().find(named) else {
                continue;
            };
            let Export::Function(function) = &entry.export else {
                continue;
            };
            let timetable =
                timetable(schedule).map_err(|error| refused(index, schedule, &error))?;
            jobs.push(Job {
                name: schedule.name.clone(),
                component: entry.component.clone(),
                function: function.clone(),
                args: schedule.args.clone(),
                rules: Rules {
                    timetable,
                    concurrency: schedule.concurrency,
                    missed: schedule.missed,
                    suspend: schedule.suspend,
                },
                callee: entry.callee.clone(),
            });
        }
        self.replaces = opening.replaces;
        self.board = Some(Arc::new(Board::new(jobs)));
        Ok(())
    }

    fn schedules(&self) -> Option<Arc<dyn Scheduled>> {
        let board = self.board.as_ref()?;
        Some(Arc::new(Shown(Arc::clone(board))))
    }

    fn go_live(&mut self) {
        let Some(board) = &self.board else { return };
        let mut boards = self.boards.all();
        // What is due from now on is due here, and no longer there.
        let before = self.replaces.as_ref().and_then(|id| boards.get(id));
        if let Some(before) = before {
            board.takes_over(before);
        }
        boards.insert(self.id.clone(), Arc::clone(board));
        drop(boards);
        let serving = tokio::spawn(Arc::clone(board).serve());
        self.serving = Some(AbortOnDropHandle::new(serving));
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let Some(board) = &self.board else { return };
        board.end();
        let mut boards = self.boards.all();
        if boards
            .get(&self.id)
            .is_some_and(|known| Arc::ptr_eq(known, board))
        {
            boards.remove(&self.id);
        }
    }
}
