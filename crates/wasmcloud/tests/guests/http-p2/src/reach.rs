//! Attempts to reach out of the sandbox. Each answers what came of it.

use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, ResponseOutparam, Scheme};

/// A request to a host that cannot exist.
pub fn http(out: ResponseOutparam) {
    let answer = match fetch() {
        Ok(status) => format!("status {status}\n"),
        Err(error) => format!("{error:?}\n"),
    };
    reply::text(out, &answer);
}

fn fetch() -> Result<u16, ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    request
        .set_scheme(Some(&Scheme::Http))
        .expect("a valid scheme");
    request
        .set_authority(Some("example.invalid"))
        .expect("a valid authority");
    request
        .set_path_with_query(Some("/"))
        .expect("a valid path");
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    let response = response
        .get()
        .expect("it is ready")
        .expect("it is taken once")?;
    Ok(response.status())
}

/// A file to read and one to write.
pub fn files(out: ResponseOutparam) {
    let read = std::fs::read("/etc/passwd").map(|bytes| bytes.len());
    let write = std::fs::write("/tmp/written-by-a-guest", "x");
    reply::text(out, &format!("read {read:?}\nwrite {write:?}\n"));
}

/// A connection, a bound port and a name lookup.
pub fn sockets(out: ResponseOutparam) {
    let tcp = TcpStream::connect("127.0.0.1:1").map(|_| "connected");
    let udp = UdpSocket::bind("127.0.0.1:0").map(|_| "bound");
    let dns = "example.invalid:80".to_socket_addrs().map(Iterator::count);
    reply::text(out, &format!("tcp {tcp:?}\nudp {udp:?}\ndns {dns:?}\n"));
}
