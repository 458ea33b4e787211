//! `/run?COMMAND`: the commands of the guest `tls-p2`, through WASI 0.3.

use wasi::http0_3_0::types::{ErrorCode, Fields, Request, Response};
use wasi::sockets0_3_0::types::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket};
use wasi::tls0_3_0_draft::client::Connector;
use wasi::tls0_3_0_draft::types::Error;
use wit_bindgen::{StreamResult, spawn_local};

wit_bindgen::generate!({ path: "../wit", world: "tls-p3", generate_all });

struct Handler;

impl exports::wasi::http0_3_0::handler::Guest for Handler {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (_, command) = target.split_once('?').unwrap_or((&target, ""));
        let answer = run(command).await;
        Ok(text(
            answer.unwrap_or_else(|error| format!("error: {error}")),
        ))
    }
}

async fn run(command: &str) -> Result<String, String> {
    let words: Vec<&str> = command.split(',').collect();
    match words[..] {
        ["say", port, name, text] => {
            let answer = talk(port, name, text.as_bytes().to_vec()).await?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        }
        ["fill", port, name, bytes] => {
            let bytes = vec![b'x'; bytes.parse().expect("a number")];
            Ok(talk(port, name, bytes).await?.len().to_string())
        }
        ["leave", port, _] => {
            let socket = connect(port).await?;
            let connector = Connector::new();
            let (_writer, cleartext) = wit_stream::new();
            let (ciphertext, _sent) = connector.send(cleartext);
            let _gone = socket.send(ciphertext);
            let (received, _received) = connector.receive(socket.receive().0);
            drop((connector, received));
            Ok("left".to_owned())
        }
        ["alone", name] => {
            let done = Connector::connect(Connector::new(), name.to_owned()).await;
            done.map(|()| "connected".to_owned()).map_err(words_of)
        }
        ["twice", name] => twice(name).await,
        ["crowd", count, name] => crowd(count.parse().expect("a number"), name).await,
        _ => Err(format!("unknown: {command}")),
    }
}

fn words_of(error: Error) -> String {
    error.to_debug_string()
}

/// Sends bytes to their end, and then reads to the end.
async fn talk(port: &str, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let socket = connect(port).await?;
    let connector = Connector::new();
    let (mut writer, cleartext) = wit_stream::new();
    let (ciphertext, sent) = connector.send(cleartext);
    let _carried = socket.send(ciphertext);
    let (ciphertext, _arrived) = socket.receive();
    let (mut cleartext, received) = connector.receive(ciphertext);
    let done = Connector::connect(connector, name.to_owned()).await;
    done.map_err(words_of)?;
    writer.write_all(bytes).await;
    drop(writer);
    let mut answer = Vec::new();
    loop {
        let (result, piece) = cleartext.read(Vec::with_capacity(1 << 16)).await;
        answer.extend(piece);
        if result == StreamResult::Dropped {
            break;
        }
    }
    received.await.map_err(words_of)?;
    sent.await.map_err(words_of)?;
    Ok(answer)
}

/// Each direction can be set up once.
async fn twice(name: &str) -> Result<String, String> {
    let connector = Connector::new();
    let (_one, cleartext) = wit_stream::new();
    let _first = connector.send(cleartext);
    let (_other, cleartext) = wit_stream::new();
    let (mut nothing, again) = connector.send(cleartext);
    let (result, _) = nothing.read(Vec::with_capacity(1)).await;
    assert_eq!(result, StreamResult::Dropped);
    let again = again.await.map_err(words_of).unwrap_err();
    let done = Connector::connect(connector, name.to_owned()).await;
    Ok(format!("{again}; {}", done.map_err(words_of).unwrap_err()))
}

/// With so many connectors there is no place for another one, until one of them goes.
async fn crowd(count: usize, name: &str) -> Result<String, String> {
    let mut crowd: Vec<Connector> = (0..count).map(|_| Connector::new()).collect();
    let connector = Connector::new();
    let (_writer, cleartext) = wit_stream::new();
    let (mut nothing, sent) = connector.send(cleartext);
    let (result, _) = nothing.read(Vec::with_capacity(1)).await;
    assert_eq!(result, StreamResult::Dropped);
    let sent = sent.await.map_err(words_of).unwrap_err();
    let done = Connector::connect(connector, name.to_owned()).await;
    let done = done.map_err(words_of).unwrap_err();
    crowd.pop();
    let next = Connector::connect(Connector::new(), name.to_owned()).await;
    let next = next.map_err(words_of).unwrap_err();
    Ok(format!("{sent}; {done}; {next}"))
}

async fn connect(port: &str) -> Result<TcpSocket, String> {
    let to = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: port.parse().expect("a port"),
        address: (127, 255, 255, 254),
    });
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(|error| format!("{error:?}"))?;
    let connected = socket.connect(to).await;
    connected.map_err(|error| format!("{error:?}"))?;
    Ok(socket)
}

fn text(body: String) -> Response {
    let (mut writer, contents) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    spawn_local(async move {
        writer.write_all(body.into_bytes()).await;
        drop(writer);
        // Nobody listens any more when the client is gone.
        let _ = end.write(Ok(None)).await;
    });
    response
}

export!(Handler);
