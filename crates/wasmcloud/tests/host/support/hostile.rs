//! Workloads that mean harm, and the neighbour that must not notice.

use std::time::Duration;

use serde_json::{Value, json};
use wasmcloud::host::{PoolStatus, WorkloadUsage};

use super::{Answer, Connection, TestHost, Version, component, empty, http_at, request, spec};

/// Where hostile guests are reached.
pub(crate) const BAD: &str = "bad";
/// Where their neighbour is.
pub(crate) const GOOD: &str = "good";
/// Both hostile guests.
pub(crate) const HOSTILE: [&str; 2] = [test_guests::HOSTILE_P2, test_guests::HOSTILE_P3];

/// A workload of one component that has these resources, answers at `host` and may have a pool: `poolSize` and so on.
pub(crate) fn hostile(host: &str, image: &str, resources: Value, pool: &Value) -> Value {
    let mut component = component(host, image);
    component["localResources"] = resources;
    for (field, value) in pool.as_object().into_iter().flatten() {
        component[field] = value.clone();
    }
    spec([component], [http_at(json!({ "host": host }))])
}

/// A request that is under way, and the connection that it came by.
pub(crate) struct Pending {
    connection: Connection,
    answer: tokio::task::JoinHandle<hyper::Result<http::Response<hyper::body::Incoming>>>,
}

impl Pending {
    pub(crate) fn is_finished(&self) -> bool {
        self.answer.is_finished()
    }

    /// Waits for the answer.
    pub(crate) async fn answer(self) -> Answer {
        let response = super::within(self.answer).await.unwrap();
        Answer::of(response.expect("an answer")).await
    }

    /// Goes away without waiting for it.
    pub(crate) async fn leave(self) {
        self.connection.leave().await;
        self.answer.abort();
    }
}

impl TestHost {
    /// Starts the good neighbour.
    pub(crate) async fn run_neighbour(&self) {
        let entry = http_at(json!({ "host": GOOD }));
        let neighbour = component(GOOD, test_guests::HTTP_P2);
        self.run(GOOD, &spec([neighbour], [entry])).await;
    }

    /// The neighbour must be served.
    pub(crate) async fn neighbour_is_served(&self) {
        let answer = self.get_from(GOOD, "/hello").await;
        assert_eq!(answer.body, "Hello from WASI 0.2\n");
    }

    /// Begins a request to a workload that answers at its name.
    pub(crate) async fn begin(&self, workload: &str, path: &str) -> Pending {
        let mut connection = self.connect(Version::H1).await;
        let wanted = request(Version::H1, "GET", workload, path, empty());
        let answer = connection.begin(wanted);
        Pending { connection, answer }
    }

    /// What a workload uses.
    pub(crate) async fn usage(&self, workload: &str) -> WorkloadUsage {
        let status = self.status(workload).await.expect("it is known");
        status.usage.expect("it runs")
    }

    /// How the pool of a workload's only entry was used.
    pub(crate) async fn pool(&self, workload: &str) -> PoolStatus {
        self.usage(workload).await.pools.remove(0)
    }

    /// Waits until nothing of a workload is under way and its instances are gone.
    pub(crate) async fn nothing_is_left(&self, workload: &str) {
        self.uses(workload, |usage| {
            usage.invocations == 0 && usage.memory_bytes == 0
        })
        .await;
    }

    /// Waits until what a workload uses is as wanted.
    pub(crate) async fn uses(&self, workload: &str, wanted: impl Fn(&WorkloadUsage) -> bool) {
        let reached = async {
            while !wanted(&self.usage(workload).await) {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), reached)
            .await
            .is_err()
        {
            panic!("it stays at {:?}", self.usage(workload).await);
        }
    }
}
