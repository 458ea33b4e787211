//! A host with everything it says collected.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use wasmcloud::assembly::{Assembled, HostConfig, assemble};
use wasmcloud::capability::http::{AccessLog, AccessRecord, ErrorDetail, HttpOptions, Outgoing};
use wasmcloud::engine::{Allocation, EngineOptions};
use wasmcloud::host::{
    Host as _, LocalHost, StartError, StartRequest, WorkloadState, WorkloadStatus,
};
use wasmcloud::plugin::{GuestLine, GuestOutput};
use wasmcloud::workload::{Manifest, WorkloadId, manifest as manifests};

use super::{Answer, Connection, Raw, Version, manifest, within};

/// A line that a guest wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) workload: String,
    pub(crate) component: String,
    pub(crate) source: String,
    pub(crate) context: String,
    pub(crate) text: String,
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) workload: Option<String>,
    pub(crate) component: Option<String>,
}

/// Keeps what it is told, and wakes who waits for it.
struct Collected<T>(watch::Sender<Vec<T>>);

impl GuestOutput for Collected<Line> {
    fn line(&self, line: GuestLine<'_>) {
        let line = Line {
            workload: line.workload.to_string(),
            component: line.component.to_string(),
            source: line.source.to_string(),
            context: line.context.to_owned(),
            text: line.text.to_owned(),
        };
        self.0.send_modify(|lines| lines.push(line));
    }
}

impl AccessLog for Collected<Access> {
    fn request(&self, record: &AccessRecord<'_>) {
        let access = Access {
            method: record.method.to_string(),
            host: record.host.to_owned(),
            path: record.path.to_owned(),
            status: record.status.as_u16(),
            workload: record.workload.map(ToString::to_string),
            component: record.component.map(ToString::to_string),
        };
        self.0.send_modify(|records| records.push(access));
    }
}

/// A host on a port of its own.
pub(crate) struct TestHost {
    pub(crate) host: Arc<LocalHost>,
    http: Option<SocketAddr>,
    pub(crate) outgoing: Outgoing,
    lines: watch::Receiver<Vec<Line>>,
    requests: watch::Receiver<Vec<Access>>,
}

impl TestHost {
    /// A host as developers have it: clients are told everything. Its grace has no end, so that a guest that ought to be gone
    /// shows when its workload is stopped.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A host with other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut HostConfig)) -> Self {
        let lines = Collected(watch::Sender::default());
        let requests = Collected(watch::Sender::default());
        let (line_receiver, request_receiver) = (lines.0.subscribe(), requests.0.subscribe());
        let mut config = HostConfig {
            engine: EngineOptions {
                allocation: Allocation::Pooled { instances: 128 },
                // Shared by all tests and runs: compiling is not what is tested here.
                cache_dir: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled")),
                ..EngineOptions::default()
            },
            http: Some(HttpOptions {
                errors: ErrorDetail::Full,
                access: Some(Arc::new(requests)),
                ..HttpOptions::new(([127, 0, 0, 1], 0).into())
            }),
            output: Arc::new(lines),
            grace: Duration::MAX,
            ..HostConfig::default()
        };
        change(&mut config);
        let Assembled {
            host,
            http,
            outgoing,
        } = assemble(config).await.expect("the host starts");
        Self {
            host,
            http,
            outgoing,
            lines: line_receiver,
            requests: request_receiver,
        }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.http.expect("this host serves HTTP")
    }

    /// Starts a workload under its name as id.
    pub(crate) async fn try_run(
        &self,
        name: &str,
        spec: &Value,
    ) -> Result<WorkloadStatus, StartError> {
        within(self.host.start(start_request(name, name, spec, None))).await
    }

    /// Starts a workload that must start.
    pub(crate) async fn run(&self, name: &str, spec: &Value) -> WorkloadStatus {
        self.try_run(name, spec)
            .await
            .unwrap_or_else(|error| panic!("`{name}` does not start: {error}"))
    }

    /// Starts a workload in the place of another.
    pub(crate) async fn replace(
        &self,
        old: &str,
        name: &str,
        spec: &Value,
    ) -> Result<WorkloadStatus, StartError> {
        within(
            self.host
                .start(start_request(name, name, spec, Some(id(old)))),
        )
        .await
    }

    /// Stops a workload that must be there.
    pub(crate) async fn stop(&self, name: &str) -> WorkloadStatus {
        within(self.host.stop(&id(name)))
            .await
            .expect("it is there to be stopped")
    }

    /// Stops a workload; with a grace that has no end, this returns only if no guest of it is left.
    pub(crate) async fn stop_finds_nothing_running(&self, name: &str) {
        self.stop(name).await;
    }

    /// Waits until a workload that somebody stops is gone.
    pub(crate) async fn stop_is_over(&self, name: &str) {
        // Unknown is fine: then it is over already.
        let _ = within(self.host.stop(&id(name))).await;
        assert!(self.status(name).await.is_none());
    }

    /// Waits until a workload is in a state.
    pub(crate) async fn reaches(&self, name: &str, wanted: WorkloadState) {
        let reached = async {
            while self.status(name).await.map(|status| status.state) != Some(wanted) {
                tokio::task::yield_now().await;
            }
        };
        within(reached).await;
    }

    pub(crate) async fn status(&self, name: &str) -> Option<WorkloadStatus> {
        self.host.status(&id(name)).await.ok()
    }

    /// What a workload that runs cannot have now, as its status says.
    pub(crate) async fn troubles(&self, name: &str) -> Vec<String> {
        self.status(name).await.expect("it is there").troubles
    }

    /// Waits until a workload has everything that it was granted, as far as its status says.
    pub(crate) async fn until_well(&self, name: &str) {
        let well = async {
            while !self.troubles(name).await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        within(well).await;
    }

    /// Waits until the status of a workload says that something is away.
    pub(crate) async fn until_troubled(&self, name: &str) {
        let troubled = async {
            while self.troubles(name).await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        within(troubled).await;
    }

    /// Starts a workload in a namespace, under an id of both names.
    pub(crate) async fn run_in(&self, namespace: &str, name: &str, spec: &Value) -> String {
        let id = format!("{namespace}.{name}");
        let mut request = start_request(&id, name, spec, None);
        request.workload.namespace = namespace.parse().expect("a namespace");
        let started = within(self.host.start(request)).await;
        started.unwrap_or_else(|error| panic!("`{id}` does not start: {error}"));
        id
    }

    /// Gets a path from `localhost` over HTTP/1.1.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_from("localhost", path).await
    }

    /// Gets a path from a named host over HTTP/1.1.
    pub(crate) async fn get_from(&self, host: &str, path: &str) -> Answer {
        let request = super::request(Version::H1, "GET", host, path, super::empty());
        let mut connection = self.connect(Version::H1).await;
        Answer::of(connection.send(request).await).await
    }

    /// Waits until a workload has exactly as many instances in use.
    pub(crate) async fn instances(&self, name: &str, wanted: usize) {
        let id = id(name);
        let counted = async {
            while self.host.instances(&id) != wanted {
                tokio::task::yield_now().await;
            }
        };
        within(counted).await;
    }

    pub(crate) async fn connect(&self, version: Version) -> Connection {
        Connection::open(self.addr(), version).await
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::open(self.addr()).await
    }

    /// Waits until as many lines were written as `wanted`, and gives them all.
    pub(crate) async fn lines(&self, wanted: usize) -> Vec<Line> {
        let mut lines = self.lines.clone();
        let lines = within(lines.wait_for(|lines| lines.len() >= wanted)).await;
        lines.expect("the host lives").clone()
    }

    /// Waits until as many requests were answered as `wanted`, and gives the record of them all.
    pub(crate) async fn requests(&self, wanted: usize) -> Vec<Access> {
        let mut requests = self.requests.clone();
        let requests = within(requests.wait_for(|requests| requests.len() >= wanted)).await;
        requests.expect("the host lives").clone()
    }
}

pub(crate) fn id(name: &str) -> WorkloadId {
    name.parse().expect("a valid id")
}

pub(crate) fn start_request(
    id: &str,
    name: &str,
    spec: &Value,
    replaces: Option<WorkloadId>,
) -> StartRequest {
    let text = manifest(name, spec);
    let parsed = manifests::parse(&text, Path::new("workload.yaml"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let [Manifest { workload, .. }] = parsed.try_into().expect("one document");
    StartRequest {
        id: self::id(id),
        workload,
        base: PathBuf::from("."),
        replaces,
    }
}
