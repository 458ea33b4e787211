//! What is served: brings the host from what runs to what should run, so that nothing that works is ever given up for something
//! that does not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use wasmcloud::artifact::{Digest, Fetch as _, Files};
use wasmcloud::assembly::offers;
use wasmcloud::engine::LinkPlan;
use wasmcloud::engine::plan::Offers;
use wasmcloud::host::{Host, LocalHost, StartRequest};
use wasmcloud::workload::{Namespace, Workload, WorkloadId, WorkloadName};

use super::guests::{Guests, id_of};
use crate::failure::Failure;
use crate::inspect::{plan_json, plan_text};
use crate::project::ToRun;

type Key = (Namespace, WorkloadName);

/// The workloads of a project on a host.
pub(super) struct Serving {
    host: Arc<LocalHost>,
    guests: Guests,
    pub(super) offers: Offers,
    running: BTreeMap<Key, Running>,
    starts: u64,
    /// Whether something was swapped since everything was last there.
    swapped: bool,
}

/// A workload that runs.
struct Running {
    id: WorkloadId,
    workload: Workload,
    /// What its components were made of.
    digests: Vec<Option<Digest>>,
    plan: Option<Arc<LinkPlan>>,
}

impl Serving {
    pub(super) fn new(host: Arc<LocalHost>, guests: Guests) -> Self {
        Self {
            host,
            guests,
            offers: offers(),
            running: BTreeMap::new(),
            starts: 0,
            swapped: false,
        }
    }

    /// Serves these workloads and no others. Each takes the place of its predecessor, or else of one that is no longer wanted;
    /// those that did not change are left alone. Says whether anything is new since it last went well.
    ///
    /// When one does not start, its predecessor and all that are no longer wanted run on.
    pub(super) async fn serve(&mut self, wanted: &[ToRun]) -> Result<bool, Failure> {
        self.guests.name_workloads(wanted.len() > 1);
        let keys: Vec<Key> = wanted.iter().map(key).collect();
        let mut unwanted: Vec<Key> = self
            .running
            .keys()
            .filter(|key| !keys.contains(key))
            .cloned()
            .collect();
        unwanted.reverse();
        let mut failures = Vec::new();
        for to_run in wanted {
            let digests = digests(&to_run.workload, &to_run.base).await;
            let key = key(to_run);
            let before = match self.running.get(&key) {
                Some(running)
                    if running.workload == to_run.workload && running.digests == digests =>
                {
                    continue;
                }
                Some(_) => Some(key),
                None => unwanted.pop(),
            };
            if let Err(failure) = self.start(to_run, digests, before).await {
                failures.push(failure);
            }
        }
        if let Some(failure) = failures.into_iter().reduce(Failure::and) {
            return Err(failure);
        }
        for key in unwanted {
            if let Some(running) = self.running.remove(&key) {
                // Not being there any more is what was wanted.
                let _ = self.host.stop(&running.id).await;
                self.swapped = true;
            }
        }
        Ok(std::mem::take(&mut self.swapped))
    }

    async fn start(
        &mut self,
        to_run: &ToRun,
        digests: Vec<Option<Digest>>,
        before: Option<Key>,
    ) -> Result<(), Failure> {
        self.starts += 1;
        let id: WorkloadId = id_of(self.starts, to_run.workload.name.as_str())
            .parse()
            .map_err(|error| Failure::new(format!("{error}")))?;
        let replaces = before
            .as_ref()
            .and_then(|key| self.running.get(key))
            .map(|running| running.id.clone());
        let request = StartRequest {
            id: id.clone(),
            workload: to_run.workload.clone(),
            base: to_run.base.clone(),
            replaces,
        };
        match self.host.start(request).await {
            Ok(status) => {
                self.swapped = true;
                if let Some(before) = before {
                    self.running.remove(&before);
                }
                self.running.insert(
                    key(to_run),
                    Running {
                        id,
                        workload: to_run.workload.clone(),
                        digests,
                        plan: status.plan,
                    },
                );
                Ok(())
            }
            Err(error) => {
                // The host remembers the failure under its id, which is never used again.
                let _ = self.host.stop(&id).await;
                Err(to_run.start_problems(&error).into())
            }
        }
    }

    /// The plans of what runs, for tools.
    pub(super) fn plans_json(&self) -> Vec<Value> {
        self.plans()
            .map(|(workload, plan)| plan_json(workload, plan))
            .collect()
    }

    /// The plans of what runs, for people.
    pub(super) fn plans_text(&self) -> String {
        let plans = self
            .plans()
            .map(|(workload, plan)| plan_text(workload, plan, false));
        plans.collect::<Vec<_>>().join("\n\n")
    }

    fn plans(&self) -> impl Iterator<Item = (&Workload, &LinkPlan)> {
        self.running
            .values()
            .filter_map(|running| Some((&running.workload, running.plan.as_deref()?)))
    }
}

fn key(to_run: &ToRun) -> Key {
    (
        to_run.workload.namespace.clone(),
        to_run.workload.name.clone(),
    )
}

/// What the components of a workload are made of, so far as they can be read; those that cannot are different each time.
async fn digests(workload: &Workload, base: &Path) -> Vec<Option<Digest>> {
    let mut digests = Vec::new();
    for component in &workload.components {
        let fetched = Files::default().fetch(&component.image.resolve(base)).await;
        digests.push(fetched.ok().map(|bytes| Digest::of(&bytes)));
    }
    digests
}
