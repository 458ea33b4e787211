//! A server on the port `PORT` of 127.0.0.1, all connections at the same time. Their first byte says what they are for, as those of
//! `net-echo` do.

use exports::wasi::cli0_3_0::run::Guest;
use wasi::sockets0_3_0::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket,
};
use wit_bindgen::{StreamReader, StreamResult, StreamWriter, spawn_local};

wit_bindgen::generate!({ path: "../wit", world: "net-echo-p3", generate_all });

struct Server;

impl Guest for Server {
    async fn run() -> Result<(), ()> {
        let port = std::env::var("PORT")
            .ok()
            .and_then(|port| port.parse().ok());
        let served = match port {
            Some(port) => serve(port).await,
            None => Err(ErrorCode::InvalidArgument),
        };
        served.map_err(|error| eprintln!("{error:?}"))
    }
}

async fn serve(port: u16) -> Result<(), ErrorCode> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket.bind(IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port,
        address: (127, 0, 0, 1),
    }))?;
    let mut accepted = socket.listen()?;
    while let Some(connection) = accepted.next().await {
        spawn_local(answer(connection));
    }
    Ok(())
}

async fn answer(connection: TcpSocket) {
    let (mut output, outgoing) = wit_stream::new();
    let sent = connection.send(outgoing);
    let (mut input, _) = connection.receive();
    match input.next().await {
        Some(b'e') => echo(&mut input, &mut output).await,
        _ => count(&mut input, &mut output).await,
    }
    drop(output);
    if let Err(error) = sent.await {
        eprintln!("a connection failed: {error:?}");
    }
}

async fn echo(input: &mut StreamReader<u8>, output: &mut StreamWriter<u8>) {
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let (read, bytes) = input.read(buffer).await;
        if read == StreamResult::Dropped {
            return;
        }
        buffer = output.write_all(bytes).await;
        buffer.clear();
    }
}

async fn count(input: &mut StreamReader<u8>, output: &mut StreamWriter<u8>) {
    let (mut buffer, mut count) = (Vec::with_capacity(64 << 10), 0_u64);
    loop {
        let (read, bytes) = input.read(buffer).await;
        count += bytes.len() as u64;
        if read == StreamResult::Dropped {
            break;
        }
        buffer = bytes;
        buffer.clear();
    }
    output.write_all(count.to_le_bytes().into()).await;
}

export!(Server);
