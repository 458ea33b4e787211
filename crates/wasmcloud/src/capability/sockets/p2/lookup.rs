//! `wasi:sockets/ip-name-lookup` of WASI 0.2.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::network::IpAddress;
use super::{Looks, Network, Outcome, caller, ip_name_lookup};
use crate::capability::sockets::fault::Fault;
use crate::capability::sockets::names::{self, LookupFault};
use crate::plugin::StoreData;

type Answer = Result<std::vec::IntoIter<IpAddr>, LookupFault>;

/// The addresses of a name, as they come.
pub struct Lookup {
    state: State,
    looks: Looks,
}

enum State {
    Asking(Pin<Box<dyn Future<Output = Answer> + Send>>),
    Answered(Answer),
}

impl Lookup {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&mut Answer> {
        if let State::Asking(asking) = &mut self.state {
            self.state = State::Answered(ready!(asking.as_mut().poll(cx)));
        }
        match &mut self.state {
            State::Answered(answer) => Poll::Ready(answer),
            State::Asking(_) => Poll::Pending,
        }
    }

    /// The next address, if one is there already.
    fn next(&mut self) -> Result<Option<IpAddr>, Fault> {
        let looks = std::mem::take(&mut self.looks);
        let next = looks.once(|cx| match self.poll(cx) {
            Poll::Pending => Err(Fault::WouldBlock),
            Poll::Ready(Ok(addresses)) => Ok(addresses.next()),
            Poll::Ready(Err(fault)) => Err((*fault).into()),
        });
        self.looks = looks;
        next
    }
}

#[async_trait::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| {
            self.looks.wait(cx);
            self.poll(cx).map(drop)
        })
        .await;
    }
}

impl ip_name_lookup::Host for StoreData {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Outcome<Resource<Lookup>> {
        let caller = caller(self, &network)?;
        let asking = names::look_up(caller, name).map(|found| Ok(found?.into_iter()));
        let mut lookup = Lookup {
            state: State::Asking(Box::pin(asking)),
            looks: Looks::default(),
        };
        // What is known at once is told at once, and the rest is under way.
        if let Poll::Ready(Err(fault)) = Looks::default().once(|cx| lookup.poll(cx)) {
            return Err(Fault::from(*fault).into());
        }
        Ok(self.table().push(lookup)?)
    }
}

impl ip_name_lookup::HostResolveAddressStream for StoreData {
    fn resolve_next_address(&mut self, lookup: Resource<Lookup>) -> Outcome<Option<IpAddress>> {
        let next = self.table().get_mut(&lookup)?.next();
        Ok(next?.map(IpAddress::from))
    }

    fn subscribe(&mut self, lookup: Resource<Lookup>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table(), lookup)
    }

    fn drop(&mut self, lookup: Resource<Lookup>) -> wasmtime::Result<()> {
        self.table().delete(lookup)?;
        Ok(())
    }
}
