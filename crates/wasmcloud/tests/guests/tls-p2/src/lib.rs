//! `/run?COMMAND`: `say,PORT,NAME,TEXT` sends a text to a server of the machine and tells what comes back; `fill,PORT,NAME,BYTES` sends so
//! many bytes and tells how many come back; `leave,PORT,NAME` goes before there is a connection.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

use wasi::tls0_2_0_draft::types::{ClientConnection, ClientHandshake, FutureClientStreams};

wit_bindgen::generate!({
    path: "../wit",
    world: "tls-p2",
    with: {
        "wasi:io/error@0.2.12": wasip2::io::error,
        "wasi:io/poll@0.2.12": wasip2::io::poll,
        "wasi:io/streams@0.2.12": wasip2::io::streams,
        "wasi:tls/types@0.2.0-draft": generate,
    },
});

struct Handler;

impl Guest for Handler {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (_, command) = reply::target(&request);
        let answer = run(&command).unwrap_or_else(|error| format!("error: {error}"));
        reply::text(out, &answer);
    }
}

fn run(command: &str) -> Result<String, String> {
    let words: Vec<&str> = command.split(',').collect();
    match words[..] {
        ["say", port, name, text] => {
            let answer = talk(port, name, text.as_bytes())?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        }
        ["fill", port, name, bytes] => {
            let bytes = vec![b'x'; bytes.parse().expect("a number")];
            Ok(talk(port, name, &bytes)?.len().to_string())
        }
        ["leave", port, name] => {
            let (_socket, input, output) = connect(port)?;
            drop(ClientHandshake::finish(ClientHandshake::new(
                name, input, output,
            )));
            Ok("left".to_owned())
        }
        _ => Err(format!("unknown: {command}")),
    }
}

/// Sends bytes to their end, and then reads to the end.
fn talk(port: &str, name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (_socket, input, output) = connect(port)?;
    let future = ClientHandshake::finish(ClientHandshake::new(name, input, output));
    let (connection, input, output) = secured(&future)?;
    reply::write(&output, bytes)
        .and_then(|()| output.blocking_flush())
        .map_err(words)?;
    connection.close_output();
    let mut answer = Vec::new();
    loop {
        match input.blocking_read(1 << 16) {
            Ok(piece) => answer.extend(piece),
            Err(StreamError::Closed) => return Ok(answer),
            Err(error) => return Err(words(error)),
        }
    }
}

fn words(error: StreamError) -> String {
    match error {
        StreamError::Closed => "closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    }
}

type Secured = (ClientConnection, InputStream, OutputStream);

fn secured(future: &FutureClientStreams) -> Result<Secured, String> {
    future.subscribe().block();
    let outcome = future
        .get()
        .expect("it is there")
        .expect("for the first time");
    outcome.map_err(|error| error.to_debug_string())
}

fn connect(port: &str) -> Result<(TcpSocket, InputStream, OutputStream), String> {
    let told = |error: ErrorCode| error.name().to_owned();
    let to = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: port.parse().expect("a port"),
        address: (127, 255, 255, 254),
    });
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(told)?;
    socket
        .start_connect(&instance_network(), to)
        .map_err(told)?;
    loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            Err(error) => return Err(told(error)),
            Ok((input, output)) => return Ok((socket, input, output)),
        }
    }
}

wasip2::http::proxy::export!(Handler with_types_in wasip2);
