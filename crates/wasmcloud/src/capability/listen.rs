//! Listening on the machine, for those who let clients in: sockets, what to do when nobody can be let in, and closing without
//! sending away those who have come.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

/// How long the handshakes of clients nearby may take that have begun when nobody new is let in any more.
const HANDSHAKE: Duration = Duration::from_millis(10);
/// How long to wait when no connection can be accepted, such as when the process has no file descriptors left: nothing tells when
/// there are some again.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the log is told of that.
const TELL: Duration = Duration::from_secs(60);
/// After how long the operating system asks whether a silent client is still there, how often, and how many times.
const TCP_KEEP_ALIVE: (Duration, Duration, u32) =
    (Duration::from_secs(60), Duration::from_secs(15), 4);

/// Listens for TCP. Connections inherit that they are looked after while they are silent. As many as `backlog` may wait to be
/// accepted, unless the operating system has a lower limit of its own. `::` stands for IPv4 as well unless `one_family` is wanted.
pub(crate) fn tcp(addr: SocketAddr, backlog: u32, one_family: bool) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if addr.is_ipv6() && one_family {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // A server that starts again finds connections of the last one in the way.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let (idle, interval, probes) = TCP_KEEP_ALIVE;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, idle)?;
    sockopt::set_tcp_keepintvl(&socket, interval)?;
    sockopt::set_tcp_keepcnt(&socket, probes)?;
    socket.listen(backlog)
}

/// What is done when a connection cannot be accepted.
pub(crate) struct Refusals {
    listener: &'static str,
    told: Option<Instant>,
}

impl Refusals {
    /// For a listener with this name in the log.
    pub(crate) const fn of(listener: &'static str) -> Self {
        let told = None;
        Self { listener, told }
    }

    /// Returns when it is worth trying again.
    pub(crate) async fn recover(&mut self, error: &io::Error) {
        if is_of_one_connection(error) {
            return;
        }
        if self.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.told = Some(Instant::now());
            let listener = self.listener;
            tracing::warn!(listener, %error, "cannot accept connections; trying again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Lets nobody new in, and returns those whom the operating system has let in already: closing the socket at once would reset them
/// in the middle of what they say. Whoever comes later is refused when the iterator is dropped.
pub(crate) async fn leftover(
    listener: TcpListener,
) -> io::Result<impl Iterator<Item = (TcpStream, SocketAddr)>> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(&listener).attach_filter(&no_new_connections())?;
    // Nothing tells when the last handshake is through.
    tokio::time::sleep(HANDSHAKE).await;
    // Tokio may not have heard of all of them, so the socket itself is asked.
    let listener = listener.into_std()?;
    Ok(std::iter::from_fn(move || {
        let (stream, peer) = listener.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        let stream = TcpStream::from_std(stream).ok()?;
        Some((stream, peer))
    }))
}

/// A filter for packets that drops those which begin a connection: of the flags of TCP, SYN is set and ACK is not. The instructions
/// are those of <https://docs.kernel.org/networking/filter.html>; the flags are at byte 13, see RFC 9293, 3.1.
#[cfg(target_os = "linux")]
fn no_new_connections() -> [socket2::SockFilter; 5] {
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let (load_byte, and, jump_if_equal, ret) = (0x30, 0x54, 0x15, 0x06);
    [
        socket2::SockFilter::new(load_byte, 0, 0, 13),
        socket2::SockFilter::new(and, 0, 0, SYN | ACK),
        socket2::SockFilter::new(jump_if_equal, 0, 1, SYN),
        socket2::SockFilter::new(ret, 0, 0, 0),
        socket2::SockFilter::new(ret, 0, 0, u32::MAX),
    ]
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net;

    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn localhost() -> TcpListener {
        tcp("127.0.0.1:0".parse().unwrap(), 16, true).unwrap()
    }

    #[tokio::test]
    async fn those_who_have_come_are_let_in_and_nobody_after_them() {
        let listener = localhost();
        let addr = listener.local_addr().unwrap();
        let mut early = net::TcpStream::connect(addr).unwrap();
        let mut left = leftover(listener).await.unwrap();
        #[cfg(target_os = "linux")]
        net::TcpStream::connect_timeout(&addr, Duration::from_millis(100)).unwrap_err();

        let (mut served, peer) = left.next().unwrap();
        assert_eq!(peer, early.local_addr().unwrap());
        assert!(left.next().is_none());
        drop(left);
        early.write_all(b"question").unwrap();
        let mut question = [0; 8];
        served.read_exact(&mut question).await.unwrap();
        served.write_all(b"answer").await.unwrap();
        drop(served);
        let mut answer = String::new();
        early.read_to_string(&mut answer).unwrap();
        assert_eq!((&question, answer.as_str()), (b"question", "answer"));
        let late = net::TcpStream::connect(addr).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_connection_that_is_gone_costs_no_time_and_a_lack_of_files_some() {
        let mut refusals = Refusals::of("test");
        let mut recovered = |kind: io::ErrorKind| refusals.recover(&kind.into()).now_or_never();
        assert!(recovered(io::ErrorKind::ConnectionAborted).is_some());
        assert!(recovered(io::ErrorKind::OutOfMemory).is_none());
    }
}
