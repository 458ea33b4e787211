//! How a host ends: nobody is let in any more, everything is answered, everything is stopped.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Inner, LocalHost};
use crate::host::component_plugin::is_plugin;
use crate::host::slot::Slot;
use crate::workload::WorkloadId;

/// How long nobody must ask for anything until a shutdown waits no longer for those who were let in.
const SILENCE: Duration = Duration::from_secs(2);
/// After everything was stopped, how long until clients who read slowly have the end of their answers.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl LocalHost {
    /// Lets nobody in any more, has everything answered that was asked before, and stops all workloads, at the same time and
    /// within the grace for one. Says whether all that was being answered was finished in that time; the rest is cut short.
    pub async fn shutdown(&self) -> bool {
        let cut_short = || self.0.cut_short.load(Ordering::Relaxed);
        let before = cut_short();
        let (begun, grace) = (Instant::now(), self.0.graces.stopped);
        self.0
            .engine
            .plugins()
            .iter()
            .for_each(|plugin| plugin.close());
        let (running, leaving) = self.0.by_running();
        // Those that start give up, and those that leave already have no longer than the others.
        let leaving = leaving
            .into_iter()
            .filter_map(|id| self.0.begin_stop(&id, Duration::ZERO).ok()?.1);
        let leaving: Vec<CancellationToken> = leaving.collect();
        // Requests that are on their way in find their workload still there.
        tokio::select! {
            () = self.deserted() => {}
            () = self.silence() => {}
            () = sleep(grace) => {}
        }
        // Plugins go last: the others may be calling them.
        let (plugins, running): (Vec<_>, Vec<_>) = running.into_iter().partition(is_plugin);
        let stop = |id: &WorkloadId| {
            let left = grace.saturating_sub(begun.elapsed());
            self.0.begin_stop(id, left).ok()?.1
        };
        let overs: Vec<CancellationToken> =
            running.iter().filter_map(stop).chain(leaving).collect();
        join_all(overs.iter().map(CancellationToken::cancelled)).await;
        let overs: Vec<CancellationToken> = plugins.iter().filter_map(stop).collect();
        join_all(overs.iter().map(CancellationToken::cancelled)).await;
        // Whoever was cut short is told so.
        let _ = timeout(LAST_WORDS, self.deserted()).await;
        before == cut_short()
    }

    /// Returns when nobody has asked for anything in a while: who was let in and is silent keeps nobody.
    async fn silence(&self) {
        let mut since = Instant::now();
        while since.elapsed() < SILENCE {
            sleep(SILENCE / 20).await;
            if self.0.instances() > 0 {
                since = Instant::now();
            }
        }
    }

    /// Returns when nobody is left whom a plugin had let in.
    async fn deserted(&self) {
        let plugins = self.0.engine.plugins();
        join_all(plugins.iter().map(|plugin| plugin.closed())).await;
    }
}

impl Inner {
    /// How many instances are in use.
    fn instances(&self) -> usize {
        let slots = self.slots();
        let running = slots.by_id.values().filter_map(|(_, slot)| match slot {
            Slot::Running { held, .. } => Some(held.instances()),
            _ => None,
        });
        running.sum()
    }

    /// The ids of the workloads that run, and those of all others.
    fn by_running(&self) -> (Vec<WorkloadId>, Vec<WorkloadId>) {
        let slots = self.slots();
        let ids = slots.by_id.iter();
        let (running, others): (Vec<_>, Vec<_>) =
            ids.partition(|(_, (_, slot))| matches!(slot, Slot::Running { .. }));
        let ids =
            |slots: Vec<(&WorkloadId, _)>| slots.into_iter().map(|(id, _)| id.clone()).collect();
        (ids(running), ids(others))
    }
}
