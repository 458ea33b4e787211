//! How many connections there may be, of all clients and of one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::limits::HttpLimits;

/// How often the log is told that there is no room: a server may be full for long.
const TELL: Duration = Duration::from_secs(60);

/// The room for connections.
#[derive(Debug)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    size: usize,
    clients: Option<Clients>,
    told: Option<Instant>,
}

/// A place for one connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    _place: OwnedSemaphorePermit,
    _client: Option<Client>,
}

impl Room {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        let size = limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(size)),
            size,
            clients: limits.connections_per_client.map(Clients::new),
            told: None,
        }
    }

    /// Waits for a place. Until there is one, clients wait where the operating system keeps them.
    pub(super) async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        if self.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.told = Some(Instant::now());
            tracing::warn!(
                connections = self.size,
                "as many HTTP connections as there may be; further ones wait until one closes"
            );
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Gives the place to a client, unless it has too many.
    pub(super) fn admit(
        &self,
        place: Option<OwnedSemaphorePermit>,
        client: IpAddr,
    ) -> Option<Admitted> {
        let client = match &self.clients {
            Some(clients) => match clients.enter(client) {
                Some(client) => Some(client),
                None => {
                    tracing::debug!(%client, "a client has as many HTTP connections as it may");
                    return None;
                }
            },
            None => None,
        };
        Some(Admitted {
            _place: place?,
            _client: client,
        })
    }
}

/// The connections of each client.
#[derive(Clone, Debug)]
struct Clients {
    most: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Clients {
    fn new(most: usize) -> Self {
        Self {
            most,
            counts: Arc::default(),
        }
    }

    fn enter(&self, address: IpAddr) -> Option<Client> {
        let network = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Client {
            network,
            clients: self.clone(),
        })
    }
}

/// What counts as one client: whoever has one IPv6 address has a network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

/// One connection of a client.
#[derive(Debug)]
struct Client {
    network: IpAddr,
    clients: Clients,
}

impl Drop for Client {
    fn drop(&mut self) {
        let counts = &self.clients.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use futures::FutureExt as _;

    use super::*;

    fn room(connections: usize, per_client: Option<usize>) -> Room {
        Room::new(&HttpLimits {
            connections,
            connections_per_client: per_client,
            ..HttpLimits::default()
        })
    }

    fn enter(room: &mut Room, address: &str) -> Option<Admitted> {
        let place = room.place().now_or_never().unwrap();
        room.admit(place, address.parse().unwrap())
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_gone() {
        let mut room = room(2, None);
        let first = enter(&mut room, "10.0.0.1").unwrap();
        let _second = enter(&mut room, "10.0.0.1").unwrap();
        assert!(room.place().now_or_never().is_none());
        drop(first);
        enter(&mut room, "10.0.0.1").unwrap();
    }

    #[test]
    fn a_client_takes_no_more_than_its_share() {
        let mut room = room(10, Some(2));
        let first = enter(&mut room, "10.0.0.1").unwrap();
        let _second = enter(&mut room, "::ffff:10.0.0.1").unwrap();
        assert!(enter(&mut room, "10.0.0.1").is_none());
        let _other = enter(&mut room, "10.0.0.2").unwrap();
        drop(first);
        let _third = enter(&mut room, "10.0.0.1").unwrap();
        let network: Vec<_> = ["2001:db8::1", "2001:db8::2", "2001:db8::3"]
            .iter()
            .filter_map(|address| enter(&mut room, address))
            .collect();
        assert_eq!(network.len(), 2);
        drop(network);
        assert_eq!(room.clients.unwrap().counts.lock().unwrap().len(), 2);
    }
}
