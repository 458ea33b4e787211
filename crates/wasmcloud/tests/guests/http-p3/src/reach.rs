//! Attempts to reach out of the sandbox. Each answers what came of it.

use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip3::http::client;
use wasip3::http::types::{
    ErrorCode as HttpError, Fields, Method, Request, RequestOptions, Response, Scheme,
};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::wit_bindgen::{StreamReader, StreamResult, spawn_local};
use wasip3::{wit_future, wit_stream};

use crate::answer;
use crate::paths::value;

const LOOPBACK: (u8, u8, u8, u8) = (127, 0, 0, 1);

const CHUNK: usize = 64 * 1024;

/// A request to `?url=`, by default to a host that cannot exist. Answers the status and the body, or the error.
///
/// `connect=`, `first=` and `between=` are timeouts in milliseconds; `method=` is another method than GET; `send=` is how many
/// bytes to send; `follow=1` goes where a redirect leads; `head=1` leaves the body unread; `drop=1` lets go of the response.
pub async fn http(query: &str) -> Response {
    let mut url = value(query, "url")
        .unwrap_or("http://example.invalid/")
        .to_owned();
    loop {
        match fetch(&url, query).await {
            Ok(Fetched::Answer(text)) => return answer::text(&text),
            Ok(Fetched::Elsewhere(to)) => url = to,
            Err(error) => return answer::text(&format!("{error:?}\n")),
        }
    }
}

/// Sends the request's body on to `?url=` and the answer back, chunk by chunk.
pub async fn relay(request: Request, query: &str) -> Response {
    let url = value(query, "url").expect("a URL").to_owned();
    let (_done, processed) = wit_future::new(|| Ok(()));
    let (from, _) = Request::consume_body(request, processed);
    let outgoing = begin(&url, &Method::Post, Some(from), options(query));
    match client::send(outgoing).await {
        Ok(response) => {
            let status = response.get_status_code();
            let (_done, processed) = wit_future::new(|| Ok(()));
            let (mut from, _) = Response::consume_body(response, processed);
            let response = answer::streamed(&[], async move |mut body, end| {
                loop {
                    let (result, chunk) = from.read(Vec::with_capacity(CHUNK)).await;
                    if !body.write_all(chunk).await.is_empty() {
                        return;
                    }
                    if result == StreamResult::Dropped {
                        break;
                    }
                }
                answer::finish(body, end, None).await;
            });
            response.set_status_code(status).expect("a valid status");
            response
        }
        Err(error) => answer::with_status(502, &format!("{error:?}\n")),
    }
}

/// Sends half a body to `?url=`, and waits for an answer without saying more.
pub async fn half(query: &str) -> Response {
    let url = value(query, "url").expect("a URL").to_owned();
    let (mut to, body) = wit_stream::new();
    let outgoing = begin(&url, &Method::Post, Some(body), options(query));
    let (keep, kept) = wit_future::new::<Result<(), HttpError>>(|| Ok(()));
    spawn_local(async move {
        to.write_all(b"half".to_vec()).await;
        // As long as this waits, the body has no end.
        let _ = kept.await;
        drop(to);
    });
    let sent = client::send(outgoing).await;
    drop(keep);
    answer::text(&format!(
        "{:?}\n",
        sent.map(|response| response.get_status_code())
    ))
}

enum Fetched {
    Answer(String),
    Elsewhere(String),
}

async fn fetch(url: &str, query: &str) -> Result<Fetched, HttpError> {
    let method = match value(query, "method") {
        None => Method::Get,
        Some(name) => Method::Other(name.to_owned()),
    };
    let body = value(query, "send").map(|size| {
        let bytes = vec![b'x'; size.parse().expect("a number")];
        let (mut to, body) = wit_stream::new();
        spawn_local(async move { drop(to.write_all(bytes).await) });
        body
    });
    let response = client::send(begin(url, &method, body, options(query))).await?;
    let location = response.get_headers().get("location").pop();
    if let (Some(to), Some(_)) = (location, value(query, "follow")) {
        return Ok(Fetched::Elsewhere(String::from_utf8(to).expect("a URL")));
    }
    let mut answer = format!("status {}\n", response.get_status_code());
    if value(query, "head").is_none() && value(query, "drop").is_none() {
        read(response, &mut answer).await;
    }
    Ok(Fetched::Answer(answer))
}

fn begin(
    url: &str,
    method: &Method,
    body: Option<StreamReader<u8>>,
    options: RequestOptions,
) -> Request {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let (end, trailers) = wit_future::new(|| Ok(None));
    drop(end);
    let (request, _sent) = Request::new(Fields::new(), body, trailers, Some(options));
    request.set_method(method).expect("a valid method");
    request.set_scheme(Some(&scheme)).expect("a valid scheme");
    request
        .set_authority(Some(authority))
        .expect("a valid authority");
    request
        .set_path_with_query(Some(path))
        .expect("a valid path");
    request
}

fn options(query: &str) -> RequestOptions {
    let options = RequestOptions::new();
    let nanoseconds = |key| {
        let text = value(query, key)?;
        Some(text.parse::<u64>().expect("a number") * 1_000_000)
    };
    let timeouts = [
        options.set_connect_timeout(nanoseconds("connect")),
        options.set_first_byte_timeout(nanoseconds("first")),
        options.set_between_bytes_timeout(nanoseconds("between")),
    ];
    assert!(timeouts.iter().all(Result::is_ok), "timeouts are taken");
    options
}

async fn read(response: Response, answer: &mut String) {
    let (_done, processed) = wit_future::new(|| Ok(()));
    let (mut from, trailers) = Response::consume_body(response, processed);
    loop {
        let (result, chunk) = from.read(Vec::with_capacity(CHUNK)).await;
        answer.push_str(&String::from_utf8_lossy(&chunk));
        if result == StreamResult::Dropped {
            break;
        }
    }
    drop(from);
    if let Err(error) = trailers.await {
        answer.push_str(&format!("\nbroke off: {:?}\n", Some(error)));
    }
}

/// A file through the standard library, which is 0.2, and one in each folder that 0.3 offers.
pub async fn files() -> Response {
    let mut lines = format!(
        "read {:?}\n",
        std::fs::read("/etc/passwd").map(|bytes| bytes.len())
    );
    let folders = get_directories();
    lines.push_str(&format!("preopens {}\n", folders.len()));
    for (folder, path) in folders {
        let file = folder
            .open_at(
                PathFlags::empty(),
                "passwd".to_owned(),
                OpenFlags::empty(),
                DescriptorFlags::READ,
            )
            .await
            .map(|_| "opened");
        lines.push_str(&format!("{path} {file:?}\n"));
    }
    answer::text(&lines)
}

/// A connection, a bound port and a name lookup.
pub async fn sockets() -> Response {
    let tcp = connect().await.map(|()| "connected");
    let udp = bind().map(|()| "bound");
    let dns = resolve_addresses("example.invalid".to_owned())
        .await
        .map(|addresses| addresses.len());
    answer::text(&format!("tcp {tcp:?}\nudp {udp:?}\ndns {dns:?}\n"))
}

async fn connect() -> Result<(), ErrorCode> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket
        .connect(IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port: 1,
            address: LOOPBACK,
        }))
        .await
}

fn bind() -> Result<(), ErrorCode> {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4)?;
    socket.bind(IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: 0,
        address: LOOPBACK,
    }))
}
