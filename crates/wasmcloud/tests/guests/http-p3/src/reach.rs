//! Attempts to reach out of the sandbox. Each answers what came of it.

use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasip3::http::client;
use wasip3::http::types::{Fields, Request, Response, Scheme};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::wit_future;

use crate::answer;

const LOOPBACK: (u8, u8, u8, u8) = (127, 0, 0, 1);

/// A request to a host that cannot exist.
pub async fn http() -> Response {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    request
        .set_scheme(Some(&Scheme::Http))
        .expect("a valid scheme");
    request
        .set_authority(Some("example.invalid"))
        .expect("a valid authority");
    request
        .set_path_with_query(Some("/"))
        .expect("a valid path");
    match client::send(request).await {
        Ok(response) => answer::text(&format!("status {}\n", response.get_status_code())),
        Err(error) => answer::text(&format!("{error:?}\n")),
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
