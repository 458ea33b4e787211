//! `wasi:tls` 0.3.0-draft. Until there is a connection, each direction is a pair of pipes, one in and one out, which the guest may
//! fill and empty already; then a task takes bytes through TLS from one to the other. It ends with the pipes, and they with the store.
//! All of that takes memory of the host, so a connector has a place among the connections of its workload from the beginning, and all that
//! comes of it shares that. One that finds none cannot fail there and then: whatever it is asked for says so.

mod pipes;

use std::sync::Arc;

use tokio::io::{AsyncWriteExt as _, DuplexStream, copy, split};
use tokio::sync::oneshot;
use wasmtime::component::{
    Access, Accessor, FutureReader, HasSelf, LinkerInstance, Resource, StreamReader,
};
use wasmtime_wasi_tls::Error;

use super::secured::{Bound, Place, Secured, secure};
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
#[allow(unreachable_pub, reason = "the bindings name it publicly")]
pub struct Connector {
    /// Its place, or why it has none.
    place: Result<Arc<Place>, Error>,
    send: Option<Direction>,
    receive: Option<Direction>,
}

type Tell = oneshot::Sender<Result<(), Error>>;

/// One direction: where bytes come from and go to, and where to tell how it ended.
struct Direction {
    from: DuplexStream,
    to: DuplexStream,
    tell: Tell,
}

impl Connector {
    fn new(place: Result<Arc<Place>, Error>) -> Self {
        Self {
            place,
            send: None,
            receive: None,
        }
    }

    /// Begins a direction: the ends of its pipes that are for the guest. `None`: there is none, and why was told.
    fn begin(
        &mut self,
        way: fn(&mut Self) -> &mut Option<Direction>,
        tell: Tell,
    ) -> Option<(Filled, Emptied)> {
        let place = match way(self) {
            Some(_) => Err(Error::msg("this direction is set up already")),
            None => self.place.clone(),
        };
        match place {
            Ok(place) => {
                let ((filled, from), (to, emptied)) = (pipe(), pipe());
                *way(self) = Some(Direction { from, to, tell });
                let filled = Filled(Some((filled, Arc::clone(&place))));
                Some((filled, Emptied(Some((emptied, place)))))
            }
            Err(error) => {
                // The other end is here.
                let _ = tell.send(Err(error));
                None
            }
        }
    }
}

type Streams = (StreamReader<u8>, FutureReader<Outcome>);

/// Sets a direction up: a stream of the guest goes in, and another one comes out.
fn set_up(
    store: &mut Access<'_, StoreData, HasSelf<StoreData>>,
    connector: &Resource<Connector>,
    mut input: StreamReader<u8>,
    way: fn(&mut Connector) -> &mut Option<Direction>,
) -> wasmtime::Result<Streams> {
    let (tell, told) = oneshot::channel();
    let begun = store.get().table().get_mut(connector)?.begin(way, tell);
    let emptied = match begun {
        Some((filled, emptied)) => {
            input.pipe(&mut *store, filled)?;
            emptied
        }
        None => {
            input.close(&mut *store)?;
            Emptied(None)
        }
    };
    let output = StreamReader::new(&mut *store, emptied)?;
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
        let connector = accessor.with(|mut store| store.get().table().delete(connector))?;
        let done = match (connector.place, connector.send, connector.receive) {
            (Err(error), _, _) => Err(error),
            (Ok(place), Some(send), Some(receive)) => {
                connect(place, send, receive, server_name).await
            }
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
    place: Arc<Place>,
    send: Direction,
    receive: Direction,
    name: String,
) -> Result<(), Error> {
    let transport = tokio::io::join(receive.from, send.to);
    match secure(place, name, Box::new(transport)).await {
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

type End = (DuplexStream, Tell);

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
        let place = Place::take(Bound::of(self).as_deref());
        Ok(self.table().push(Connector::new(place))?)
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
