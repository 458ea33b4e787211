//! `udp-socket` of WASI 0.3.

use std::net::SocketAddr;

use wasmtime::component::{Accessor, HasSelf, Resource};

use super::Outcome;
use super::types::{HostUdpSocket, HostUdpSocketWithStore, IpAddressFamily, IpSocketAddress};
use crate::capability::sockets::caller::Caller;
use crate::capability::sockets::fault::Fault;
use crate::capability::sockets::settings::Settings;
use crate::capability::sockets::udp::Udp;
use crate::plugin::StoreData;

type Socket = Resource<Udp>;

fn set(
    store: &mut StoreData,
    socket: &Socket,
    change: impl FnOnce(&mut Settings) -> Result<(), Fault>,
) -> Outcome<()> {
    Ok(store.table().get_mut(socket)?.set(change)?)
}

fn settings<'a>(store: &'a mut StoreData, socket: &Socket) -> Outcome<&'a Settings> {
    Ok(store.table().get(socket)?.settings())
}

impl HostUdpSocketWithStore<StoreData> for HasSelf<StoreData> {
    async fn send(
        store: &Accessor<StoreData, Self>,
        socket: Socket,
        data: Vec<u8>,
        to: Option<IpSocketAddress>,
    ) -> Outcome<()> {
        let (ends, to) = store.with(|mut store| -> Outcome<_> {
            let store = store.get();
            let caller = Caller::all(store)?;
            let socket = store.table().get_mut(&socket)?;
            let to = socket.destination(to.map(SocketAddr::from))?;
            Ok((socket.bound(caller)?, to))
        })?;
        Ok(ends.send(&data, to).await?)
    }

    async fn receive(
        store: &Accessor<StoreData, Self>,
        socket: Socket,
    ) -> Outcome<(Vec<u8>, IpSocketAddress)> {
        let (ends, peer) = store.with(|mut store| -> Outcome<_> {
            let socket = store.get().table().get(&socket)?;
            Ok((socket.ends()?, socket.peer().ok()))
        })?;
        let (data, from) = ends.receive(peer).await?;
        Ok((data.into(), from.into()))
    }
}

impl HostUdpSocket for StoreData {
    fn create(&mut self, family: IpAddressFamily) -> Outcome<Socket> {
        Ok(self.table().push(Udp::new(family.into()))?)
    }

    fn bind(&mut self, socket: Socket, to: IpSocketAddress) -> Outcome<()> {
        let caller = Caller::all(self)?;
        Ok(self.table().get_mut(&socket)?.bind(caller, to.into())?)
    }

    fn connect(&mut self, socket: Socket, to: IpSocketAddress) -> Outcome<()> {
        let caller = Caller::all(self)?;
        let socket = self.table().get_mut(&socket)?;
        let to = SocketAddr::from(to);
        socket.connect(Some(to))?;
        socket.bound(caller)?;
        Ok(())
    }

    fn disconnect(&mut self, socket: Socket) -> Outcome<()> {
        let socket = self.table().get_mut(&socket)?;
        socket.peer()?;
        Ok(socket.connect(None)?)
    }

    fn get_local_address(&mut self, socket: Socket) -> Outcome<IpSocketAddress> {
        Ok(self.table().get(&socket)?.local()?.into())
    }

    fn get_remote_address(&mut self, socket: Socket) -> Outcome<IpSocketAddress> {
        Ok(self.table().get(&socket)?.peer()?.into())
    }

    fn get_address_family(&mut self, socket: Socket) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table().get(&socket)?.family().into())
    }

    fn get_unicast_hop_limit(&mut self, socket: Socket) -> Outcome<u8> {
        Ok(settings(self, &socket)?.hop_limit())
    }

    fn set_unicast_hop_limit(&mut self, socket: Socket, value: u8) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_hop_limit(value))
    }

    fn get_receive_buffer_size(&mut self, socket: Socket) -> Outcome<u64> {
        Ok(settings(self, &socket)?.receive_buffer())
    }

    fn set_receive_buffer_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_receive_buffer(value))
    }

    fn get_send_buffer_size(&mut self, socket: Socket) -> Outcome<u64> {
        Ok(settings(self, &socket)?.send_buffer())
    }

    fn set_send_buffer_size(&mut self, socket: Socket, value: u64) -> Outcome<()> {
        set(self, &socket, |settings| settings.set_send_buffer(value))
    }

    fn drop(&mut self, socket: Socket) -> wasmtime::Result<()> {
        self.table().delete(socket)?;
        Ok(())
    }
}
