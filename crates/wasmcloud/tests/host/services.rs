//! Services: one instance that starts with its workload, lives as long, comes back when it crashes, and answers while it runs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use wasmcloud::assembly::HostConfig;
use wasmcloud::host::{Restarts, ServiceState, ServiceStatus, StartError, WorkloadState};

use crate::isolated::Meeting;
use crate::support::{TestHost, component, http, http_at, spec, with_environment};

mod crashes;
mod handlers;
mod life;
mod links;
mod ports;

/// Restarts that a test need not wait for.
fn soon() -> Restarts {
    Restarts {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(4),
        healthy: Duration::from_secs(60),
    }
}

/// A host whose envoys meet when there are so many.
async fn host_with(envoys: usize, change: impl FnOnce(&mut HostConfig)) -> TestHost {
    TestHost::with(|config| {
        config.restarts = soon();
        let meeting = Meeting(Arc::new(Barrier::new(envoys)));
        config.plugins.push(Arc::new(meeting));
        change(config);
    })
    .await
}

async fn host() -> TestHost {
    host_with(2, |_| {}).await
}

/// A workload of a service alone, which behaves as `mode` says.
fn service(image: &str, mode: &str, max_restarts: u64) -> Value {
    beside(spec([], []), image, mode, max_restarts)
}

/// A workload with a service added to it, and with the component that the service calls.
fn beside(mut spec: Value, image: &str, mode: &str, max_restarts: u64) -> Value {
    let called = match image {
        test_guests::SERVE_P2 => Some(component("back", test_guests::CROSS_BACK)),
        test_guests::SERVE_P3 => Some(component("envoy", test_guests::CROSS_ENVOY)),
        _ => None,
    };
    if let Some(components) = spec["components"].as_array_mut() {
        components.extend(called);
    }
    let mut service = with_environment(json!({ "image": image }), json!({ "MODE": mode }));
    service["maxRestarts"] = json!(max_restarts);
    spec["service"] = service;
    spec
}

impl TestHost {
    /// What the service of a workload is doing.
    async fn service(&self, name: &str) -> ServiceStatus {
        let status = self.status(name).await.expect("it is known");
        status.service.expect("it has a service")
    }

    /// Waits until the service of a workload is in a state.
    async fn service_is(&self, name: &str, wanted: ServiceState) -> ServiceStatus {
        let reached = async {
            loop {
                let service = self.service(name).await;
                if service.state == wanted {
                    return service;
                }
                tokio::task::yield_now().await;
            }
        };
        crate::support::within(reached).await
    }

    /// The lines of the service so far, of which there must be as many.
    async fn said(&self, wanted: usize) -> Vec<String> {
        let lines = self.lines(wanted).await;
        lines.into_iter().map(|line| line.text).collect()
    }
}

/// The guests of these tests.
pub(crate) use crashes::serve_p2;
pub(crate) use handlers::serve_p3;
