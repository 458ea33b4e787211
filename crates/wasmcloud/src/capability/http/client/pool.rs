//! The connections of one workload: those that wait for the next request, and those over HTTP/2, which take many at once.
//!
//! It is a pool of our own because the ready-made one (of `hyper-util`) neither closes an idle connection to make room for another,
//! nor ends a connection at once with the guest that uses it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use wasmtime_wasi_http::WasiBody;

use crate::workload::Destination;

/// The task that drives a connection. When the last who needs it is gone, the task ends, and with it the connection.
#[derive(Debug)]
pub(super) struct Driver {
    task: AbortHandle,
    /// Ends what the connection runs beside itself, such as the sending of bodies over HTTP/2.
    _tasks: Option<DropGuard>,
}

impl Driver {
    pub(super) fn new(task: AbortHandle, tasks: Option<DropGuard>) -> Self {
        Self {
            task,
            _tasks: tasks,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs what an HTTP/2 connection needs beside its own task, until that connection's driver is gone.
#[derive(Clone, Debug)]
pub(super) struct Tasks(pub(super) CancellationToken);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let ended = self.0.clone();
        tokio::spawn(async move {
            // What was cut short has nobody left to tell.
            let _ = ended.run_until_cancelled_owned(task).await;
        });
    }
}

/// A connection for one request at a time.
#[derive(Debug)]
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<WasiBody>,
    pub(super) _driver: Driver,
}

/// A connection for many requests at once.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    pub(super) sender: http2::SendRequest<WasiBody>,
    pub(super) driver: Arc<Driver>,
}

/// A connection, whatever it speaks.
#[derive(Debug)]
pub(super) enum Connection {
    Http1(Http1),
    Http2(Http2),
}

#[derive(Debug)]
struct Idle {
    connection: Http1,
    since: Instant,
}

#[derive(Debug)]
struct Shared {
    connection: Http2,
    used: Instant,
}

impl Shared {
    /// Whether nobody but the pool holds it.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.connection.driver) == 1
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: HashMap<Destination, Vec<Idle>>,
    shared: HashMap<Destination, Shared>,
    /// Whether somebody comes to throw out what was idle for too long.
    pub(super) swept: bool,
}

impl Pool {
    /// A connection that is ready for a request. The one that was used last is the least likely to be closed by the other side.
    pub(super) fn take(&mut self, to: &Destination) -> Option<Connection> {
        if let Some(shared) = self.shared.get_mut(to) {
            if !shared.connection.sender.is_closed() {
                shared.used = Instant::now();
                return Some(Connection::Http2(shared.connection.clone()));
            }
            self.shared.remove(to);
        }
        let idle = self.idle.get_mut(to)?;
        let ready = std::iter::from_fn(|| idle.pop())
            .find(|idle| idle.connection.sender.is_ready())
            .map(|idle| Connection::Http1(idle.connection));
        if idle.is_empty() {
            self.idle.remove(to);
        }
        ready
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&mut self, to: Destination, connection: Http1) {
        let since = Instant::now();
        self.idle
            .entry(to)
            .or_default()
            .push(Idle { connection, since });
    }

    /// Shares a connection with the requests that come, unless there is one already.
    pub(super) fn share(&mut self, to: Destination, connection: &Http2) {
        let used = Instant::now();
        self.shared.entry(to).or_insert_with(|| Shared {
            connection: connection.clone(),
            used,
        });
    }

    /// Shares a connection no longer: it took a request and did not send it.
    pub(super) fn forget(&mut self, to: &Destination) {
        self.shared.remove(to);
    }

    /// Notes that a shared connection was in use until now.
    pub(super) fn used(&mut self, to: &Destination) {
        if let Some(shared) = self.shared.get_mut(to) {
            shared.used = Instant::now();
        }
    }

    /// Closes the connection that was idle longest, to make room. Whether there was one.
    pub(super) fn evict(&mut self) -> bool {
        let idle = self.idle.iter().filter_map(|(to, idle)| {
            let first = idle.first()?;
            Some((first.since, to, true))
        });
        let shared = self.shared.iter().filter(|(_, shared)| shared.is_idle());
        let shared = shared.map(|(to, shared)| (shared.used, to, false));
        let oldest = idle.chain(shared).min_by_key(|(since, ..)| *since);
        match oldest.map(|(_, to, idle)| (to.clone(), idle)) {
            None => false,
            Some((to, true)) => {
                if let Some(idle) = self.idle.get_mut(&to) {
                    idle.remove(0);
                    if idle.is_empty() {
                        self.idle.remove(&to);
                    }
                }
                true
            }
            Some((to, false)) => self.shared.remove(&to).is_some(),
        }
    }

    /// Closes what was idle for longer than the patience. Whether anything is left.
    pub(super) fn sweep(&mut self, patience: Duration) -> bool {
        self.idle.retain(|_, idle| {
            idle.retain(|idle| {
                idle.since.elapsed() < patience && !idle.connection.sender.is_closed()
            });
            !idle.is_empty()
        });
        self.shared.retain(|_, shared| {
            let kept = !shared.is_idle() || shared.used.elapsed() < patience;
            kept && !shared.connection.sender.is_closed()
        });
        !self.idle.is_empty() || !self.shared.is_empty()
    }

    /// How many connections nobody uses.
    pub(super) fn idle(&self) -> usize {
        let shared = self.shared.values().filter(|shared| shared.is_idle());
        self.idle.values().map(Vec::len).sum::<usize>() + shared.count()
    }
}
