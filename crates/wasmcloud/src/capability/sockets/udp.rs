//! A UDP socket: bound inside the workload, where everybody may send to it. The operating system has no socket for it until it sends
//! something outside, and then only those whom it sent to can answer.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;

use super::caller::Caller;
use super::fault::Fault;
use super::network::Datagrams;
use super::outside;
use super::rules::{self, Family, Way};
use super::settings::Settings;
use crate::workload::Protocol;

/// The longest datagram.
pub(super) const LONGEST: usize = 65_507;

/// How many peers outside one socket remembers, and lets answer.
const PEERS: usize = 1024;

/// A UDP socket of a guest.
pub struct Udp {
    family: Family,
    ends: Option<Ends>,
    peer: Option<SocketAddr>,
    settings: Settings,
}

/// What sends and receives, shared with the streams of the socket.
#[derive(Clone)]
pub(super) struct Ends {
    shared: Arc<Mutex<Shared>>,
    /// One at a time waits to receive, and one to send.
    receiving: Arc<tokio::sync::Mutex<()>>,
    sending: Arc<tokio::sync::Mutex<()>>,
}

struct Shared {
    inside: Datagrams,
    family: Family,
    caller: Caller,
    settings: Settings,
    outside: Option<outside::Udp>,
    peers: Peers,
    /// Who waits to receive, to be told when there is a socket outside.
    waiting: Waker,
    /// Whether the outside is asked first.
    outside_first: bool,
}

/// Whom a socket sent to outside. What a guest calls a peer may be another for the operating system.
#[derive(Default)]
struct Peers {
    asked: HashMap<SocketAddr, SocketAddr>,
    real: HashMap<SocketAddr, SocketAddr>,
    order: VecDeque<SocketAddr>,
}

impl Peers {
    fn add(&mut self, asked: SocketAddr, real: SocketAddr) {
        if self.order.len() >= PEERS
            && let Some(oldest) = self.order.pop_front()
            && let Some(real) = self.asked.remove(&oldest)
        {
            self.real.remove(&real);
        }
        self.asked.insert(asked, real);
        self.real.insert(real, asked);
        self.order.push_back(asked);
    }
}

impl Udp {
    /// A new socket. It holds nothing but memory.
    pub(super) fn new(family: Family) -> Self {
        Self {
            family,
            ends: None,
            peer: None,
            settings: Settings::default(),
        }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// Takes an address inside.
    pub(super) fn bind(&mut self, caller: Caller, to: SocketAddr) -> Result<(), Fault> {
        if self.ends.is_some() {
            return Err(Fault::InvalidState);
        }
        rules::bind_udp(self.family, to)?;
        let to = SocketAddr::new(to.ip(), to.port());
        let inside = caller.network().bind_udp(to)?;
        let shared = Shared {
            inside,
            family: self.family,
            caller,
            settings: self.settings,
            outside: None,
            peers: Peers::default(),
            waiting: Waker::noop().clone(),
            outside_first: false,
        };
        self.ends = Some(Ends {
            shared: Arc::new(Mutex::new(shared)),
            receiving: Arc::default(),
            sending: Arc::default(),
        });
        Ok(())
    }

    /// What sends and receives, bound to any port if it is not bound.
    pub(super) fn bound(&mut self, caller: Caller) -> Result<Ends, Fault> {
        if self.ends.is_none() {
            self.bind(caller, self.family.unspecified())?;
        }
        self.ends()
    }

    /// What sends and receives.
    pub(super) fn ends(&self) -> Result<Ends, Fault> {
        self.ends.clone().ok_or(Fault::InvalidState)
    }

    /// Chooses the only peer, or none in particular.
    pub(super) fn connect(&mut self, to: Option<SocketAddr>) -> Result<(), Fault> {
        if let Some(to) = to {
            rules::sendable(self.family, to)?;
        }
        self.peer = to;
        Ok(())
    }

    /// Where a datagram goes: to the only peer, or to the one that is named, which must be that one.
    pub(super) fn destination(&self, named: Option<SocketAddr>) -> Result<SocketAddr, Fault> {
        destination(self.peer, named)
    }

    pub(super) fn peer(&self) -> Result<SocketAddr, Fault> {
        self.peer.ok_or(Fault::InvalidState)
    }

    pub(super) fn local(&self) -> Result<SocketAddr, Fault> {
        Ok(self.ends()?.shared().inside.local_addr())
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes an option, and hands it on to where it matters.
    pub(super) fn set(
        &mut self,
        change: impl FnOnce(&mut Settings) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        change(&mut self.settings)?;
        if let Some(ends) = &self.ends {
            let mut shared = ends.shared();
            shared.settings = self.settings;
            if let Some(outside) = &shared.outside {
                outside.apply(&self.settings, self.family);
            }
        }
        Ok(())
    }
}

/// Where a datagram goes, where a socket may have an only peer and a datagram may name one.
pub(super) fn destination(
    peer: Option<SocketAddr>,
    named: Option<SocketAddr>,
) -> Result<SocketAddr, Fault> {
    match (peer, named) {
        (Some(peer), Some(named)) if peer != named => Err(Fault::InvalidArgument),
        (Some(to), _) | (None, Some(to)) => Ok(to),
        (None, None) => Err(Fault::InvalidArgument),
    }
}

impl Ends {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a datagram; what cannot be delivered is lost.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddr,
    ) -> Poll<Result<(), Fault>> {
        self.shared().poll_send(cx, data, to)
    }

    /// The next datagram, of that peer if one is named.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        from: Option<SocketAddr>,
    ) -> Poll<Result<(Bytes, SocketAddr), Fault>> {
        self.shared().poll_receive(cx, from)
    }

    /// The same, in turn with others who send.
    pub(super) async fn send(&self, data: &[u8], to: SocketAddr) -> Result<(), Fault> {
        let _turn = self.sending.lock().await;
        std::future::poll_fn(|cx| self.poll_send(cx, data, to)).await
    }

    /// The same, in turn with others who receive.
    pub(super) async fn receive(
        &self,
        from: Option<SocketAddr>,
    ) -> Result<(Bytes, SocketAddr), Fault> {
        let _turn = self.receiving.lock().await;
        std::future::poll_fn(|cx| self.poll_receive(cx, from)).await
    }
}

impl Shared {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: SocketAddr,
    ) -> Poll<Result<(), Fault>> {
        rules::sendable(self.family, to)?;
        if data.len() > LONGEST {
            return Poll::Ready(Err(Fault::TooLarge));
        }
        if Way::to(to.ip()) == Way::Inside {
            let to = SocketAddr::new(to.ip(), to.port());
            return self.inside.poll_send(cx, data, to).map_err(Fault::from);
        }
        let real = self.real(to)?;
        match &self.outside {
            Some(outside) => outside.poll_send(cx, data, real),
            None => Poll::Ready(Err(Fault::Unknown)),
        }
    }

    /// Whom the operating system knows as that peer, if it may be sent to. From then on it may answer.
    fn real(&mut self, to: SocketAddr) -> Result<SocketAddr, Fault> {
        if let Some(real) = self.peers.asked.get(&to) {
            return Ok(*real);
        }
        if !self.inside.local_addr().ip().is_unspecified() {
            // It is bound to a loopback address, as which nothing can be sent elsewhere.
            return Err(Fault::Unreachable);
        }
        let addresses = self.caller.exit(Protocol::Udp, to)?;
        let same = |real: &&SocketAddr| Family::of(real.ip()) == self.family;
        let real = *addresses.iter().find(same).ok_or(Fault::Unreachable)?;
        if self.outside.is_none() {
            let place = self.caller.place()?;
            self.outside = Some(outside::Udp::new(self.family, &self.settings, place)?);
            self.waiting.wake_by_ref();
        }
        self.peers.add(to, real);
        Ok(real)
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        only: Option<SocketAddr>,
    ) -> Poll<Result<(Bytes, SocketAddr), Fault>> {
        loop {
            let (data, from) = ready!(self.poll_any(cx))?;
            if only.is_none_or(|only| only == from) {
                return Poll::Ready(Ok((data, from)));
            }
        }
    }

    /// From inside and outside in turn.
    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Bytes, SocketAddr), Fault>> {
        self.outside_first = !self.outside_first;
        for outside in [self.outside_first, !self.outside_first] {
            let received = match outside {
                true => self.poll_outside(cx),
                false => self.inside.poll_receive(cx).map(Ok),
            };
            if received.is_ready() {
                return received;
            }
        }
        self.waiting.clone_from(cx.waker());
        Poll::Pending
    }

    fn poll_outside(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Bytes, SocketAddr), Fault>> {
        let Some(outside) = &self.outside else {
            return Poll::Pending;
        };
        loop {
            let (data, from) = ready!(outside.poll_receive(cx))?;
            // Nobody else may talk to it.
            if let Some(asked) = self.peers.real.get(&from) {
                return Poll::Ready(Ok((data, *asked)));
            }
        }
    }
}
