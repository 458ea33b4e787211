//! Which addresses are taken: bound ones exclusively, ports of outgoing connections by several at once toward different peers.

use std::collections::{BTreeMap, HashSet};

use super::NetError;
use super::address::{EPHEMERAL, Key};

/// Addresses that are taken, with what is there.
#[derive(Debug)]
pub(super) struct Ports<T> {
    taken: BTreeMap<Key, T>,
    /// Where to look for a free port next. Ports that were just given back are left alone for a while.
    next: u16,
}

impl<T> Ports<T> {
    pub(super) const fn new() -> Self {
        Self {
            taken: BTreeMap::new(),
            next: *EPHEMERAL.start(),
        }
    }

    /// Takes an address, or where the port is 0, a free port of it.
    ///
    /// # Errors
    /// `InUse`: somebody has the address, all addresses of the port, or one of them if all are asked for.
    pub(super) fn bind(&mut self, key: Key, value: T) -> Result<Key, NetError> {
        let key = match key.port() {
            0 => self.ephemeral(key, |ports, key| ports.is_free(key)),
            _ => Some(key).filter(|key| self.is_free(*key)),
        };
        let key = key.ok_or(NetError::InUse)?;
        self.taken.insert(key, value);
        Ok(key)
    }

    /// The next ephemeral port of the address that suits.
    fn ephemeral(&mut self, key: Key, suits: impl Fn(&Self, Key) -> bool) -> Option<Key> {
        for _ in EPHEMERAL {
            let key = key.with_port(self.next);
            self.next = self.next.checked_add(1).unwrap_or(*EPHEMERAL.start());
            if suits(self, key) {
                return Some(key);
            }
        }
        None
    }

    fn is_free(&self, key: Key) -> bool {
        if key.is_any() {
            self.taken.range(key..=key.last()).next().is_none()
        } else {
            !self.taken.contains_key(&key) && !self.taken.contains_key(&key.any())
        }
    }

    /// Who answers at an address: who has it, or who has all addresses of its port.
    pub(super) fn at(&self, key: Key) -> Option<&T> {
        self.taken.get(&key).or_else(|| self.taken.get(&key.any()))
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.taken.get_mut(&key)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        self.taken.remove(&key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.taken.iter().map(|(key, value)| (*key, value))
    }
}

/// What is at a TCP address.
#[derive(Debug)]
pub(super) enum Local<L> {
    /// It is bound, and that is all.
    Bound,
    /// Somebody listens.
    Listening(L),
    /// Nobody has bound it: so many connections go out from it, each to another peer.
    Outgoing(usize),
}

/// The TCP addresses and the connections between them.
#[derive(Debug)]
pub(super) struct TcpPorts<L> {
    pub(super) ports: Ports<Local<L>>,
    /// From where to where, as whoever connected sees it.
    connected: HashSet<(Key, Key)>,
}

impl<L> TcpPorts<L> {
    pub(super) fn new() -> Self {
        Self {
            ports: Ports::new(),
            connected: HashSet::new(),
        }
    }

    /// Who listens at an address.
    pub(super) fn listener(&self, key: Key) -> Option<&L> {
        match self.ports.at(key) {
            Some(Local::Listening(listener)) => Some(listener),
            _ => None,
        }
    }

    /// Takes note of a connection from a bound address, or from a free port. Gives where it comes from.
    ///
    /// # Errors
    /// `InUse`: every port has a connection to that peer.
    pub(super) fn connect(&mut self, from: Option<Key>, to: Key) -> Result<Key, NetError> {
        let from = match from {
            Some(from) => from.specific(),
            None => self.outgoing(to)?,
        };
        self.connected.insert((from, to));
        Ok(from)
    }

    fn outgoing(&mut self, to: Key) -> Result<Key, NetError> {
        let connected = &self.connected;
        let from = self.ports.ephemeral(to.localhost(), |ports, from| {
            let shared = match ports.taken.get(&from) {
                None => !ports.taken.contains_key(&from.any()),
                Some(Local::Outgoing(_)) => true,
                Some(_) => false,
            };
            shared && !connected.contains(&(from, to))
        });
        let from = from.ok_or(NetError::InUse)?;
        match self.ports.taken.entry(from).or_insert(Local::Outgoing(0)) {
            Local::Outgoing(count) => *count += 1,
            Local::Bound | Local::Listening(_) => {}
        }
        Ok(from)
    }

    /// A connection is gone.
    pub(super) fn disconnect(&mut self, from: Key, to: Key) {
        self.connected.remove(&(from, to));
        if self.connected.is_empty() {
            self.connected = HashSet::new();
        }
        if let Some(Local::Outgoing(count)) = self.ports.get_mut(from) {
            *count -= 1;
            if *count == 0 {
                self.ports.remove(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn key(addr: &str) -> Key {
        Key::new(addr.parse().unwrap()).unwrap()
    }

    fn tcp() -> TcpPorts<()> {
        TcpPorts::new()
    }

    #[test]
    fn an_address_is_taken_once_and_given_back() {
        let mut ports = Ports::new();
        let http = key("127.0.0.1:80");
        assert_eq!(ports.bind(http, ()), Ok(http));
        assert_eq!(ports.bind(http, ()), Err(NetError::InUse));
        ports.bind(key("127.0.0.2:80"), ()).unwrap();
        ports.bind(key("[::1]:80"), ()).unwrap();
        ports.remove(http);
        ports.bind(http, ()).unwrap();
    }

    #[test]
    fn all_addresses_clash_with_each_of_them_but_not_with_the_other_family() {
        let mut ports = Ports::new();
        ports.bind(key("127.0.0.9:80"), 1).unwrap();
        assert_eq!(ports.bind(key("0.0.0.0:80"), 2), Err(NetError::InUse));
        ports.bind(key("[::]:80"), 3).unwrap();
        assert_eq!(ports.bind(key("[::1]:80"), 4), Err(NetError::InUse));
        ports.bind(key("0.0.0.0:81"), 5).unwrap();
        assert_eq!(ports.bind(key("127.0.0.9:81"), 6), Err(NetError::InUse));
        assert_eq!(ports.at(key("127.3.3.3:81")), Some(&5));
        assert_eq!(ports.at(key("127.0.0.1:80")), None);
        assert_eq!(ports.at(key("[::1]:80")), Some(&3));
    }

    #[test]
    fn free_ports_are_given_in_turn_until_there_are_none() {
        let mut ports = Ports::new();
        let (any, local) = (key("0.0.0.0:0"), key("127.0.0.1:0"));
        ports.bind(key("127.0.0.1:49153"), ()).unwrap();
        assert_eq!(ports.bind(local, ()), Ok(key("127.0.0.1:49152")));
        assert_eq!(ports.bind(any, ()), Ok(key("0.0.0.0:49154")));
        ports.remove(key("0.0.0.0:49154"));
        assert_eq!(ports.bind(local, ()), Ok(key("127.0.0.1:49155")));
        while ports.bind(local, ()).is_ok() {}
        assert_eq!(ports.iter().count(), EPHEMERAL.count());
        assert_eq!(ports.bind(any, ()), Err(NetError::InUse));
        ports.bind(key("127.0.0.2:0"), ()).unwrap();
    }

    #[test]
    fn connections_share_ports_toward_different_peers_only() {
        let mut tcp = tcp();
        let peers = [key("127.0.0.1:80"), key("127.0.0.1:81")];
        for _ in EPHEMERAL {
            tcp.connect(None, peers[0]).unwrap();
        }
        assert_eq!(tcp.connect(None, peers[0]), Err(NetError::InUse));
        let shared = tcp.connect(None, peers[1]).unwrap();
        assert_eq!(tcp.ports.bind(shared, Local::Bound), Err(NetError::InUse));
        tcp.disconnect(shared, peers[0]);
        assert_eq!(tcp.ports.bind(shared, Local::Bound), Err(NetError::InUse));
        tcp.disconnect(shared, peers[1]);
        tcp.ports.bind(shared, Local::Bound).unwrap();
        assert_eq!(
            tcp.connect(None, peers[0]),
            Err(NetError::InUse),
            "bound ports are not shared"
        );
    }

    #[test]
    fn connections_from_bound_addresses_leave_them_bound() {
        let mut tcp = tcp();
        let to = key("[::1]:80");
        let from = tcp.ports.bind(key("[::]:7000"), Local::Bound).unwrap();
        let seen = tcp.connect(Some(from), to).unwrap();
        assert_eq!(seen, key("[::1]:7000"));
        tcp.disconnect(seen, to);
        assert_eq!(tcp.ports.bind(from, Local::Bound), Err(NetError::InUse));
        tcp.ports.bind(key("0.0.0.0:49152"), Local::Bound).unwrap();
        assert_eq!(
            tcp.connect(None, key("127.0.0.1:80")),
            Ok(key("127.0.0.1:49153"))
        );
    }
}
