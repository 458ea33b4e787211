//! The commands.

use std::net::SocketAddr;

use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    TcpSocket, UdpSocket,
};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_stream};

type Answer = Result<String, String>;
type Done = FutureReader<Result<(), ErrorCode>>;

/// How much is copied at once.
const CHUNK: usize = 64 << 10;

/// Runs a script, and tells each answer as it comes.
pub async fn run(script: &str, mut tell: impl FnMut(&str)) {
    let mut shell = Shell::default();
    for command in script.split(';').filter(|command| !command.is_empty()) {
        let arguments: Vec<&str> = command.split(',').collect();
        match shell.command(&arguments).await {
            Ok(line) | Err(line) => tell(&line),
        }
    }
}

#[derive(Default)]
struct Shell {
    connections: Vec<Option<Connection>>,
    listeners: Vec<StreamReader<TcpSocket>>,
    datagrams: Vec<UdpSocket>,
}

/// A connection in its parts.
struct Connection {
    socket: TcpSocket,
    /// Until it is shut.
    writer: Option<StreamWriter<u8>>,
    sent: Option<Done>,
    reader: StreamReader<u8>,
    received: Option<Done>,
}

/// The error as the interface calls it, such as `access-denied`.
fn told(error: impl std::fmt::Debug) -> String {
    let shown = format!("{error:?}");
    let name = shown.strip_prefix("ErrorCode::").unwrap_or(&shown);
    let words = name.char_indices().map(|(at, c)| match c {
        'A'..='Z' if at > 0 => format!("-{}", c.to_ascii_lowercase()),
        c => c.to_ascii_lowercase().to_string(),
    });
    words.collect()
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn address(text: &str) -> IpSocketAddress {
    match text.parse().expect("an address") {
        SocketAddr::V4(v4) => IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port: v4.port(),
            address: v4.ip().octets().into(),
        }),
        SocketAddr::V6(v6) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
            port: v6.port(),
            flow_info: 0,
            address: v6.ip().segments().into(),
            scope_id: 0,
        }),
    }
}

fn family(address: IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

fn tcp(to: IpSocketAddress) -> Result<TcpSocket, String> {
    TcpSocket::create(family(to)).map_err(told)
}

impl Connection {
    fn new(socket: TcpSocket) -> Self {
        let (writer, data) = wit_stream::new();
        let sent = socket.send(data);
        let (reader, received) = socket.receive();
        Self {
            socket,
            writer: Some(writer),
            sent: Some(sent),
            reader,
            received: Some(received),
        }
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Answer {
        let (whole, writer) = (bytes.len(), self.writer.as_mut().ok_or("shut")?);
        let left = writer.write_all(bytes).await.len();
        if left == 0 {
            return Ok(format!("wrote {whole}"));
        }
        Err(format!(
            "some of {whole} left: {}",
            ended(self.sent.take()).await
        ))
    }

    async fn shut(&mut self) -> String {
        self.writer = None;
        ended(self.sent.take()).await
    }

    async fn read_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let (result, some) = self.reader.read(Vec::with_capacity(CHUNK)).await;
            all.extend(some);
            if result == StreamResult::Dropped {
                return all;
            }
        }
    }
}

/// How a direction of a connection ended.
async fn ended(done: Option<Done>) -> String {
    match done {
        None => "told already".to_owned(),
        Some(done) => done.await.map_or_else(told, |()| "ok".to_owned()),
    }
}

impl Shell {
    async fn command(&mut self, arguments: &[&str]) -> Answer {
        match *arguments {
            ["connect", to] => self.connect(address(to)).await,
            ["write", at, text] => self.connection(at)?.write(text.into()).await,
            ["fill", at, bytes] => {
                let bytes = vec![b'x'; number(bytes)];
                self.connection(at)?.write(bytes).await
            }
            ["shut", at] => Ok(self.connection(at)?.shut().await),
            ["read-all", at] => {
                let connection = self.connection(at)?;
                let text = String::from_utf8_lossy(&connection.read_all().await).into_owned();
                Ok(format!(
                    "read {text}, {}",
                    ended(connection.received.take()).await
                ))
            }
            ["count", at] => {
                let read = self.connection(at)?.read_all().await.len();
                Ok(format!("read {read} bytes"))
            }
            ["close", at] => Ok(self.connections[number(at)].take().is_some().to_string()),
            ["twice", at] => self.twice(at).await,
            ["listen", at] => self.listen(Some(address(at))),
            ["listen-anywhere"] => self.listen(None),
            ["accept", at] => self.accept(number(at)).await,
            ["echo", at] => Err(self.echo(number(at)).await),
            ["bind", at] => self.bind(address(at)),
            ["send", at, text, to] => self.send(number(at), text, Some(address(to))).await,
            ["udp-connect", at, to] => {
                let connected = self.datagrams[number(at)].connect(address(to));
                connected.map_or_else(|error| Err(told(error)), |()| Ok("connected".to_owned()))
            }
            ["send-there", at, text] => self.send(number(at), text, None).await,
            ["udp"] => {
                self.datagrams
                    .push(UdpSocket::create(IpAddressFamily::Ipv4).map_err(told)?);
                Ok(format!("unbound {}", self.datagrams.len() - 1))
            }
            ["receive", at] => self.receive(number(at)).await,
            ["resolve", name] => resolve(name).await,
            ["stay"] => Ok(stay().await),
            _ => Err(format!("unknown: {arguments:?}")),
        }
    }

    fn connection(&mut self, at: &str) -> Result<&mut Connection, String> {
        let connection = self.connections.get_mut(number(at));
        connection
            .and_then(Option::as_mut)
            .ok_or_else(|| "none".to_owned())
    }

    fn keep(&mut self, socket: TcpSocket) -> usize {
        self.connections.push(Some(Connection::new(socket)));
        self.connections.len() - 1
    }

    async fn connect(&mut self, to: IpSocketAddress) -> Answer {
        let socket = tcp(to)?;
        socket.connect(to).await.map_err(told)?;
        Ok(format!("connected {}", self.keep(socket)))
    }

    /// Its streams can be had once.
    async fn twice(&mut self, at: &str) -> Answer {
        let socket = &self.connection(at)?.socket;
        let (_writer, data) = wit_stream::new();
        let sent = socket
            .send(data)
            .await
            .map_or_else(told, |()| "ok".to_owned());
        let (_reader, received) = socket.receive();
        let received = received.await.map_or_else(told, |()| "ok".to_owned());
        Ok(format!("{sent} {received}"))
    }

    fn listen(&mut self, at: Option<IpSocketAddress>) -> Answer {
        let socket = tcp(at.unwrap_or(address("127.0.0.1:0")))?;
        if let Some(at) = at {
            socket.bind(at).map_err(told)?;
        }
        self.listeners.push(socket.listen().map_err(told)?);
        Ok(format!("listening {}", socket.get_is_listening()))
    }

    async fn accept(&mut self, at: usize) -> Answer {
        match self.listeners[at].next().await {
            Some(socket) => Ok(format!("accepted {}", self.keep(socket))),
            None => Err("no more".to_owned()),
        }
    }

    /// Sends everybody back what they send, all at once, until nobody can come any more.
    async fn echo(&mut self, at: usize) -> String {
        while let Some(socket) = self.listeners[at].next().await {
            spawn_local(async move {
                let (data, _) = socket.receive();
                // Straight from one to the other; whoever goes early is nobody to report to.
                let _ = socket.send(data).await;
            });
        }
        "no more".to_owned()
    }

    fn bind(&mut self, at: IpSocketAddress) -> Answer {
        let socket = UdpSocket::create(family(at)).map_err(told)?;
        socket.bind(at).map_err(told)?;
        self.datagrams.push(socket);
        Ok(format!("bound {}", self.datagrams.len() - 1))
    }

    async fn send(&mut self, at: usize, text: &str, to: Option<IpSocketAddress>) -> Answer {
        let sent = self.datagrams[at].send(text.into(), to).await;
        sent.map_or_else(|error| Err(told(error)), |()| Ok("sent".to_owned()))
    }

    async fn receive(&mut self, at: usize) -> Answer {
        let (data, from) = self.datagrams[at].receive().await.map_err(told)?;
        let from = match from {
            IpSocketAddress::Ipv4(from) => shown(IpAddress::Ipv4(from.address)),
            IpSocketAddress::Ipv6(from) => shown(IpAddress::Ipv6(from.address)),
        };
        Ok(format!(
            "received {} from {from}",
            String::from_utf8_lossy(&data)
        ))
    }
}

fn shown(address: IpAddress) -> String {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => format!("{a}.{b}.{c}.{d}"),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
            std::net::Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string()
        }
    }
}

async fn resolve(name: &str) -> Answer {
    let found = resolve_addresses(name.to_owned()).await.map_err(told)?;
    let found: Vec<String> = found.into_iter().map(shown).collect();
    Ok(found.join(" "))
}

/// Goes on until nothing more will come.
async fn stay() -> String {
    let (mut input, _) = wasip3::cli::stdin::read_via_stream();
    while input.read(Vec::with_capacity(64)).await.0 != StreamResult::Dropped {}
    "farewell".to_owned()
}
