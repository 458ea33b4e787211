//! What is served: brings the host from what runs to what should run, so that nothing that works is ever given up for something
//! that does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use wasmcloud::artifact::{Digest, Fetch as _, Files, Wanted};
use wasmcloud::engine::LinkPlan;
use wasmcloud::engine::plan::Offers;
use wasmcloud::host::{Host, LocalHost, StartRequest, Watched, WorkloadState};
use wasmcloud::workload::{Image, Namespace, Workload, WorkloadId, WorkloadName};

use super::events::Reporter;
use super::followed::{Followed, Follower, Told};
use super::guests::{Guests, id_of};
use crate::failure::Failure;
use crate::inspect::{plan_json, plan_text};
use crate::project::ToRun;

type Key = (Namespace, WorkloadName);

/// The workloads of a project on a host.
pub(super) struct Serving {
    host: Arc<LocalHost>,
    guests: Guests,
    reporter: Reporter,
    /// Where it listens.
    http: SocketAddr,
    pub(super) offers: Offers,
    running: BTreeMap<Key, Running>,
    several: bool,
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
    /// What was told about its ports.
    told: Told,
    /// How its service and ports are, until somebody follows that.
    watched: Option<Watched>,
    followed: Option<Followed>,
}

impl Serving {
    pub(super) fn new(
        host: Arc<LocalHost>,
        guests: Guests,
        reporter: Reporter,
        http: SocketAddr,
    ) -> Self {
        Self {
            offers: host.offers().clone(),
            host,
            guests,
            reporter,
            http,
            running: BTreeMap::new(),
            several: false,
            starts: 0,
            swapped: false,
        }
    }

    /// Serves these workloads and no others. Each takes the place of its predecessor, or else of one that is no longer wanted;
    /// those that did not change are left alone, unless they came to their end. Says whether anything is new since it last went well.
    ///
    /// When one does not start, its predecessor and all that are no longer wanted run on.
    pub(super) async fn serve(&mut self, wanted: &[ToRun]) -> Result<bool, Failure> {
        self.several = wanted.len() > 1;
        self.guests.name_workloads(self.several);
        self.forget_ended().await;
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
            let here = (wanted.len() == 1).then_some(self.http);
            if let Err(failure) = self.start(to_run, digests, before, here).await {
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

    /// Tells from now on what becomes of the services and ports of what runs.
    pub(super) async fn follow(&mut self) {
        for ((_, name), running) in &mut self.running {
            if running.followed.is_some() {
                continue;
            }
            let follower = Follower::new(
                Arc::clone(&self.host),
                running.id.clone(),
                name,
                self.several,
                running.told.clone(),
                self.reporter.clone(),
            );
            running.followed = match running.watched.take() {
                Some(watched) => Some(follower.follow(watched)),
                // It did not run for long enough to be looked at.
                None => Some(follower.end().await),
            };
        }
    }

    /// What came to its end by itself is started again when it is wanted again.
    async fn forget_ended(&mut self) {
        let mut ended = Vec::new();
        for (key, running) in &self.running {
            let status = self.host.status(&running.id).await;
            if !status.is_ok_and(|status| status.state == WorkloadState::Running) {
                ended.push(key.clone());
            }
        }
        for running in ended.iter().filter_map(|key| self.running.remove(key)) {
            // Nothing of it is held any more, but for the reason.
            let _ = self.host.stop(&running.id).await;
        }
    }

    async fn start(
        &mut self,
        to_run: &ToRun,
        digests: Vec<Option<Digest>>,
        before: Option<Key>,
        here: Option<SocketAddr>,
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
            workload: here.map_or_else(
                || to_run.workload.clone(),
                |http| reachable(&to_run.workload, http),
            ),
            base: to_run.base.clone(),
            replaces,
        };
        match self.host.start(request).await {
            Ok(status) => {
                let watched = self.host.watch(&id);
                self.swapped = true;
                let before = before.and_then(|before| self.running.remove(&before));
                self.running.insert(
                    key(to_run),
                    Running {
                        id,
                        workload: to_run.workload.clone(),
                        digests,
                        plan: status.plan,
                        told: before.map(|before| before.told).unwrap_or_default(),
                        watched,
                        followed: None,
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

/// The workload, answering at the printed address as well where its manifest names other hosts: a developer's machine has none
/// of those names.
fn reachable(workload: &Workload, http: SocketAddr) -> Workload {
    let mut workload = workload.clone();
    let entries = workload.host_interfaces.iter_mut();
    for entry in entries.filter(|entry| entry.is_http_handler()) {
        let named = ["host", "host-aliases"];
        if named.iter().any(|key| entry.config.contains_key(*key)) {
            let aliases = entry.config.entry("host-aliases".to_owned()).or_default();
            if !aliases.trim().is_empty() {
                aliases.push(',');
            }
            aliases.push_str(&format!("{},localhost", http.ip()));
        }
    }
    workload
}

/// What the components of a workload are made of, so far as they can be read; those that cannot are different each time.
async fn digests(workload: &Workload, base: &Path) -> Vec<Option<Digest>> {
    let mut digests = Vec::new();
    for component in workload.parts() {
        let image = component.image.resolve(base);
        let Image::File(_) = &image else {
            // A registry is asked when the workload starts; no file of ours changes what it says.
            digests.push(Some(Digest::of(image.to_string().as_bytes())));
            continue;
        };
        let fetched = Files::default().fetch(Wanted::by_host(&image)).await;
        digests.push(fetched.ok().map(|fetched| Digest::of(&fetched.bytes)));
    }
    digests
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wasmcloud::workload::manifest;

    use super::*;

    fn aliases(config: &str) -> Option<String> {
        let text = format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{name: shop}}\n\
             spec:\n  components: [{{name: front, image: ./front.wasm}}]\n  hostInterfaces:\n\
             \x20 - {{namespace: wasi, package: http, interfaces: [incoming-handler], config: {config}}}\n"
        );
        let workload = manifest::parse(&text, Path::new("w.yaml"))
            .unwrap()
            .remove(0)
            .workload;
        let reachable = reachable(&workload, "127.0.0.1:8000".parse().unwrap());
        reachable.host_interfaces[0]
            .config
            .get("host-aliases")
            .cloned()
    }

    #[test]
    fn a_workload_that_names_hosts_answers_at_the_printed_address_too() {
        assert_eq!(aliases("{}"), None);
        assert_eq!(aliases("{path: /x}"), None);
        assert_eq!(aliases("{host: a.example}").unwrap(), "127.0.0.1,localhost");
        let both = aliases("{host: a.example, host-aliases: b.example}");
        assert_eq!(both.unwrap(), "b.example,127.0.0.1,localhost");
    }
}
