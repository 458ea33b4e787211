//! What the components of the workload and its service say to each other: one query a connection, as JSON, and its answer.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs as _};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wstd::io::{self, AsyncRead, AsyncWrite as _};
use wstd::net::TcpStream;

/// Where the service listens, inside the workload.
pub const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), PORT);
const PORT: u16 = 7777;
/// The name under which components find it.
const SERVICE: &str = "service.wasmcloud.internal";

/// The longest query and the longest answer, in bytes.
const LONGEST: usize = 1 << 20;

/// A statement of SQL, with a value for each `$1`, `$2` … in it. Values never become part of the statement, so nobody can smuggle
/// SQL into it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Query {
    pub sql: String,
    pub values: Vec<String>,
}

/// What came of it.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Answer {
    /// The rows of the result, with the texts of their columns; nothing where a column is NULL.
    Rows(Vec<Vec<Option<String>>>),
    /// The database understood the query and refused it, with a code of five characters and a message.
    Refused { code: String, message: String },
    /// No connection was free for too long, or the database cannot be reached.
    Unavailable(String),
}

/// Asks the service of the workload.
pub async fn ask(query: &Query) -> io::Result<Answer> {
    let mut service = connect(SERVICE, PORT).await?;
    send(&mut service, query).await?;
    receive(&mut service).await
}

/// Connects over IPv4, which is all that `wstd` can do so far.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut addresses = (host, port).to_socket_addrs()?;
    let address = addresses.find(SocketAddr::is_ipv4);
    TcpStream::connect_addr(address.ok_or(ErrorKind::NotFound)?).await
}

/// Sends one message: its length in four bytes, and JSON.
pub async fn send(to: &mut TcpStream, message: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(&json).await?;
    to.flush().await
}

/// Receives one message.
pub async fn receive<T: DeserializeOwned>(from: &mut TcpStream) -> io::Result<T> {
    let mut length = [0; 4];
    fill(from, &mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other("the message is too long"));
    }
    let mut json = vec![0; length];
    fill(from, &mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}

/// Reads until the buffer is full.
async fn fill(from: &mut impl AsyncRead, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match from.read(buffer).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            length => buffer = buffer.split_at_mut(length).1,
        }
    }
    Ok(())
}
