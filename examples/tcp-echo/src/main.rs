//! A TCP server that sends everybody back what they send. It is the service of its workload: it starts with it, runs for as long
//! as it does, and is started again when it crashes.

use wstd::io;
use wstd::iter::AsyncIterator as _;
use wstd::net::{TcpListener, TcpStream};
use wstd::runtime::spawn;

/// Where it listens, inside the workload. That the machine listens, too, is up to the manifest.
const ADDRESS: &str = "127.0.0.1:7070";

#[wstd::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(ADDRESS).await?;
    println!("listening on {ADDRESS}");
    let mut incoming = listener.incoming();
    // A component has one thread. Tasks take turns on it whenever one of them waits, so that clients do not wait for each other.
    while let Some(Ok(client)) = incoming.next().await {
        spawn(echo(client)).detach();
    }
    Ok(())
}

/// Sends back what comes in until the client has sent everything.
async fn echo(client: TcpStream) {
    let (from, to) = client.split();
    if let Err(error) = io::copy(from, to).await {
        println!("a client left early: {error}");
    }
}
