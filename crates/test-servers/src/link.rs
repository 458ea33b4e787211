//! Connections with TLS or without, and who takes them.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Who is silent for so long has gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that somebody made to us, or that we made.
pub(crate) enum Link {
    Plain(Tcp),
    Tls(Box<StreamOwned<ServerConnection, Tcp>>),
}

/// The one handle of a connection: it ends when this is dropped, whoever knows of it.
pub(crate) struct Tcp(Arc<TcpStream>);

impl Read for Tcp {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.as_ref().read(into)
    }
}

impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_ref().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link {
    /// Connects to a port of this machine.
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        let tcp = TcpStream::connect(("127.0.0.1", port))?;
        set_up(&tcp)?;
        Ok(Self::Plain(Tcp(Arc::new(tcp))))
    }

    /// Has the connection break rather than end when it is dropped: the other side is told of an error.
    pub(crate) fn break_off(&self) {
        let _ = socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }

    /// Ends so that the other side reads all that was written, and then the end.
    pub(crate) fn close(&mut self) {
        if let Self::Tls(tls) = self {
            tls.conn.send_close_notify();
        }
        let _ = self.flush();
        let _ = self.tcp().shutdown(Shutdown::Write);
        // Bytes that nobody has read would have the connection break instead.
        self.until_gone();
    }

    /// Waits until the other side has gone.
    fn until_gone(&mut self) {
        while self.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {}
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => &tcp.0,
            Self::Tls(tls) => &tls.sock.0,
        }
    }
}

impl Read for Link {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Takes connections on a port of 127.0.0.1 until it is dropped, and then breaks them.
#[derive(Debug)]
pub(crate) struct Listener {
    port: u16,
    connections: Arc<Connections>,
}

/// Those that were taken. `None`: it is over.
#[derive(Debug)]
struct Connections(Mutex<Option<Vec<Weak<TcpStream>>>>);

impl Listener {
    /// Each connection is served on a thread of its own.
    pub(crate) fn start(
        tls: Option<Arc<ServerConfig>>,
        serve: impl Fn(BufReader<Link>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(Connections(Mutex::new(Some(Vec::new()))));
        let (of_thread, serve) = (Arc::clone(&connections), Arc::new(serve));
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let tcp = Arc::new(tcp);
                if !of_thread.add(&tcp) {
                    return;
                }
                let (serve, tls) = (Arc::clone(&serve), tls.clone());
                std::thread::spawn(move || {
                    if let Some(link) = link(tcp, tls) {
                        serve(BufReader::new(link));
                    }
                });
            }
        });
        Self { port, connections }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let connections = self.connections.lock().take().unwrap_or_default();
        for tcp in connections.iter().filter_map(Weak::upgrade) {
            // The other side may have gone already.
            let _ = tcp.shutdown(Shutdown::Both);
        }
        // Wakes the listener, so that it sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Weak<TcpStream>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: it is over.
    fn add(&self, tcp: &Arc<TcpStream>) -> bool {
        let mut connections = self.lock();
        let Some(connections) = connections.as_mut() else {
            return false;
        };
        connections.retain(|tcp| tcp.strong_count() > 0);
        connections.push(Arc::downgrade(tcp));
        true
    }
}

fn link(tcp: Arc<TcpStream>, tls: Option<Arc<ServerConfig>>) -> Option<Link> {
    set_up(&tcp).ok()?;
    let Some(tls) = tls else {
        return Some(Link::Plain(Tcp(tcp)));
    };
    let connection = ServerConnection::new(tls).ok()?;
    Some(Link::Tls(Box::new(StreamOwned::new(connection, Tcp(tcp)))))
}

fn set_up(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))
}
