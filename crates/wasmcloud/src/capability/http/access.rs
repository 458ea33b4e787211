//! Who asked for what and got which answer.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::workload::{ComponentName, WorkloadId};

/// One request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The host it was sent to, as the client wrote it; empty if it named none.
    pub host: &'a str,
    /// Its path, without the query, which may hold secrets.
    pub path: &'a str,
    /// The status of the answer.
    pub status: StatusCode,
    /// The workload that answered, if it was routed to one.
    pub workload: Option<&'a WorkloadId>,
    /// The component that answered.
    pub component: Option<&'a ComponentName>,
    /// The time until the head of the answer was ready.
    pub elapsed: Duration,
}

/// Receives a record of each request. Called on serving threads: it must not block.
pub trait AccessLog: Send + Sync + 'static {
    /// Takes one record.
    fn request(&self, record: &AccessRecord<'_>);
}
