//! A TCP socket: unbound → bound → listening, or → connecting → connected. Whether it is one of the workload's own network or one
//! of the operating system shows when it connects; until then it is neither.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio_util::sync::WaitForCancellationFutureOwned;

use super::caller::Caller;
use super::fault::Fault;
use super::network::{Connect, Connection, Listener, NetError, TcpBinding};
use super::outside;
use super::rules::{self, Family, Way};
use super::settings::TcpSettings;
use super::stream::{Receiving, Sending};
use crate::workload::Protocol;

/// A TCP socket of a guest.
pub struct Tcp {
    family: Family,
    state: State,
    settings: TcpSettings,
}

enum State {
    /// Goes on to any other state.
    Unbound,
    /// Has an address inside. Goes on to listening or connecting.
    Bound(TcpBinding, Caller),
    /// Stays so.
    Listening(Arc<Listening>),
    /// Goes on to connected or closed.
    Connecting(Connecting),
    /// Stays so; its halves may be elsewhere.
    Connected(Connected),
    /// It was to connect, and could not.
    Closed,
}

/// What accepts connections. Whoever holds it keeps the address.
pub(super) struct Listening {
    accepting: Mutex<Accepting>,
    local: SocketAddr,
    family: Family,
}

struct Accepting {
    /// `None`: it accepts no more.
    listener: Option<Listener>,
    /// That nobody connects any more tells a service that it should come to its end, where its dialect has a way to say so.
    farewell: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// A connection that is coming about.
enum Connecting {
    Inside(Connect),
    Outside(
        Pin<Box<dyn Future<Output = Result<outside::Tcp, Fault>> + Send>>,
        SocketAddr,
    ),
    /// It will not.
    Failed(Fault),
}

/// A connection. What is taken out of it goes on without it.
struct Connected {
    local: SocketAddr,
    peer: SocketAddr,
    receiving: Option<Receiving>,
    sending: Option<Sending>,
    outside: Option<Arc<outside::Tcp>>,
}

impl Tcp {
    /// A new socket. It holds nothing but memory.
    pub(super) fn new(family: Family) -> Self {
        Self {
            family,
            state: State::Unbound,
            settings: TcpSettings::default(),
        }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// Takes an address inside.
    pub(super) fn bind(&mut self, caller: Caller, to: SocketAddr) -> Result<(), Fault> {
        if !matches!(self.state, State::Unbound) {
            return Err(Fault::InvalidState);
        }
        let may = rules::bind_tcp(caller.role(), self.family, to);
        if may == Err(Fault::AccessDenied) {
            caller.tell_no_service(to);
        }
        may?;
        let to = SocketAddr::new(to.ip(), to.port());
        let binding = caller.network().bind_tcp(to)?;
        self.state = State::Bound(binding, caller);
        Ok(())
    }

    /// Listens, at any port if it is not bound, until the service is asked to end.
    pub(super) fn listen(&mut self, caller: Caller) -> Result<Arc<Listening>, Fault> {
        if matches!(self.state, State::Unbound) {
            self.bind(caller, self.family.unspecified())?;
        }
        self.listen_where_bound(true)
    }

    /// Listens where it is bound, for good. An `accept` that fails is nothing that programs of WASI 0.2 take for an end: most would try
    /// again and again.
    pub(super) fn listen_bound(&mut self) -> Result<Arc<Listening>, Fault> {
        self.listen_where_bound(false)
    }

    fn listen_where_bound(&mut self, hears: bool) -> Result<Arc<Listening>, Fault> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Bound(binding, caller) => {
                let listener = binding.listen(self.settings.backlog());
                let (workload, _) = caller.workload();
                let listening = Arc::new(Listening {
                    local: listener.local_addr(),
                    accepting: Mutex::new(Accepting {
                        listener: Some(listener),
                        farewell: hears.then(|| Box::pin(workload.farewell.hear())),
                    }),
                    family: self.family,
                });
                self.state = State::Listening(Arc::clone(&listening));
                Ok(listening)
            }
            other => {
                self.state = other;
                Err(Fault::InvalidState)
            }
        }
    }

    /// Begins to connect. Why it may not shows when it ends, except for what is wrong with the call itself.
    pub(super) fn connect(&mut self, caller: &Caller, to: SocketAddr) -> Result<(), Fault> {
        match &self.state {
            State::Unbound => {}
            State::Bound(_, bound) if caller.is(bound) => {}
            State::Bound(..) => return Err(Fault::InvalidArgument),
            _ => return Err(Fault::InvalidState),
        }
        rules::connectable(self.family, to)?;
        let from = match std::mem::replace(&mut self.state, State::Closed) {
            State::Bound(binding, _) => Some(binding),
            _ => None,
        };
        let connecting = match Way::to(to.ip()) {
            Way::Inside => {
                let to = SocketAddr::new(to.ip(), to.port());
                Connecting::Inside(caller.network().connect(from, to))
            }
            Way::Host | Way::Outside => self.leave(caller, from, to),
        };
        self.state = State::Connecting(connecting);
        Ok(())
    }

    /// Begins to connect to the outside. What it was bound to inside is given back: the operating system chooses the address.
    fn leave(&self, caller: &Caller, from: Option<TcpBinding>, to: SocketAddr) -> Connecting {
        if from.is_some_and(|from| !from.local_addr().ip().is_unspecified()) {
            // As from any loopback address.
            return Connecting::Failed(Fault::Unreachable);
        }
        let exit = caller.exit(Protocol::Tcp, to);
        match exit.and_then(|addresses| Ok((addresses, caller.place()?))) {
            Ok((addresses, place)) => {
                let connect = outside::connect(addresses, self.settings, place);
                Connecting::Outside(Box::pin(connect), to)
            }
            Err(fault) => Connecting::Failed(fault),
        }
    }

    /// The end of [`Tcp::connect`].
    pub(super) fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let State::Connecting(connecting) = &mut self.state else {
            return Poll::Ready(match self.state {
                State::Connected(_) => Ok(()),
                _ => Err(Fault::InvalidState),
            });
        };
        let connected = match ready!(connecting.poll(cx)) {
            Ok(connected) => connected,
            Err(fault) => {
                self.state = State::Closed;
                return Poll::Ready(Err(fault));
            }
        };
        self.state = State::Connected(connected);
        self.apply();
        Poll::Ready(Ok(()))
    }

    /// Waits for what is under way: a connection that comes about, or one to accept.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            State::Connecting(connecting) => {
                self.state = match ready!(connecting.poll(cx)) {
                    Ok(connected) => State::Connected(connected),
                    // It is for who asks how it ended.
                    Err(fault) => State::Connecting(Connecting::Failed(fault)),
                };
                self.apply();
                Poll::Ready(())
            }
            State::Listening(listening) => listening.poll_acceptable(cx),
            _ => Poll::Ready(()),
        }
    }

    /// The next connection. `InvalidState`: it does not listen. `InvalidArgument`: there will be none any more, as an operating
    /// system says it of a listener that was shut down; the C library of guests takes the other for a fault of its own, and aborts.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Self, Fault>> {
        let State::Listening(listening) = &self.state else {
            return Poll::Ready(Err(Fault::InvalidState));
        };
        let accepted = ready!(listening.poll_accept(cx, self.settings));
        Poll::Ready(accepted.ok_or(Fault::InvalidArgument))
    }

    fn of(connection: Connection, family: Family, settings: TcpSettings) -> Self {
        let mut tcp = Self {
            family,
            state: State::Connected(Connected::inside(connection)),
            settings,
        };
        tcp.apply();
        tcp
    }

    /// The half that receives, once.
    pub(super) fn take_receiving(&mut self) -> Result<Receiving, Fault> {
        match &mut self.state {
            State::Connected(connected) => connected.receiving.take().ok_or(Fault::InvalidState),
            _ => Err(Fault::InvalidState),
        }
    }

    /// The half that sends, once.
    pub(super) fn take_sending(&mut self) -> Result<Sending, Fault> {
        match &mut self.state {
            State::Connected(connected) => connected.sending.take().ok_or(Fault::InvalidState),
            _ => Err(Fault::InvalidState),
        }
    }

    pub(super) fn local(&self) -> Result<SocketAddr, Fault> {
        match &self.state {
            State::Bound(binding, _) => Ok(binding.local_addr()),
            State::Listening(listening) => Ok(listening.local),
            State::Connected(connected) => Ok(connected.local),
            State::Unbound | State::Connecting(_) | State::Closed => Err(Fault::InvalidState),
        }
    }

    pub(super) fn peer(&self) -> Result<SocketAddr, Fault> {
        match &self.state {
            State::Connected(connected) => Ok(connected.peer),
            _ => Err(Fault::InvalidState),
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening(_))
    }

    pub(super) fn settings(&self) -> &TcpSettings {
        &self.settings
    }

    /// Changes an option, and hands it on to where it matters.
    pub(super) fn set(
        &mut self,
        change: impl FnOnce(&mut TcpSettings) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        change(&mut self.settings)?;
        self.apply();
        Ok(())
    }

    /// How many connections may wait to be accepted; set before it listens.
    pub(super) fn set_backlog(&mut self, value: u64) -> Result<(), Fault> {
        let mut settings = self.settings;
        settings.set_backlog(value)?;
        match self.state {
            State::Unbound | State::Bound(..) => {
                self.settings = settings;
                Ok(())
            }
            State::Listening(_) => Err(Fault::NotSupported),
            State::Connecting(_) | State::Connected(_) | State::Closed => Err(Fault::InvalidState),
        }
    }

    fn apply(&mut self) {
        let State::Connected(connected) = &mut self.state else {
            return;
        };
        if let Some(outside) = &connected.outside {
            outside.apply(&self.settings);
        }
        let buffer = self.settings.common.asked_send_buffer();
        if let (Some(bytes), Some(sending)) = (buffer, &mut connected.sending) {
            sending.set_buffer(bytes);
        }
    }
}

impl Listening {
    fn accepting(&self) -> MutexGuard<'_, Accepting> {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connection, with the options of who listens. `None`: there will be none any more.
    pub(super) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
        settings: TcpSettings,
    ) -> Poll<Option<Tcp>> {
        let accepted = ready!(self.accepting().poll_accept(cx));
        Poll::Ready(accepted.map(|connection| Tcp::of(connection, self.family, settings)))
    }

    pub(super) fn poll_acceptable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.accepting().poll_acceptable(cx)
    }
}

impl Accepting {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        let Some(listener) = &mut self.listener else {
            return Poll::Ready(None);
        };
        match listener.poll_accept(cx) {
            Poll::Pending => self.poll_ended(cx).map(|()| None),
            accepted => accepted,
        }
    }

    fn poll_acceptable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(listener) = &mut self.listener else {
            return Poll::Ready(());
        };
        match listener.poll_acceptable(cx) {
            Poll::Pending => self.poll_ended(cx),
            acceptable => acceptable,
        }
    }

    /// Ready when its service was asked to end, and who had connected before is accepted. From then on, connects are refused.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(farewell) = &mut self.farewell else {
            return Poll::Pending;
        };
        ready!(farewell.as_mut().poll(cx));
        self.listener = None;
        Poll::Ready(())
    }
}

impl Connecting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Connected, Fault>> {
        match self {
            Self::Inside(connect) => {
                let connected = ready!(Pin::new(connect).poll(cx));
                Poll::Ready(match connected {
                    Ok(connection) => Ok(Connected::inside(connection)),
                    // A loopback address that is none of this network.
                    Err(NetError::NotBindable) => Err(Fault::Unreachable),
                    Err(error) => Err(error.into()),
                })
            }
            Self::Outside(connect, to) => {
                let tcp = ready!(connect.as_mut().poll(cx))?;
                Poll::Ready(Ok(Connected::outside(tcp, *to)))
            }
            Self::Failed(fault) => Poll::Ready(Err(*fault)),
        }
    }
}

impl Connected {
    fn inside(connection: Connection) -> Self {
        Self {
            local: connection.local,
            peer: connection.peer,
            receiving: Some(Receiving::Inside(connection.reader)),
            sending: Some(Sending::Inside(connection.writer)),
            outside: None,
        }
    }

    /// The peer is the one that was asked for, which the machine's own loopback is not.
    fn outside(tcp: outside::Tcp, peer: SocketAddr) -> Self {
        let (tcp, receiving, sending) = tcp.split();
        Self {
            local: tcp.local,
            peer,
            receiving: Some(Receiving::Outside(receiving)),
            sending: Some(Sending::Outside(sending)),
            outside: Some(tcp),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::future::poll_fn;

    use bytes::Bytes;

    use super::*;
    use crate::capability::sockets::testing::{caller, of};
    use crate::capability::sockets::{SocketOptions, Sockets};
    use crate::plugin::Role;
    use crate::policy::{EgressOptions, EgressPolicy};

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn now<T>(look: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Option<T> {
        match look(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(seen) => Some(seen),
            Poll::Pending => None,
        }
    }

    fn listening(caller: &Caller, to: &str) -> Tcp {
        let mut tcp = Tcp::new(Family::of(at(to).ip()));
        tcp.bind(caller.clone(), at(to)).unwrap();
        tcp.listen_bound().unwrap();
        tcp
    }

    #[tokio::test]
    async fn a_socket_goes_from_unbound_to_connected() {
        let service = caller(Role::Service, &Sockets::default());
        let (_, sockets) = service.workload();
        let component = of(Role::Component, sockets);
        let mut listener = Tcp::new(Family::V4);
        assert_eq!(listener.local(), Err(Fault::InvalidState));
        listener.bind(service.clone(), at("127.0.0.1:0")).unwrap();
        let to = listener.local().unwrap();
        assert_eq!(listener.bind(service.clone(), to), Err(Fault::InvalidState));
        listener
            .set(|settings| settings.common.set_hop_limit(7))
            .unwrap();
        listener.set_backlog(1).unwrap();
        listener.listen(service).unwrap();
        assert!(listener.is_listening() && listener.local() == Ok(to));
        assert_eq!(listener.set_backlog(2), Err(Fault::NotSupported));
        assert_eq!(listener.listen_bound().err(), Some(Fault::InvalidState));

        let mut client = Tcp::new(Family::V4);
        client.connect(&component, to).unwrap();
        assert_eq!(client.connect(&component, to), Err(Fault::InvalidState));
        assert_eq!(client.peer(), Err(Fault::InvalidState));
        poll_fn(|cx| client.poll_connected(cx)).await.unwrap();
        let mut accepted = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert_eq!(accepted.settings().common.hop_limit(), 7);
        assert_eq!((client.peer(), accepted.local()), (Ok(to), Ok(to)));
        assert_eq!(client.local(), accepted.peer());
        let mut sending = client.take_sending().unwrap();
        assert_eq!(client.take_sending().err(), Some(Fault::InvalidState));
        let mut bytes = Bytes::from_static(b"hello");
        poll_fn(|cx| sending.poll_write(cx, &mut bytes))
            .await
            .unwrap();
        drop(sending);
        let mut receiving = accepted.take_receiving().unwrap();
        let read = poll_fn(|cx| receiving.poll_read(cx, 99)).await.unwrap();
        assert_eq!(read, "hello");
        assert!(
            poll_fn(|cx| receiving.poll_read(cx, 99))
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[tokio::test]
    async fn a_socket_that_could_not_connect_is_closed() {
        let component = caller(Role::Component, &Sockets::default());
        let mut tcp = Tcp::new(Family::V4);
        // What is wrong with the call leaves it as it was.
        assert_eq!(
            tcp.connect(&component, at("[::1]:9")),
            Err(Fault::InvalidArgument)
        );
        tcp.connect(&component, at("127.0.0.1:9")).unwrap();
        poll_fn(|cx| tcp.poll_ready(cx)).await;
        assert_eq!(
            poll_fn(|cx| tcp.poll_connected(cx)).await,
            Err(Fault::Refused)
        );
        assert_eq!(
            poll_fn(|cx| tcp.poll_connected(cx)).await,
            Err(Fault::InvalidState)
        );
        assert_eq!(
            tcp.connect(&component, at("127.0.0.1:9")),
            Err(Fault::InvalidState)
        );
        assert_eq!(tcp.set_backlog(1), Err(Fault::InvalidState));
    }

    /// The operating system has no part in it: there is not even a place for a socket of it.
    #[tokio::test]
    async fn nothing_inside_takes_a_place_outside() {
        let options = SocketOptions {
            max_connections: 0,
            ..SocketOptions::default()
        };
        let all = EgressPolicy::new(EgressOptions {
            allow: vec!["192.0.2.0/24".parse().unwrap()],
            ..EgressOptions::default()
        });
        let resolver = Arc::new(crate::net::resolve::SystemResolver::default());
        let service = caller(Role::Service, &Sockets::new(options, all, resolver));
        let listener = listening(&service, "0.0.0.0:7000");
        for to in ["127.0.0.1:7000", "127.99.0.1:7000"] {
            let mut tcp = Tcp::new(Family::V4);
            tcp.connect(&service, at(to)).unwrap();
            poll_fn(|cx| tcp.poll_connected(cx)).await.unwrap();
            poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        }
        let outside = |from: Option<&str>| {
            let mut tcp = Tcp::new(Family::V4);
            if let Some(from) = from {
                tcp.bind(service.clone(), at(from)).unwrap();
            }
            tcp.connect(&service, at("192.0.2.1:80")).unwrap();
            now(|cx| tcp.poll_connected(cx)).unwrap()
        };
        assert_eq!(outside(None), Err(Fault::SocketLimit));
        // It gives back what it had inside.
        assert_eq!(outside(Some("0.0.0.0:7001")), Err(Fault::SocketLimit));
        assert_eq!(outside(Some("0.0.0.0:7001")), Err(Fault::SocketLimit));
        // Nothing leaves from a loopback address.
        assert_eq!(outside(Some("127.0.0.1:7002")), Err(Fault::Unreachable));
    }

    /// Who had connected before is accepted, and then there is the end.
    #[tokio::test]
    async fn a_service_that_is_asked_to_end_accepts_nobody_any_more() {
        let service = caller(Role::Service, &Sockets::default());
        let patient = listening(&service, "127.0.0.1:7001");
        let mut listener = Tcp::new(Family::V4);
        listener
            .bind(service.clone(), at("127.0.0.1:7000"))
            .unwrap();
        listener.listen(service.clone()).unwrap();
        assert!(now(|cx| listener.poll_accept(cx)).is_none());
        let connect = || {
            let mut tcp = Tcp::new(Family::V4);
            tcp.connect(&service, at("127.0.0.1:7000")).unwrap();
            let connected = now(|cx| tcp.poll_connected(cx)).unwrap();
            connected.map(|()| tcp)
        };
        let early = connect();
        assert!(service.workload().0.farewell.say());
        assert!(now(|cx| listener.poll_accept(cx)).unwrap().is_ok());
        let ended = now(|cx| listener.poll_accept(cx)).unwrap();
        assert_eq!(ended.err(), Some(Fault::InvalidArgument));
        assert_eq!(connect().err(), Some(Fault::Refused));
        // With 0.2 nothing fails: there would be no telling that from other failures.
        assert!(now(|cx| patient.poll_accept(cx)).is_none());
        drop(early);
    }
}
