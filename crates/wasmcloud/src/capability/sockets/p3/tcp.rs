//! `tcp-socket` of WASI 0.3.

use std::task::Poll;

use tokio::sync::oneshot;
use wasmtime::component::{Access, Accessor, FutureReader, HasSelf, Resource, StreamReader};

use super::Outcome;
use super::stream::{Accepted, Done, Received, Sent};
use super::types::{
    Duration, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress,
};
use crate::capability::sockets::caller::Caller;
use crate::capability::sockets::fault::Fault;
use crate::capability::sockets::settings::TcpSettings;
use crate::capability::sockets::tcp::Tcp;
use crate::plugin::StoreData;

type Socket = Resource<Tcp>;
type Own = HasSelf<StoreData>;

fn set(
    store: &mut StoreData,
    socket: &Socket,
    change: impl FnOnce(&mut TcpSettings) -> Result<(), Fault>,
) -> Outcome<()> {
    Ok(store.table().get_mut(socket)?.set(change)?)
}

fn settings<'a>(store: &'a mut StoreData, socket: &Socket) -> Outcome<&'a TcpSettings> {
    Ok(store.table().get(socket)?.settings())
}

/// A future that tells what is known already.
fn told(
    store: &mut Access<'_, StoreData, Own>,
    fault: Fault,
) -> wasmtime::Result<FutureReader<Done>> {
    FutureReader::new(store, async move { wasmtime::error::Ok(Err(fault.into())) })
}

impl HostTcpSocketWithStore<StoreData> for Own {
    async fn connect(
        store: &Accessor<StoreData, Self>,
        socket: Socket,
        to: IpSocketAddress,
    ) -> Outcome<()> {
        store.with(|mut store| -> Outcome<()> {
            let store = store.get();
            let caller = Caller::all(store)?;
            Ok(store
                .table()
                .get_mut(&socket)?
                .connect(&caller, to.into())?)
        })?;
        std::future::poll_fn(|cx| {
            store.with(|mut store| match store.get().table().get_mut(&socket) {
                Ok(socket) => socket.poll_connected(cx).map_err(super::Failure::from),
                Err(error) => Poll::Ready(Err(error.into())),
            })
        })
        .await
    }

    fn listen(
        mut store: Access<'_, StoreData, Self>,
        socket: Socket,
    ) -> Outcome<StreamReader<Socket>> {
        let data = store.get();
        let caller = Caller::all(data)?;
        let tcp = data.table().get_mut(&socket)?;
        let accepted = Accepted {
            listening: tcp.listen(caller)?,
            settings: *tcp.settings(),
        };
        Ok(StreamReader::new(&mut store, accepted)?)
    }

    fn send(
        mut store: Access<'_, StoreData, Self>,
        socket: Socket,
        mut data: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Done>> {
        match store.get().table().get_mut(&socket)?.take_sending() {
            Ok(half) => {
                let (tell, done) = oneshot::channel();
                data.pipe(&mut store, Sent::new(half, tell))?;
                FutureReader::new(&mut store, done)
            }
            Err(fault) => {
                data.close(&mut store)?;
                told(&mut store, fault)
            }
        }
    }

    fn receive(
        mut store: Access<'_, StoreData, Self>,
        socket: Socket,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Done>)> {
        match store.get().table().get_mut(&socket)?.take_receiving() {
            Ok(half) => {
                let (tell, done) = oneshot::channel();
                let stream = StreamReader::new(&mut store, Received::new(half, tell))?;
                Ok((stream, FutureReader::new(&mut store, done)?))
            }
            Err(fault) => {
                let stream = StreamReader::new(&mut store, Vec::new())?;
                Ok((stream, told(&mut store, fault)?))
            }
        }
    }
}

impl HostTcpSocket for StoreData {
    fn create(&mut self, family: IpAddressFamily) -> Outcome<Socket> {
        Ok(self.table().push(Tcp::new(family.into()))?)
    }

    fn bind(&mut self, socket: Socket, to: IpSocketAddress) -> Outcome<()> {
        let caller = Caller::all(self)?;
        Ok(self.table().get_mut(&socket)?.bind(caller, to.into())?)
    }

    fn get_local_address(&mut self, socket: Socket) -> Outcome<IpSocketAddress> {
        Ok(self.table().get(&socket)?.local()?.into())
    }

    fn get_remote_address(&mut self, socket: Socket) -> Outcome<IpSocketAddress> {
        Ok(self.table().get(&socket)?.peer()?.into())
    }

    fn get_is_listening(&mut self, socket: Socket) -> wasmtime::Result<bool> {
        Ok(self.table().get(&socket)?.is_listening())
    }

    fn get_address_family(&mut self, socket: Socket) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table().get(&socket)?.family().into())
    }

    fn set_listen_backlog_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        Ok(self.table().get_mut(&socket)?.set_backlog(value)?)
    }

    fn get_keep_alive_enabled(&mut self, socket: Socket) -> Outcome<bool> {
        Ok(settings(self, &socket)?.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, socket: Socket, value: bool) -> Outcome<()> {
        set(self, &socket, |settings| {
            settings.keep_alive = value;
            Ok(())
        })
    }

    fn get_keep_alive_idle_time(&mut self, socket: Socket) -> Outcome<Duration> {
        Ok(settings(self, &socket)?.idle())
    }

    fn set_keep_alive_idle_time(&mut self, socket: Socket, value: Duration) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_idle(value))
    }

    fn get_keep_alive_interval(&mut self, socket: Socket) -> Outcome<Duration> {
        Ok(settings(self, &socket)?.interval())
    }

    fn set_keep_alive_interval(&mut self, socket: Socket, value: Duration) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_interval(value))
    }

    fn get_keep_alive_count(&mut self, socket: Socket) -> Outcome<u32> {
        Ok(settings(self, &socket)?.count())
    }

    fn set_keep_alive_count(&mut self, socket: Socket, value: u32) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_count(value))
    }

    fn get_hop_limit(&mut self, socket: Socket) -> Outcome<u8> {
        Ok(settings(self, &socket)?.common.hop_limit())
    }

    fn set_hop_limit(&mut self, socket: Socket, value: u8) -> Outcome<()> {
        set(self, &socket, |settings| {
            settings.common.set_hop_limit(value)
        })
    }

    fn get_receive_buffer_size(&mut self, socket: Socket) -> Outcome<u64> {
        Ok(settings(self, &socket)?.common.receive_buffer())
    }

    fn set_receive_buffer_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        set(self, &socket, |settings| {
            settings.common.set_receive_buffer(value)
        })
    }

    fn get_send_buffer_size(&mut self, socket: Socket) -> Outcome<u64> {
        Ok(settings(self, &socket)?.common.send_buffer())
    }

    fn set_send_buffer_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        set(self, &socket, |settings| {
            settings.common.set_send_buffer(value)
        })
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        self.table().delete(socket)?;
        Ok(())
    }
}
