//! A way to a server that can be cut, held up and slowed down, as a network can.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Everything passes.
    Open,
    /// Nothing passes and nobody is told: bytes wait until the way is open, as in a partition. Connections are taken.
    Held,
    /// Connections break, and new ones break at once.
    Cut,
    /// Every piece of at most 1 KiB takes so long.
    Slow(Duration),
}

/// Takes connections and passes them on to a port of the same machine.
#[derive(Debug)]
pub struct Proxy {
    at: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    way: Way,
    /// Grows whenever connections are to break.
    cuts: u64,
    over: bool,
    streams: Vec<TcpStream>,
    /// How many bytes have passed, both ways together.
    passed: u64,
}

impl Proxy {
    /// A way from 127.0.0.1 to a port, open at first.
    #[must_use]
    pub fn to(port: u16) -> Self {
        Self::between((Ipv4Addr::LOCALHOST, 0).into(), port)
    }

    /// The same from an address of this machine.
    #[must_use]
    pub fn between(from: SocketAddr, port: u16) -> Self {
        let listener = TcpListener::bind(from).expect("a port");
        let at = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                way: Way::Open,
                cuts: 0,
                over: false,
                streams: Vec::new(),
                passed: 0,
            }),
            changed: Condvar::new(),
        });
        let of_listener = Arc::clone(&shared);
        std::thread::spawn(move || of_listener.listen(&listener, port));
        Self { at, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// How many bytes have passed so far, both ways together.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.lock().passed
    }

    /// Changes how the way is, for the connections that there are as well.
    pub fn set(&self, way: Way) {
        let mut state = self.shared.lock();
        state.way = way;
        if way == Way::Cut {
            state.cut();
        }
        self.shared.changed.notify_all();
    }

    /// Breaks the connections that there are; new ones pass.
    pub fn break_all(&self) {
        self.shared.lock().cut();
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.over = true;
        state.cut();
        self.shared.changed.notify_all();
        drop(state);
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(self.at);
    }
}

impl State {
    fn cut(&mut self) {
        self.cuts += 1;
        for stream in self.streams.drain(..) {
            // The other side may have gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>, listener: &TcpListener, to: u16) {
        for inside in listener.incoming() {
            if self.lock().over {
                return;
            }
            let Ok(inside) = inside else { return };
            let Ok(outside) = TcpStream::connect(("127.0.0.1", to)) else {
                continue;
            };
            self.join(&inside, &outside);
        }
    }

    /// Passes both ways until either ends.
    fn join(self: &Arc<Self>, inside: &TcpStream, outside: &TcpStream) {
        let both = [inside, outside].map(|stream| stream.try_clone().expect("a handle"));
        let cuts = {
            let mut state = self.lock();
            if state.way == Way::Cut {
                return;
            }
            state.streams.extend(both);
            state.cuts
        };
        for (from, to) in [(inside, outside), (outside, inside)] {
            let _ = from.set_nodelay(true);
            let (from, to) = (from.try_clone(), to.try_clone());
            let (from, to) = (from.expect("a handle"), to.expect("a handle"));
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.pump(from, to, cuts));
        }
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, cuts: u64) {
        let mut piece = [0; 1024];
        while let Ok(length) = from.read(&mut piece) {
            let filled = piece.get(..length).unwrap_or_default();
            if filled.is_empty() || !self.may_pass(cuts) {
                break;
            }
            self.lock().passed += filled.len() as u64;
            if to.write_all(filled).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Waits for its turn. `false`: the connection is cut.
    fn may_pass(&self, cuts: u64) -> bool {
        let mut state = self.lock();
        let mut slowed = false;
        loop {
            if state.cuts != cuts {
                return false;
            }
            state = match state.way {
                Way::Held | Way::Cut => {
                    let changed = self.changed.wait(state);
                    changed.unwrap_or_else(PoisonError::into_inner)
                }
                Way::Slow(time) if !slowed => {
                    slowed = true;
                    let changed = self.changed.wait_timeout(state, time);
                    changed.unwrap_or_else(PoisonError::into_inner).0
                }
                Way::Open | Way::Slow(_) => return true,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let mut back = stream.try_clone().expect("a handle");
                    std::io::copy(&mut &stream, &mut back)
                });
            }
        });
        port
    }

    fn echoes(stream: &mut TcpStream) -> bool {
        let mut answer = [0];
        stream.write_all(b"x").is_ok() && stream.read_exact(&mut answer).is_ok()
    }

    #[test]
    fn the_way_is_held_cut_and_opened_again() {
        let proxy = Proxy::to(echo());
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
        let mut stream = connect();
        assert!(echoes(&mut stream));
        proxy.set(Way::Held);
        let patience = Some(Duration::from_millis(20));
        stream.set_read_timeout(patience).expect("a time");
        assert!(!echoes(&mut stream), "it is held up");
        proxy.set(Way::Open);
        stream.set_read_timeout(None).expect("a time");
        stream.read_exact(&mut [0]).expect("it came late");
        proxy.set(Way::Cut);
        assert!(!echoes(&mut stream));
        assert!(!echoes(&mut connect()));
        proxy.set(Way::Slow(Duration::from_millis(1)));
        let mut stream = connect();
        assert!(echoes(&mut stream));
        proxy.break_all();
        assert!(!echoes(&mut stream));
        assert!(echoes(&mut connect()));
    }
}
