//! `wasi:sockets/tcp` of WASI 0.2.

use std::task::Poll;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, Pollable, subscribe};

use super::network::{IpAddressFamily, IpSocketAddress};
use super::stream::{Input, Output};
use super::tcp_types::{Duration, Host, HostTcpSocket, ShutdownType};
use super::{Looks, Network, Outcome, caller, tcp_create_socket};
use crate::capability::sockets::fault::Fault;
use crate::capability::sockets::settings::TcpSettings;
use crate::capability::sockets::tcp::Tcp;
use crate::plugin::StoreData;

/// A socket, and which of the operations in two steps is between them.
pub struct TcpSocket {
    tcp: Tcp,
    begun: Option<Begun>,
    streams: Option<(Input, Output)>,
    looks: Looks,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Bind,
    Listen,
    Connect,
}

impl TcpSocket {
    fn new(tcp: Tcp) -> Self {
        Self {
            tcp,
            begun: None,
            streams: None,
            looks: Looks::default(),
        }
    }

    /// Nothing else may be between its steps.
    fn free(&mut self) -> Result<&mut Tcp, Fault> {
        match self.begun {
            Some(_) => Err(Fault::ConcurrencyConflict),
            None => Ok(&mut self.tcp),
        }
    }

    fn finish(&mut self, begun: Begun) -> Result<(), Fault> {
        if self.begun != Some(begun) {
            return Err(Fault::NotInProgress);
        }
        self.begun = None;
        Ok(())
    }

    fn finish_connect(&mut self) -> Result<(Input, Output), Fault> {
        self.finish(Begun::Connect)?;
        match self.looks.once(|cx| self.tcp.poll_connected(cx)) {
            Poll::Ready(connected) => connected?,
            Poll::Pending => {
                self.begun = Some(Begun::Connect);
                return Err(Fault::WouldBlock);
            }
        }
        self.streams()
    }

    fn streams(&mut self) -> Result<(Input, Output), Fault> {
        let input = Input::new(self.tcp.take_receiving()?);
        let output = Output::new(self.tcp.take_sending()?);
        self.streams = Some((input.clone(), output.clone()));
        Ok((input, output))
    }
}

#[async_trait::async_trait]
impl Pollable for TcpSocket {
    async fn ready(&mut self) {
        // These are done when they are begun, and nobody asks yet what comes after.
        if matches!(self.begun, Some(Begun::Bind | Begun::Listen)) {
            return;
        }
        std::future::poll_fn(|cx| {
            self.looks.wait(cx);
            self.tcp.poll_ready(cx)
        })
        .await;
    }
}

type Socket = Resource<TcpSocket>;
type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

/// Gives the guest the streams of a socket, which it has to drop before the socket.
fn push_streams(
    store: &mut StoreData,
    socket: &Socket,
    (input, output): (Input, Output),
) -> Outcome<Streams> {
    let input: DynInputStream = Box::new(input);
    let output: DynOutputStream = Box::new(output);
    let input = store.table().push_child(input, socket)?;
    let output = store.table().push_child(output, socket)?;
    Ok((input, output))
}

fn set(
    store: &mut StoreData,
    socket: &Socket,
    change: impl FnOnce(&mut TcpSettings) -> Result<(), Fault>,
) -> Outcome<()> {
    Ok(store.table().get_mut(socket)?.tcp.set(change)?)
}

fn settings<'a>(store: &'a mut StoreData, socket: &Socket) -> Outcome<&'a TcpSettings> {
    Ok(store.table().get(socket)?.tcp.settings())
}

impl tcp_create_socket::Host for StoreData {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> Outcome<Socket> {
        Ok(self.table().push(TcpSocket::new(Tcp::new(family.into())))?)
    }
}

impl Host for StoreData {}

impl HostTcpSocket for StoreData {
    fn start_bind(
        &mut self,
        socket: Socket,
        network: Resource<Network>,
        to: IpSocketAddress,
    ) -> Outcome<()> {
        let caller = caller(self, &network)?;
        let socket = self.table().get_mut(&socket)?;
        socket.free()?.bind(caller, to.into())?;
        socket.begun = Some(Begun::Bind);
        Ok(())
    }

    fn finish_bind(&mut self, socket: Socket) -> Outcome<()> {
        Ok(self.table().get_mut(&socket)?.finish(Begun::Bind)?)
    }

    fn start_connect(
        &mut self,
        socket: Socket,
        network: Resource<Network>,
        to: IpSocketAddress,
    ) -> Outcome<()> {
        let caller = caller(self, &network)?;
        let socket = self.table().get_mut(&socket)?;
        socket.free()?.connect(&caller, to.into())?;
        socket.begun = Some(Begun::Connect);
        Ok(())
    }

    fn finish_connect(&mut self, socket: Socket) -> Outcome<Streams> {
        let streams = self.table().get_mut(&socket)?.finish_connect()?;
        push_streams(self, &socket, streams)
    }

    fn start_listen(&mut self, socket: Socket) -> Outcome<()> {
        let socket = self.table().get_mut(&socket)?;
        socket.free()?.listen_bound()?;
        socket.begun = Some(Begun::Listen);
        Ok(())
    }

    fn finish_listen(&mut self, socket: Socket) -> Outcome<()> {
        Ok(self.table().get_mut(&socket)?.finish(Begun::Listen)?)
    }

    fn accept(
        &mut self,
        socket: Socket,
    ) -> Outcome<(Socket, Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let listening = self.table().get_mut(&socket)?;
        let accepted = listening.looks.once(|cx| listening.tcp.poll_accept(cx));
        let Poll::Ready(accepted) = accepted else {
            return Err(Fault::WouldBlock.into());
        };
        let mut accepted = TcpSocket::new(accepted?);
        let streams = accepted.streams()?;
        let accepted = self.table().push(accepted)?;
        let (input, output) = push_streams(self, &accepted, streams)?;
        Ok((accepted, input, output))
    }

    fn local_address(&mut self, socket: Socket) -> Outcome<IpSocketAddress> {
        Ok(self.table().get(&socket)?.tcp.local()?.into())
    }

    fn remote_address(&mut self, socket: Socket) -> Outcome<IpSocketAddress> {
        Ok(self.table().get(&socket)?.tcp.peer()?.into())
    }

    fn is_listening(&mut self, socket: Socket) -> wasmtime::Result<bool> {
        Ok(self.table().get(&socket)?.tcp.is_listening())
    }

    fn address_family(&mut self, socket: Socket) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table().get(&socket)?.tcp.family().into())
    }

    fn set_listen_backlog_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        Ok(self.table().get_mut(&socket)?.tcp.set_backlog(value)?)
    }

    fn keep_alive_enabled(&mut self, socket: Socket) -> Outcome<bool> {
        Ok(settings(self, &socket)?.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, socket: Socket, value: bool) -> Outcome<()> {
        set(self, &socket, |settings| {
            settings.keep_alive = value;
            Ok(())
        })
    }

    fn keep_alive_idle_time(&mut self, socket: Socket) -> Outcome<Duration> {
        Ok(settings(self, &socket)?.idle())
    }

    fn set_keep_alive_idle_time(&mut self, socket: Socket, value: Duration) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_idle(value))
    }

    fn keep_alive_interval(&mut self, socket: Socket) -> Outcome<Duration> {
        Ok(settings(self, &socket)?.interval())
    }

    fn set_keep_alive_interval(&mut self, socket: Socket, value: Duration) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_interval(value))
    }

    fn keep_alive_count(&mut self, socket: Socket) -> Outcome<u32> {
        Ok(settings(self, &socket)?.count())
    }

    fn set_keep_alive_count(&mut self, socket: Socket, value: u32) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_count(value))
    }

    fn hop_limit(&mut self, socket: Socket) -> Outcome<u8> {
        Ok(settings(self, &socket)?.common.hop_limit())
    }

    fn set_hop_limit(&mut self, socket: Socket, value: u8) -> Outcome<()> {
        set(self, &socket, |settings| {
            settings.common.set_hop_limit(value)
        })
    }

    fn receive_buffer_size(&mut self, socket: Socket) -> Outcome<u64> {
        Ok(settings(self, &socket)?.common.receive_buffer())
    }

    fn set_receive_buffer_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        set(self, &socket, |settings| {
            settings.common.set_receive_buffer(value)
        })
    }

    fn send_buffer_size(&mut self, socket: Socket) -> Outcome<u64> {
        Ok(settings(self, &socket)?.common.send_buffer())
    }

    fn set_send_buffer_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        set(self, &socket, |settings| {
            settings.common.set_send_buffer(value)
        })
    }

    fn subscribe(&mut self, socket: Socket) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table(), socket)
    }

    fn shutdown(&mut self, socket: Socket, which: ShutdownType) -> Outcome<()> {
        let socket = self.table().get(&socket)?;
        let (input, output) = socket.streams.as_ref().ok_or(Fault::InvalidState)?;
        if matches!(which, ShutdownType::Receive | ShutdownType::Both) {
            input.shut_down();
        }
        if matches!(which, ShutdownType::Send | ShutdownType::Both) {
            output.shut_down();
        }
        Ok(())
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        self.table().delete(socket)?;
        Ok(())
    }
}
