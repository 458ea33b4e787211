//! The way in: takes a text over HTTP, and has the service of the workload translate it over TCP.

use std::io::ErrorKind;
use std::net::{SocketAddr, ToSocketAddrs as _};

use wstd::http::{Body, Method, Request, Response, Result, StatusCode};
use wstd::io::{self, AsyncRead as _, AsyncWrite as _};
use wstd::net::TcpStream;

/// Where the service listens. To the components of a workload its service is `localhost`, and has this name as well.
const SERVICE: &str = "service.wasmcloud.internal:7777";

/// The longest text that is translated: as much as a connection holds, so that writing all of it before reading cannot get stuck.
const LONGEST: usize = 64 << 10;

/// Called for every request.
#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>> {
    if request.method() != Method::POST {
        let hint = "Send a text: curl -d 'Hello' http://…/\n";
        return reply(StatusCode::METHOD_NOT_ALLOWED, hint);
    }
    let text = request.body_mut().contents().await?;
    if text.len() > LONGEST {
        return reply(StatusCode::PAYLOAD_TOO_LARGE, "That is too much to read.\n");
    }
    match translate(text).await {
        Ok(translated) => reply(StatusCode::OK, translated),
        // Between a crash of the service and its restart nobody listens.
        Err(error) => reply(
            StatusCode::BAD_GATEWAY,
            format!("The service does not answer: {error}\n"),
        ),
    }
}

/// Sends a text to the service, says that it is all, and reads the answer to its end.
async fn translate(text: &[u8]) -> io::Result<Vec<u8>> {
    let service = connect().await?;
    let (mut from, mut to) = service.split();
    to.write_all(text).await?;
    to.flush().await?;
    // Dropping this half ends this direction of the connection; the other one stays open.
    drop(to);
    let mut answer = Vec::new();
    from.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Connects to the service. Its name stands for 127.0.0.1 and ::1; it listens on the first, and `wstd` connects over IPv4 only.
async fn connect() -> io::Result<TcpStream> {
    let mut addresses = SERVICE.to_socket_addrs()?;
    let address = addresses.find(SocketAddr::is_ipv4);
    TcpStream::connect_addr(address.ok_or(ErrorKind::NotFound)?).await
}

fn reply(status: StatusCode, body: impl Into<Body>) -> Result<Response<Body>> {
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8");
    Ok(response.body(body.into())?)
}
