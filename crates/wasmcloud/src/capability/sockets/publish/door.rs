//! A socket that listens, and the workload that it leads to, which may change.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Network, Open, pump};
use crate::capability::listen::{self, Refusals};
use crate::workload::WorkloadId;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How often the log is told that there is no room.
const TELL: Duration = Duration::from_secs(60);
/// Where connections go.
pub(super) struct Target {
    pub(super) id: WorkloadId,
    pub(super) network: Arc<Network>,
    pub(super) port: u16,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) patience: Duration,
    /// Of the workload, and of the host.
    pub(super) places: [Arc<Semaphore>; 2],
    /// All connections of the workload …
    pub(super) open: Open,
    /// … and those of this port.
    pub(super) here: TaskTracker,
    /// Those who may still bring a connection of the workload.
    pub(super) expected: Open,
    pub(super) end: CancellationToken,
}

/// The right to one connection.
type Place = [OwnedSemaphorePermit; 2];

impl Target {
    fn place_now(&self) -> Option<Place> {
        let [own, host] = &self.places;
        let own = Arc::clone(own).try_acquire_owned().ok()?;
        let host = Arc::clone(host).try_acquire_owned().ok()?;
        Some([own, host])
    }

    async fn place(&self) -> Option<Place> {
        let [own, host] = &self.places;
        let own = Arc::clone(own).acquire_owned().await.ok()?;
        let host = Arc::clone(host).acquire_owned().await.ok()?;
        Some([own, host])
    }

    fn serve(self: &Arc<Self>, stream: TcpStream, place: Place) {
        let target = Arc::clone(self);
        let here = self.here.token();
        self.open.0.spawn(async move {
            let ended = target.end.clone();
            tokio::select! {
                () = pump::serve(stream, &target) => {}
                () = ended.cancelled() => {}
            }
            drop((place, here));
        });
    }
}

/// A target that the next connection is meant for. The workload waits for it as for a connection, so that none is brought to where
/// nobody is any more.
struct Led {
    target: Arc<Target>,
    _expected: TaskTrackerToken,
}

impl Led {
    fn to(target: &Arc<Target>) -> Self {
        Self {
            _expected: target.expected.0.token(),
            target: Arc::clone(target),
        }
    }

    /// To where a door leads now, if it does.
    fn by(leads_to: &mut watch::Receiver<Option<Arc<Target>>>) -> Option<Self> {
        leads_to.borrow_and_update().as_ref().map(Self::to)
    }
}

/// Listens from the beginning; accepts while it leads somewhere. Dropping it frees the address at once.
pub(super) struct Door {
    addr: SocketAddr,
    socket: Arc<Socket>,
    leads_to: watch::Sender<Option<Arc<Target>>>,
}

impl Door {
    /// Takes an address.
    pub(super) fn open(addr: SocketAddr) -> io::Result<Self> {
        // What is allowed for one family of addresses is not allowed for the other.
        let listener = listen::tcp(addr, BACKLOG, true)?;
        let addr = listener.local_addr()?;
        let socket = Arc::new(Socket(Mutex::new(Some(listener))));
        let (leads_to, target) = watch::channel(None);
        tokio::spawn(accept(Arc::clone(&socket), target));
        Ok(Self {
            addr,
            socket,
            leads_to,
        })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on connections go there.
    pub(super) fn lead_to(&self, target: &Arc<Target>) {
        self.leads_to.send_replace(Some(Arc::clone(target)));
    }

    /// No connection goes there any more.
    pub(super) fn leave(&self, target: &Arc<Target>) {
        self.leads_to.send_if_modified(|current| {
            let leaves = current
                .as_ref()
                .is_some_and(|current| Arc::ptr_eq(current, target));
            if leaves {
                *current = None;
            }
            leaves
        });
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.socket.close();
    }
}

/// A listening socket that one task accepts from, and another may close meanwhile.
struct Socket(Mutex<Option<TcpListener>>);

impl Socket {
    fn close(&self) {
        let listener = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(listener);
    }

    /// The next connection. `None`: it is closed. Whoever closes it sees to it that nobody waits any more.
    async fn accept(&self) -> Option<io::Result<TcpStream>> {
        std::future::poll_fn(|cx| {
            let listener = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*listener {
                Some(listener) => listener
                    .poll_accept(cx)
                    .map(|accepted| Some(accepted.map(|(stream, _)| stream))),
                None => Poll::Ready(None),
            }
        })
        .await
    }
}

/// Accepts as long as there is a door.
async fn accept(socket: Arc<Socket>, mut leads_to: watch::Receiver<Option<Arc<Target>>>) {
    let mut told = None;
    let mut refusals = Refusals::of("published port");
    loop {
        let Some(led) = Led::by(&mut leads_to) else {
            if leads_to.changed().await.is_err() {
                return;
            }
            continue;
        };
        let accepted = tokio::select! {
            biased;
            changed = leads_to.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Some(Ok(stream)) => {
                if !let_in(stream, led, &mut leads_to, &mut told).await {
                    return;
                }
            }
            Some(Err(error)) => refusals.recover(&error).await,
            None => return,
        }
    }
}

/// Brings a connection to where the door leads, which may change while there is no room. Says whether there still is a door.
async fn let_in(
    stream: TcpStream,
    mut led: Led,
    leads_to: &mut watch::Receiver<Option<Arc<Target>>>,
    told: &mut Option<Instant>,
) -> bool {
    loop {
        let target = &led.target;
        if let Some(place) = target.place_now() {
            target.serve(stream, place);
            return true;
        }
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::warn!(
                workload = %target.id,
                "as many connections to published ports as there may be; further ones wait until one closes"
            );
        }
        tokio::select! {
            biased;
            changed = leads_to.changed() => {
                if changed.is_err() {
                    return false;
                }
                let Some(next) = Led::by(leads_to) else {
                    return true;
                };
                led = next;
            }
            place = target.place() => {
                if let Some(place) = place {
                    target.serve(stream, place);
                }
                return true;
            }
        }
    }
}
