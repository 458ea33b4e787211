//! Tells what becomes of a workload's service, and on which ports it listens.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::task::AbortOnDropHandle;
use wasmcloud::host::{
    Host as _, LocalHost, ServiceState, ServiceStatus, Watched, WorkloadState, WorkloadStatus,
};
use wasmcloud::plugin::Port;
use wasmcloud::workload::{WorkloadId, WorkloadName};

use super::events::{Event, Reporter};

/// The ports that were told last. The next version of a workload has the same ones, as a rule, and need not tell them again.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(Arc<Mutex<Vec<Port>>>);

/// A workload that is followed until this is dropped; nothing, if it has ended.
#[derive(Debug)]
pub(super) struct Followed {
    _task: Option<AbortOnDropHandle<()>>,
}

/// Tells about one workload.
pub(super) struct Follower {
    host: Arc<LocalHost>,
    id: WorkloadId,
    name: String,
    /// Goes before every line where there are several workloads.
    label: String,
    told: Told,
    reporter: Reporter,
    status: Option<ServiceStatus>,
}

impl Follower {
    /// For a workload that was started. `several`: others run beside it, so that people have to be told its name.
    pub(super) fn new(
        host: Arc<LocalHost>,
        id: WorkloadId,
        name: &WorkloadName,
        several: bool,
        told: Told,
        reporter: Reporter,
    ) -> Self {
        let label = if several {
            format!("{name}: ")
        } else {
            String::new()
        };
        Self {
            host,
            id,
            name: name.to_string(),
            label,
            told,
            reporter,
            status: None,
        }
    }

    /// Tells from now on what changes.
    pub(super) fn follow(self, watched: Watched) -> Followed {
        let task = AbortOnDropHandle::new(tokio::spawn(self.run(watched)));
        Followed { _task: Some(task) }
    }

    /// Tells the end of a workload that has ended already.
    pub(super) async fn end(mut self) -> Followed {
        let status = self.host.status(&self.id).await;
        self.service(status.ok().and_then(|status| status.service));
        Followed { _task: None }
    }

    async fn run(mut self, mut watched: Watched) {
        loop {
            self.service(watched.service());
            self.ports().await;
            if !watched.changed().await {
                return;
            }
        }
    }

    fn service(&mut self, status: Option<ServiceStatus>) {
        let Some(status) = status.filter(|status| self.status.as_ref() != Some(status)) else {
            return;
        };
        let event = Event::Service {
            workload: self.name.clone(),
            status: status.clone(),
        };
        self.reporter.event(&event, || {
            Some(format!("{}{}", self.label, service_text(&status)?))
        });
        self.status = Some(status);
    }

    async fn ports(&self) {
        let status = self.host.status(&self.id).await;
        // That the ports of one that is being stopped close is no news.
        let Some(WorkloadStatus { ports, .. }) = status.ok().filter(is_running) else {
            return;
        };
        let mut told = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == ports {
            return;
        }
        let event = Event::Ports {
            workload: self.name.clone(),
            ports: ports.clone(),
        };
        let before: BTreeSet<&Port> = told.iter().collect();
        let new = ports.iter().filter(|port| !before.contains(port));
        let lines: Vec<String> = new
            .map(|port| format!("{}{}", self.label, port_text(port)))
            .collect();
        self.reporter
            .event(&event, || (!lines.is_empty()).then(|| lines.join("\n")));
        *told = ports;
    }
}

fn is_running(status: &WorkloadStatus) -> bool {
    status.state == WorkloadState::Running
}

/// What people hear of a service. Why it crashed is in the host's log, which they see as well.
fn service_text(status: &ServiceStatus) -> Option<String> {
    match status.state {
        ServiceState::Starting | ServiceState::Restarting => None,
        ServiceState::Running if status.restarts == 0 => Some("service is up".to_owned()),
        ServiceState::Running => Some(format!("service is up again (restart {})", status.restarts)),
        ServiceState::Completed => Some("service has completed".to_owned()),
        ServiceState::Failed => {
            let words = "service has failed, and the workload with it; it is started again after the next change";
            Some(words.to_owned())
        }
    }
}

fn port_text(port: &Port) -> String {
    match port.published {
        Some(published) => format!("published: {published} → {}", port.inside.port()),
        None => format!("service listens on {} inside the workload", port.inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_hear_where_a_service_listens() {
        let port = |published: Option<&str>| Port {
            inside: "127.0.0.1:7070".parse().unwrap(),
            published: published.map(|addr| addr.parse().unwrap()),
        };
        assert_eq!(
            port_text(&port(None)),
            "service listens on 127.0.0.1:7070 inside the workload"
        );
        assert_eq!(
            port_text(&port(Some("127.0.0.1:8080"))),
            "published: 127.0.0.1:8080 → 7070"
        );
    }

    #[test]
    fn people_hear_what_a_service_does() {
        let text = |state, restarts| {
            let reason = None;
            service_text(&ServiceStatus {
                state,
                restarts,
                reason,
            })
        };
        assert_eq!(text(ServiceState::Running, 0).unwrap(), "service is up");
        assert_eq!(
            text(ServiceState::Running, 2).unwrap(),
            "service is up again (restart 2)"
        );
        assert_eq!(
            text(ServiceState::Completed, 0).unwrap(),
            "service has completed"
        );
        assert!(
            text(ServiceState::Failed, 5)
                .unwrap()
                .contains("after the next change")
        );
    }
}
