//! Commands that want to know exactly what the interface answers.

use std::net::SocketAddr;

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

type Answer = Result<String, String>;

pub fn command(arguments: &[&str]) -> Answer {
    match *arguments {
        ["raw-connect", to] => connect(address(to)),
        ["raw-listen", at] => listen(address(at)),
        ["raw-bind", at] => bind_udp(address(at)),
        ["raw-send", to] => send(address(to)),
        ["raw-resolve", name] => resolve(name),
        ["raw-states"] => states(),
        ["raw-options"] => options(),
        _ => Err(format!("unknown: {arguments:?}")),
    }
}

fn told(error: ErrorCode) -> String {
    error.name().to_owned()
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
    create_tcp_socket(family(to)).map_err(told)
}

fn udp(to: IpSocketAddress) -> Result<UdpSocket, String> {
    create_udp_socket(family(to)).map_err(told)
}

fn connect(to: IpSocketAddress) -> Answer {
    let socket = tcp(to)?;
    socket
        .start_connect(&instance_network(), to)
        .map_err(told)?;
    loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            Err(error) => return Err(told(error)),
            Ok(_) => return Ok("connected".to_owned()),
        }
    }
}

fn listen(at: IpSocketAddress) -> Answer {
    let socket = tcp(at)?;
    socket.start_bind(&instance_network(), at).map_err(told)?;
    socket.finish_bind().map_err(told)?;
    socket.start_listen().map_err(told)?;
    socket.finish_listen().map_err(told)?;
    let nobody = socket.accept().map(|_| ()).map_err(told);
    Ok(format!("listening {}, {nobody:?}", socket.is_listening()))
}

fn bind_udp(at: IpSocketAddress) -> Answer {
    let socket = udp(at)?;
    socket.start_bind(&instance_network(), at).map_err(told)?;
    socket.finish_bind().map_err(told)?;
    Ok("bound".to_owned())
}

fn send(to: IpSocketAddress) -> Answer {
    let socket = udp(to)?;
    let any = match to {
        IpSocketAddress::Ipv4(_) => "0.0.0.0:0",
        IpSocketAddress::Ipv6(_) => "[::]:0",
    };
    socket
        .start_bind(&instance_network(), address(any))
        .map_err(told)?;
    socket.finish_bind().map_err(told)?;
    let (_, outgoing) = socket.stream(None).map_err(told)?;
    outgoing.check_send().map_err(told)?;
    let datagram = OutgoingDatagram {
        data: b"x".to_vec(),
        remote_address: Some(to),
    };
    let sent = outgoing.send(&[datagram]).map_err(told)?;
    Ok(format!("sent {sent}"))
}

fn resolve(name: &str) -> Answer {
    let stream = resolve_addresses(&instance_network(), name).map_err(told)?;
    let mut found = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Err(ErrorCode::WouldBlock) => stream.subscribe().block(),
            Err(error) => return Err(told(error)),
            Ok(None) => return Ok(found.join(" ")),
            Ok(Some(IpAddress::Ipv4((a, b, c, d)))) => found.push(format!("{a}.{b}.{c}.{d}")),
            Ok(Some(IpAddress::Ipv6((a, b, c, d, e, f, g, h)))) => {
                let address: std::net::Ipv6Addr = [a, b, c, d, e, f, g, h].into();
                found.push(address.to_string());
            }
        }
    }
}

/// What a socket says to operations that are not for its state.
fn states() -> Answer {
    let at = address("127.0.0.1:0");
    let socket = tcp(at)?;
    let network = instance_network();
    let mut answers = Vec::new();
    let mut note = |what: &str, answer: Result<(), ErrorCode>| {
        answers.push(format!(
            "{what} {}",
            answer.err().map_or("ok", |e| e.name())
        ));
    };
    note("finish-bind", socket.finish_bind());
    note("finish-connect", socket.finish_connect().map(drop));
    note("finish-listen", socket.finish_listen());
    note("accept", socket.accept().map(drop));
    note("local", socket.local_address().map(drop));
    note("remote", socket.remote_address().map(drop));
    note(
        "shutdown",
        socket.shutdown(wasip2::sockets::tcp::ShutdownType::Both),
    );
    note("listen", socket.start_listen());
    note(
        "connect",
        socket.start_connect(&network, address("127.0.0.1:9")),
    );
    note(
        "connect-again",
        socket.start_connect(&network, address("127.0.0.1:9")),
    );
    note("bind-now", socket.start_bind(&network, at));
    note("finish", socket.finish_connect().map(drop));
    note("finish-again", socket.finish_connect().map(drop));
    note(
        "connect-closed",
        socket.start_connect(&network, address("127.0.0.1:9")),
    );
    Ok(answers.join(", "))
}

/// Options, and what they say after they were set.
fn options() -> Answer {
    let socket = tcp(address("127.0.0.1:0"))?;
    let zero = [
        socket.set_hop_limit(0),
        socket.set_keep_alive_count(0),
        socket.set_keep_alive_idle_time(0),
        socket.set_keep_alive_interval(0),
        socket.set_receive_buffer_size(0),
        socket.set_send_buffer_size(0),
        socket.set_listen_backlog_size(0),
    ];
    let refused = zero
        .iter()
        .all(|set| *set == Err(ErrorCode::InvalidArgument));
    socket.set_keep_alive_enabled(true).map_err(told)?;
    socket.set_keep_alive_idle_time(1).map_err(told)?;
    socket.set_hop_limit(9).map_err(told)?;
    socket.set_send_buffer_size(u64::MAX).map_err(told)?;
    Ok(format!(
        "{refused} {} {} {} {}",
        socket.keep_alive_enabled().map_err(told)?,
        socket.keep_alive_idle_time().map_err(told)?,
        socket.hop_limit().map_err(told)?,
        socket.send_buffer_size().map_err(told)?,
    ))
}
