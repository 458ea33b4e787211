//! Who can connect to whom, and how connections end.

use super::*;

#[test]
fn what_one_end_writes_the_other_reads() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    assert_eq!(client.peer, server.local);
    assert_eq!(client.local, server.peer);
    assert_eq!(client.local, addr("127.0.0.1:49153"));
    assert_eq!(write(&mut client, b"ping"), Poll::Ready(Ok(4)));
    assert_eq!(read(&mut server, 100), Poll::Ready(Ok("ping".into())));
    assert_eq!(write(&mut server, b"pong"), Poll::Ready(Ok(4)));
    assert_eq!(read(&mut client, 2), Poll::Ready(Ok("po".into())));
    assert_eq!(read(&mut client, 2), Poll::Ready(Ok("ng".into())));
    assert_eq!(read(&mut client, 2), Poll::Pending);
}

#[test]
fn nobody_is_where_nobody_listens() {
    let network = network();
    let http = addr("127.0.0.1:80");
    assert_eq!(connect(&network, http).unwrap_err(), NetError::Refused);
    let bound = network.bind_tcp(http).unwrap();
    assert_eq!(connect(&network, http).unwrap_err(), NetError::Refused);
    let listener = bound.listen(1);
    connect(&network, http).unwrap();
    for other in [
        "127.0.0.2:80",
        "[::1]:80",
        "127.0.0.1:0",
        "10.0.0.1:80",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert_eq!(
            connect(&network, addr(other)).unwrap_err(),
            NetError::Refused,
            "{other}"
        );
    }
    drop(listener);
    assert_eq!(connect(&network, http).unwrap_err(), NetError::Refused);
    assert_eq!(network.usage(), NOTHING);
}

#[test]
fn networks_do_not_see_each_other() {
    let (one, other) = (network(), network());
    let at = "127.0.0.1:8080";
    let (mut first, mut second) = (listen(&one, at, 1), listen(&other, at, 1));
    connect(&one, addr(at)).unwrap();
    accept(&mut first).unwrap();
    assert!(second.poll_accept(&mut cx()).is_pending());
}

#[test]
fn a_listener_at_all_addresses_hears_every_one_of_its_family() {
    let network = network();
    let mut all = listen(&network, "0.0.0.0:80", 8);
    let mut v6 = listen(&network, "[::]:80", 8);
    for to in ["127.0.0.1:80", "127.1.2.3:80"] {
        let client = connect(&network, addr(to)).unwrap();
        let server = accept(&mut all).unwrap();
        assert_eq!((client.peer, server.local), (addr(to), addr(to)));
    }
    let client = connect(&network, addr("0.0.0.0:80")).unwrap();
    assert_eq!(client.peer, addr("127.0.0.1:80"));
    accept(&mut all).unwrap();
    let client = connect(&network, addr("[::]:80")).unwrap();
    assert_eq!(
        (client.peer, client.local.ip()),
        (addr("[::1]:80"), addr("[::1]:0").ip())
    );
    accept(&mut v6).unwrap();
}

#[test]
fn one_may_connect_from_a_bound_address() {
    let network = network();
    let _listener = listen(&network, "0.0.0.0:80", 8);
    let from = network.bind_tcp(addr("127.0.0.7:7000")).unwrap();
    let connecting = network.connect(Some(from), addr("127.0.0.1:80"));
    let client = connecting.now_or_never().unwrap().unwrap();
    assert_eq!(client.local, addr("127.0.0.7:7000"));
    let taken = network.bind_tcp(addr("127.0.0.7:7000")).unwrap_err();
    assert_eq!(taken, NetError::InUse);
    let v6 = network.bind_tcp(addr("[::1]:0")).unwrap();
    let connecting = network.connect(Some(v6), addr("127.0.0.1:80"));
    assert_eq!(
        connecting.now_or_never().unwrap().unwrap_err(),
        NetError::NotBindable
    );
}

#[test]
fn addresses_are_given_back_when_everything_of_them_is_gone() {
    let network = network();
    let mut listener = listen(&network, "127.0.0.1:80", 8);
    let from = network.bind_tcp(addr("127.0.0.1:7000")).unwrap();
    let connecting = network.connect(Some(from), addr("127.0.0.1:80"));
    let client = connecting.now_or_never().unwrap().unwrap();
    let server = accept(&mut listener).unwrap();
    drop((listener, client));
    network.bind_tcp(addr("127.0.0.1:80")).unwrap();
    network.bind_tcp(addr("127.0.0.1:7000")).unwrap_err();
    assert_eq!(network.usage().connections, 1);
    drop(server);
    network.bind_tcp(addr("127.0.0.1:7000")).unwrap();
    assert_eq!(network.usage(), NOTHING);
}

#[test]
fn only_addresses_of_the_network_can_be_bound() {
    let network = network();
    for other in ["10.0.0.1:80", "[fe80::1]:80", "[::ffff:127.0.0.1]:80"] {
        let error = network.bind_tcp(addr(other)).unwrap_err();
        assert_eq!(error, NetError::NotBindable, "{other}");
        assert_eq!(
            network.bind_udp(addr(other)).unwrap_err(),
            NetError::NotBindable
        );
    }
}

#[test]
fn a_dropped_writer_is_an_end_and_the_other_direction_goes_on() {
    let network = network();
    let (mut client, server) = pair(&network);
    let Connection {
        mut reader, writer, ..
    } = server;
    write(&mut client, b"request").is_ready();
    let task = Task::new();
    assert!(client.reader.poll_readable(&mut task.cx()).is_pending());
    drop(writer);
    assert_eq!(task.rang(), 1);
    assert_eq!(read(&mut client, 10), Poll::Ready(Ok(Bytes::new())));
    assert_eq!(
        reader.poll_read(&mut cx(), 10),
        Poll::Ready(Ok("request".into()))
    );
    assert_eq!(write(&mut client, b"more"), Poll::Ready(Ok(4)));
    assert_eq!(
        reader.poll_read(&mut cx(), 10),
        Poll::Ready(Ok("more".into()))
    );
}

#[test]
fn a_shutdown_is_an_end_too_and_nothing_can_be_written_after_it() {
    use tokio::io::AsyncWriteExt as _;
    let network = network();
    let (mut client, mut server) = pair(&network);
    write(&mut client, b"last words").is_ready();
    client.writer.shutdown().now_or_never().unwrap().unwrap();
    assert_eq!(
        write(&mut client, b"?"),
        Poll::Ready(Err(NetError::Aborted))
    );
    assert_eq!(read(&mut server, 100), Poll::Ready(Ok("last words".into())));
    assert_eq!(read(&mut server, 100), Poll::Ready(Ok(Bytes::new())));
}

#[test]
fn writing_fails_when_nobody_reads_any_more() {
    let network = network();
    let (mut client, server) = pair(&network);
    let Connection {
        reader, mut writer, ..
    } = server;
    let task = Task::new();
    assert!(client.writer.poll_closed(&mut task.cx()).is_pending());
    drop(reader);
    assert_eq!(task.rang(), 1);
    assert!(client.writer.poll_closed(&mut task.cx()).is_ready());
    assert_eq!(write(&mut client, b"x"), Poll::Ready(Err(NetError::Reset)));
    assert_eq!(
        client.writer.poll_writable(&mut cx()),
        Poll::Ready(Err(NetError::Reset))
    );
    assert_eq!(
        writer.poll_write_from(&mut cx(), b"still"),
        Poll::Ready(Ok(5))
    );
    drop(writer);
    assert_eq!(read(&mut client, 9), Poll::Ready(Ok("still".into())));
    assert_eq!(
        read(&mut client, 9),
        Poll::Ready(Ok(Bytes::new())),
        "all of it was read: no reset"
    );
}

#[test]
fn bytes_that_were_thrown_away_make_the_end_a_reset() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    write(&mut client, b"unread").is_ready();
    write(&mut server, b"answer").is_ready();
    drop(server);
    assert_eq!(read(&mut client, 9), Poll::Ready(Ok("answer".into())));
    assert_eq!(read(&mut client, 9), Poll::Ready(Err(NetError::Reset)));
    assert_eq!(client.reader.poll_readable(&mut cx()), Poll::Ready(()));
}

#[test]
fn one_can_reset_a_connection_on_purpose() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    write(&mut server, b"answer").is_ready();
    server.reset();
    assert_eq!(read(&mut client, 9), Poll::Ready(Ok("answer".into())));
    assert_eq!(read(&mut client, 9), Poll::Ready(Err(NetError::Reset)));
}

#[test]
fn all_is_freed_in_whatever_order_it_is_dropped() {
    for order in 0..24 {
        let network = network();
        let (mut client, mut server) = pair(&network);
        assert_eq!(write(&mut client, &[1; 50_000]), Poll::Ready(Ok(50_000)));
        assert_eq!(write(&mut server, &[1; 50_000]), Poll::Ready(Ok(50_000)));
        let usage = network.usage();
        assert_eq!(
            (usage.connections, usage.buffered),
            (1, 2 * (50_000 - 4096))
        );
        let mut parts: Vec<Box<dyn Send>> = vec![
            Box::new(client.reader),
            Box::new(client.writer),
            Box::new(server.reader),
            Box::new(server.writer),
        ];
        for left in (1..=4).rev() {
            drop(parts.remove(order % left));
        }
        assert_eq!(network.usage(), NOTHING);
        assert_eq!(Arc::strong_count(&network), 1);
    }
}

#[test]
fn there_are_only_so_many_connections() {
    let network = Network::new(NetworkBudget {
        connections: 3,
        ..NetworkBudget::default()
    });
    let mut listener = listen(&network, "127.0.0.1:80", 2);
    let mut clients: Vec<_> = (0..2)
        .map(|_| connect(&network, addr("127.0.0.1:80")).unwrap())
        .collect();
    let mut waiting = network.connect(None, addr("127.0.0.1:80"));
    assert!((&mut waiting).now_or_never().is_none());
    for _ in 0..100_000 {
        let full = connect(&network, addr("127.0.0.1:80")).unwrap_err();
        assert_eq!(full, NetError::Full, "those that wait count");
    }
    assert_eq!(
        connect(&network, addr("127.0.0.1:81")).unwrap_err(),
        NetError::Refused
    );
    drop(waiting);
    clients.push(connect_later(&network, &mut listener));
    assert_eq!(network.usage().connections, 3);
    drop((clients, listener));
    assert_eq!(network.usage(), NOTHING);
}

fn connect_later(network: &Arc<Network>, listener: &mut Listener) -> Connection {
    let mut waiting = network.connect(None, listener.local_addr());
    assert!((&mut waiting).now_or_never().is_none());
    accept(listener).unwrap();
    waiting.now_or_never().unwrap().unwrap()
}

#[test]
fn there_are_only_so_many_sockets() {
    let network = Network::new(NetworkBudget {
        connections: 2,
        ..NetworkBudget::default()
    });
    let any = addr("127.0.0.1:0");
    let bound = network.bind_tcp(any).unwrap();
    let datagrams = network.bind_udp(any).unwrap();
    assert_eq!(network.bind_tcp(any).unwrap_err(), NetError::Full);
    assert_eq!(network.bind_udp(any).unwrap_err(), NetError::Full);
    drop(bound);
    network.bind_udp(any).unwrap();
    drop(datagrams);
    network.bind_tcp(any).unwrap();
}

#[test]
fn ports_run_out_toward_one_peer_only() {
    let network = Network::new(NetworkBudget {
        connections: 40_000,
        ..NetworkBudget::default()
    });
    let mut listener = listen(&network, "0.0.0.0:80", 1);
    let mut to = |host: &str| {
        let client = connect(&network, addr(host))?;
        Ok::<_, NetError>((client, accept(&mut listener).unwrap()))
    };
    let mut open = Vec::new();
    for _ in 0..16_384 {
        open.push(to("127.0.0.1:80").unwrap());
    }
    assert_eq!(to("127.0.0.1:80").unwrap_err(), NetError::InUse);
    to("127.0.0.2:80").unwrap();
    open.swap_remove(77);
    to("127.0.0.1:80").unwrap();
}

#[test]
fn an_idle_connection_is_small() {
    let ends = 2 * size_of::<Connection>();
    let shared = size_of::<connection::Wire>() + 2 * size_of::<usize>();
    // In the tables: a key, a count, and a pair of keys with what the tables need themselves.
    let noted = 24 + 20;
    assert!(ends + shared + noted <= 600, "{ends} + {shared} + {noted}");
}
