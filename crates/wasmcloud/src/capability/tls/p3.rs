//! `wasi:tls` 0.3.0-draft. Until there is a connection, each direction is a pair of pipes, one in and one out, which the guest may
//! fill and empty already; then a task takes bytes through TLS from one to the other. It ends with the pipes, and they with the store.

mod pipes;

use tokio::io::{AsyncWriteExt as _, DuplexStream, copy, split};
use tokio::sync::oneshot;
use wasmtime::component::{
    Access, Accessor, FutureReader, HasSelf, LinkerInstance, Resource, StreamReader,
};
use wasmtime_wasi_tls::Error;

use super::secured::{Bound, Secured, secure};
use crate::plugin::StoreData;
use pipes::{Emptied, Filled, Outcome, pipe};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/tls",
        world: "wasi:tls/imports",
        imports: {
            "wasi:tls/client.[method]connector.send": store | trappable,
            "wasi:tls/client.[method]connector.receive": store | trappable,
            default: trappable,
        },
        with: {
            "wasi:tls/client.connector": super::Connector,
            "wasi:tls/types.error": wasmtime_wasi_tls::Error,
        },
        require_store_data_send: true,
    });
}

use generated::wasi::tls::{client, types};

pub(super) fn link_types(linker: &mut LinkerInstance<'_, StoreData>) -> wasmtime::Result<()> {
    types::add_to_linker_instance::<StoreData, HasSelf<StoreData>>(linker, |data| data)
}

pub(super) fn link_client(linker: &mut LinkerInstance<'_, StoreData>) -> wasmtime::Result<()> {
    client::add_to_linker_instance::<StoreData, HasSelf<StoreData>>(linker, |data| data)
}

/// A connection that is not made yet, with the directions that are set up.
#[derive(Default)]
#[allow(unreachable_pub, reason = "the bindings name it publicly")]
pub struct Connector {
    send: Option<Direction>,
    receive: Option<Direction>,
}

/// One direction: where bytes come from and go to, and where to tell how it ended.
struct Direction {
    from: DuplexStream,
    to: DuplexStream,
    tell: oneshot::Sender<Result<(), Error>>,
}

type Streams = (StreamReader<u8>, FutureReader<Outcome>);

/// Sets a direction up: a stream of the guest goes in, and another one comes out.
fn set_up(
    store: &mut Access<'_, StoreData, HasSelf<StoreData>>,
    connector: &Resource<Connector>,
    mut input: StreamReader<u8>,
    place: fn(&mut Connector) -> &mut Option<Direction>,
) -> wasmtime::Result<Streams> {
    let (tell, told) = oneshot::channel();
    let ((filled, from), (to, emptied)) = (pipe(), pipe());
    let place = place(store.get().table().get_mut(connector)?);
    if place.is_some() {
        input.close(&mut *store)?;
        let error = Error::msg("this direction is set up already");
        // The other end is here.
        let _ = tell.send(Err(error));
    } else {
        *place = Some(Direction { from, to, tell });
        input.pipe(&mut *store, Filled(Some(filled)))?;
    }
    let output = StreamReader::new(&mut *store, Emptied(Some(emptied)))?;
    Ok((output, FutureReader::new(&mut *store, pipes::Told(told))?))
}

impl client::HostConnectorWithStore<StoreData> for HasSelf<StoreData> {
    fn send(
        mut store: Access<'_, StoreData, Self>,
        connector: Resource<Connector>,
        cleartext: StreamReader<u8>,
    ) -> wasmtime::Result<Streams> {
        set_up(&mut store, &connector, cleartext, |it| &mut it.send)
    }

    fn receive(
        mut store: Access<'_, StoreData, Self>,
        connector: Resource<Connector>,
        ciphertext: StreamReader<u8>,
    ) -> wasmtime::Result<Streams> {
        set_up(&mut store, &connector, ciphertext, |it| &mut it.receive)
    }

    async fn connect(
        accessor: &Accessor<StoreData, Self>,
        connector: Resource<Connector>,
        server_name: String,
    ) -> wasmtime::Result<Outcome> {
        let (connector, bound) = accessor.with(|mut store| -> wasmtime::Result<_> {
            let data = store.get();
            let connector = data.table().delete(connector)?;
            Ok((connector, Bound::of(data)))
        })?;
        let done = match (connector.send, connector.receive) {
            (Some(send), Some(receive)) => connect(send, receive, server_name, bound).await,
            _ => Err(Error::msg(
                "`send` and `receive` have to be set up before `connect`",
            )),
        };
        match done {
            Ok(()) => Ok(Ok(())),
            Err(error) => accessor.with(|mut store| {
                let error = store.get().table().push(error)?;
                Ok(Err(error))
            }),
        }
    }
}

/// Agrees with the server, and has both directions carried from then on.
async fn connect(
    send: Direction,
    receive: Direction,
    name: String,
    bound: Option<std::sync::Arc<Bound>>,
) -> Result<(), Error> {
    let transport = tokio::io::join(receive.from, send.to);
    match secure(bound, name, Box::new(transport)).await {
        Ok(secured) => {
            let (input, tell_sent) = (send.from, send.tell);
            let (output, tell_received) = (receive.to, receive.tell);
            tokio::spawn(carry(secured, (input, tell_sent), (output, tell_received)));
            Ok(())
        }
        Err(error) => {
            for tell in [send.tell, receive.tell] {
                // Who has dropped the future does not want to know.
                let _ = tell.send(Err(error.clone()));
            }
            Err(error)
        }
    }
}

type End = (DuplexStream, oneshot::Sender<Result<(), Error>>);

/// Takes bytes through TLS in both directions until each has ended.
async fn carry(secured: Secured, (mut input, sent): End, (mut output, received): End) {
    let (mut from_server, mut to_server) = split(secured);
    let sending = async {
        let copied = copy(&mut input, &mut to_server).await;
        // Tells the server that nothing more comes.
        let ended = to_server.shutdown().await;
        let _ = sent.send(copied.and(ended).map_err(Error::from));
    };
    let receiving = async {
        let copied = copy(&mut from_server, &mut output).await;
        drop(output);
        let _ = received.send(copied.map(drop).map_err(Error::from));
    };
    tokio::join!(sending, receiving);
}

impl client::Host for StoreData {}

impl client::HostConnector for StoreData {
    fn new(&mut self) -> wasmtime::Result<Resource<Connector>> {
        Ok(self.table().push(Connector::default())?)
    }

    fn drop(&mut self, connector: Resource<Connector>) -> wasmtime::Result<()> {
        self.table().delete(connector)?;
        Ok(())
    }
}

impl types::Host for StoreData {}

impl types::HostError for StoreData {
    fn to_debug_string(&mut self, error: Resource<Error>) -> wasmtime::Result<String> {
        Ok(self.table().get(&error)?.to_string())
    }

    fn drop(&mut self, error: Resource<Error>) -> wasmtime::Result<()> {
        self.table().delete(error)?;
        Ok(())
    }
}
