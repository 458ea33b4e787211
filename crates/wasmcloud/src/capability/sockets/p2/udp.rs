//! `wasi:sockets/udp` of WASI 0.2.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::JoinHandle;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::network::{IpAddressFamily, IpSocketAddress};
use super::udp_types::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram,
    OutgoingDatagram,
};
use super::{Looks, Network, Outcome, caller, udp_create_socket};
use crate::capability::sockets::fault::Fault;
use crate::capability::sockets::settings::Settings;
use crate::capability::sockets::udp::{Ends, Udp, destination};
use crate::plugin::StoreData;

/// How many datagrams a guest may send, or receive, in one call.
const AT_ONCE: u64 = 64;

/// A socket, and whether it is between the steps of binding.
pub struct UdpSocket {
    udp: Udp,
    binding: bool,
    /// Counts the pairs of streams: only the last one works.
    pairs: Arc<AtomicU64>,
}

/// Which pair of streams of a socket one belongs to.
struct Pair {
    pairs: Arc<AtomicU64>,
    number: u64,
}

impl Pair {
    fn is_last(&self) -> Result<(), Fault> {
        match self.pairs.load(Ordering::Relaxed) == self.number {
            true => Ok(()),
            false => Err(Fault::InvalidState),
        }
    }
}

/// The stream of datagrams that come.
pub struct Incoming {
    ends: Ends,
    peer: Option<SocketAddr>,
    pair: Pair,
    /// What came while somebody waited.
    next: Option<Result<(Bytes, SocketAddr), Fault>>,
    looks: Looks,
}

/// The stream of datagrams that go.
pub struct Outgoing {
    ends: Ends,
    peer: Option<SocketAddr>,
    pair: Pair,
    leave: u64,
    /// Sends what could not be sent at once: a guest that has sent something may wait for the answer alone.
    rest: Option<JoinHandle<()>>,
    looks: Looks,
}

impl Incoming {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.next.is_none() && self.pair.is_last().is_ok() {
            match self.ends.poll_receive(cx, self.peer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(next) => self.next = Some(next),
            }
        }
        Poll::Ready(())
    }

    fn take_next(&mut self) -> Option<Result<(Bytes, SocketAddr), Fault>> {
        let looks = std::mem::take(&mut self.looks);
        let _ = looks.once(|cx| self.poll_next(cx));
        self.looks = looks;
        self.next.take()
    }

    fn receive(&mut self, most: u64) -> Result<Vec<IncomingDatagram>, Fault> {
        self.pair.is_last()?;
        let mut received = Vec::new();
        for _ in 0..most.min(AT_ONCE) {
            match self.take_next() {
                None => break,
                Some(Ok((data, from))) => received.push(IncomingDatagram {
                    data: data.into(),
                    remote_address: from.into(),
                }),
                Some(Err(fault)) if received.is_empty() => return Err(fault),
                Some(Err(fault)) => {
                    self.next = Some(Err(fault));
                    break;
                }
            }
        }
        Ok(received)
    }
}

#[async_trait::async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| {
            self.looks.wait(cx);
            self.poll_next(cx)
        })
        .await;
    }
}

impl Outgoing {
    /// Waits until what had to wait is sent. Whether it arrives, nobody is told.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            let _ = ready!(Pin::new(rest).poll(cx));
            self.rest = None;
        }
        Poll::Ready(())
    }

    fn check(&mut self) -> Result<u64, Fault> {
        self.pair.is_last()?;
        let looks = std::mem::take(&mut self.looks);
        let free = looks.once(|cx| self.poll_rest(cx)).is_ready();
        self.looks = looks;
        self.leave = if free { AT_ONCE } else { 0 };
        Ok(self.leave)
    }

    /// Sends until one has to wait or fails, and says how many went.
    fn send(&mut self, datagrams: Vec<OutgoingDatagram>) -> Result<u64, Fault> {
        self.pair.is_last()?;
        let mut sent = 0;
        for datagram in datagrams {
            if self.rest.is_some() {
                break;
            }
            match self.send_one(datagram) {
                Ok(()) => sent += 1,
                Err(fault) if sent == 0 => return Err(fault),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    fn send_one(&mut self, datagram: OutgoingDatagram) -> Result<(), Fault> {
        let to = destination(self.peer, datagram.remote_address.map(SocketAddr::from))?;
        let data = datagram.data;
        match self.looks.once(|cx| self.ends.poll_send(cx, &data, to)) {
            Poll::Ready(sent) => sent,
            Poll::Pending => {
                let ends = self.ends.clone();
                self.rest = Some(tokio::spawn(async move {
                    let _ = ends.send(&data, to).await;
                }));
                Ok(())
            }
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| {
            self.looks.wait(cx);
            self.poll_rest(cx)
        })
        .await;
    }
}

#[async_trait::async_trait]
impl Pollable for UdpSocket {
    /// Binding is done when it is begun.
    async fn ready(&mut self) {}
}

type Socket = Resource<UdpSocket>;

fn set(
    store: &mut StoreData,
    socket: &Socket,
    change: impl FnOnce(&mut Settings) -> Result<(), Fault>,
) -> Outcome<()> {
    Ok(store.table().get_mut(socket)?.udp.set(change)?)
}

fn settings<'a>(store: &'a mut StoreData, socket: &Socket) -> Outcome<&'a Settings> {
    Ok(store.table().get(socket)?.udp.settings())
}

impl udp_create_socket::Host for StoreData {
    fn create_udp_socket(&mut self, family: IpAddressFamily) -> Outcome<Socket> {
        Ok(self.table().push(UdpSocket {
            udp: Udp::new(family.into()),
            binding: false,
            pairs: Arc::default(),
        })?)
    }
}

impl Host for StoreData {}

impl HostUdpSocket for StoreData {
    fn start_bind(
        &mut self,
        socket: Socket,
        network: Resource<Network>,
        to: IpSocketAddress,
    ) -> Outcome<()> {
        let caller = caller(self, &network)?;
        let socket = self.table().get_mut(&socket)?;
        if socket.binding {
            return Err(Fault::ConcurrencyConflict.into());
        }
        socket.udp.bind(caller, to.into())?;
        socket.binding = true;
        Ok(())
    }

    fn finish_bind(&mut self, socket: Socket) -> Outcome<()> {
        match std::mem::take(&mut self.table().get_mut(&socket)?.binding) {
            true => Ok(()),
            false => Err(Fault::NotInProgress.into()),
        }
    }

    fn stream(
        &mut self,
        socket: Socket,
        peer: Option<IpSocketAddress>,
    ) -> Outcome<(Resource<Incoming>, Resource<Outgoing>)> {
        let peer = peer.map(SocketAddr::from);
        let udp = self.table().get_mut(&socket)?;
        if udp.binding {
            return Err(Fault::InvalidState.into());
        }
        let ends = udp.udp.ends()?;
        udp.udp.connect(peer)?;
        let number = udp.pairs.fetch_add(1, Ordering::Relaxed) + 1;
        let pairs = [Arc::clone(&udp.pairs), Arc::clone(&udp.pairs)];
        let [first, second] = pairs.map(|pairs| Pair { pairs, number });
        let incoming = Incoming {
            ends: ends.clone(),
            peer,
            pair: first,
            next: None,
            looks: Looks::default(),
        };
        let outgoing = Outgoing {
            ends,
            peer,
            pair: second,
            leave: 0,
            rest: None,
            looks: Looks::default(),
        };
        let incoming = self.table().push_child(incoming, &socket)?;
        let outgoing = self.table().push_child(outgoing, &socket)?;
        Ok((incoming, outgoing))
    }

    fn local_address(&mut self, socket: Socket) -> Outcome<IpSocketAddress> {
        let socket = self.table().get(&socket)?;
        if socket.binding {
            return Err(Fault::InvalidState.into());
        }
        Ok(socket.udp.local()?.into())
    }

    fn remote_address(&mut self, socket: Socket) -> Outcome<IpSocketAddress> {
        Ok(self.table().get(&socket)?.udp.peer()?.into())
    }

    fn address_family(&mut self, socket: Socket) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table().get(&socket)?.udp.family().into())
    }

    fn unicast_hop_limit(&mut self, socket: Socket) -> Outcome<u8> {
        Ok(settings(self, &socket)?.hop_limit())
    }

    fn set_unicast_hop_limit(&mut self, socket: Socket, value: u8) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_hop_limit(value))
    }

    fn receive_buffer_size(&mut self, socket: Socket) -> Outcome<u64> {
        Ok(settings(self, &socket)?.receive_buffer())
    }

    fn set_receive_buffer_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_receive_buffer(value))
    }

    fn send_buffer_size(&mut self, socket: Socket) -> Outcome<u64> {
        Ok(settings(self, &socket)?.send_buffer())
    }

    fn set_send_buffer_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_send_buffer(value))
    }

    fn subscribe(&mut self, socket: Socket) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table(), socket)
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        self.table().delete(socket)?;
        Ok(())
    }
}

impl HostIncomingDatagramStream for StoreData {
    fn receive(&mut self, stream: Resource<Incoming>, most: u64) -> Outcome<Vec<IncomingDatagram>> {
        Ok(self.table().get_mut(&stream)?.receive(most)?)
    }

    fn subscribe(&mut self, stream: Resource<Incoming>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table(), stream)
    }

    fn drop(&mut self, stream: Resource<Incoming>) -> wasmtime::Result<()> {
        self.table().delete(stream)?;
        Ok(())
    }
}

impl HostOutgoingDatagramStream for StoreData {
    fn check_send(&mut self, stream: Resource<Outgoing>) -> Outcome<u64> {
        Ok(self.table().get_mut(&stream)?.check()?)
    }

    fn send(
        &mut self,
        stream: Resource<Outgoing>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> Outcome<u64> {
        let stream = self.table().get_mut(&stream)?;
        let (sent, leave) = (datagrams.len() as u64, std::mem::take(&mut stream.leave));
        if sent > leave {
            let error = wasmtime::format_err!(
                "{sent} datagrams were sent on a stream that had given leave for {leave}"
            );
            return Err(error.into());
        }
        Ok(stream.send(datagrams)?)
    }

    fn subscribe(&mut self, stream: Resource<Outgoing>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table(), stream)
    }

    fn drop(&mut self, stream: Resource<Outgoing>) -> wasmtime::Result<()> {
        self.table().delete(stream)?;
        Ok(())
    }
}
