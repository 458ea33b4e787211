//! Components and the service of a workload, at 127.0.0.1 and ::1.

use super::*;
use crate::support::Log;

const LISTEN: &str = "listen,127.0.0.1:7000;echo,0";

/// A workload of a component that does what it is told, and a service that echoes; up when the service listens.
async fn echoed(host: &TestHost, client: &Guest, image: &str, script: &str) {
    let spec = client.spec(client.name, json!({}));
    host.run(client.name, &with_service(spec, image, script))
        .await;
    let lines = said(host, 1).await;
    assert!(lines[0].starts_with("listening"), "{lines:?}");
}

/// There and back, with the end that the client tells and the service passes on.
async fn reaches_an_echo(image: &str) {
    for client in [&P2, &P3] {
        let host = TestHost::start().await;
        echoed(&host, client, image, LISTEN).await;
        let shut = client.shut();
        for _ in 0..3 {
            let script = format!("connect,127.0.0.1:7000;write,0,hello;{shut};read-all,0");
            let answers = run(&host, client.name, &script).await;
            assert_eq!(answers[..2], ["connected 0", "wrote 5"]);
            assert!(answers[3].starts_with("read hello"), "{answers:?}");
        }
        // One of 0.3 sees that nobody connects any more; one of 0.2 waits on, and is ended.
        host.stop(client.name).await;
        if image == test_guests::NET_P3 {
            let lines = said(&host, 2).await;
            assert!(lines[1].starts_with("no more"), "{lines:?}");
        }
    }
}

#[tokio::test]
pub(crate) async fn net_p2() {
    reaches_an_echo(test_guests::NET_P2).await;
}

#[tokio::test]
pub(crate) async fn net_p3() {
    reaches_an_echo(test_guests::NET_P3).await;
}

/// It serves many at once, so that a client that waits is in nobody's way.
#[tokio::test]
pub(crate) async fn net_wstd() {
    reaches_an_echo(test_guests::NET_WSTD).await;
    let host = TestHost::start().await;
    echoed(&host, &P2, test_guests::NET_WSTD, "").await;
    let script = "connect,127.0.0.1:7000;connect,127.0.0.1:7000;connect,localhost:7000;write,2,c;read,2,9;write,0,a;read,0,9;write,1,b;read,1,9";
    let answers = run(&host, "p2", script).await;
    let read = answers.iter().filter(|answer| answer.starts_with("read"));
    assert_eq!(read.collect::<Vec<_>>(), ["read c", "read a", "read b"]);
}

/// Nobody but the workload sees what listens in it: not the machine, and no other workload.
#[tokio::test]
async fn what_listens_is_the_workloads_own() {
    let host = TestHost::start().await;
    let script = "listen,0.0.0.0:7000;listen,[::]:7000;stay";
    for name in ["one", "two"] {
        host.run(name, &service(test_guests::NET_P2, script)).await;
    }
    assert_eq!(
        said(&host, 4).await,
        [
            "listening on 0.0.0.0:7000",
            "listening on [::]:7000",
            "listening on 0.0.0.0:7000",
            "listening on [::]:7000"
        ]
    );
    assert_eq!(listening(7000), 0);
    // The same way of looking finds what really listens.
    assert_eq!(listening(host.addr().port()), 1);
    host.run("p2", &P2.spec("p2", json!({}))).await;
    let answers = run(&host, "p2", "connect,127.0.0.1:7000;connect,[::1]:7000").await;
    assert_eq!(answers, ["ConnectionRefused", "ConnectionRefused"]);
}

/// How many sockets of this process listen at a port.
fn listening(port: u16) -> usize {
    let own: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let rows: String = tables
        .iter()
        .map(|table| std::fs::read_to_string(table).unwrap_or_default())
        .collect();
    let listens = |row: &&str| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let [_, local, _, state, ..] = fields[..] else {
            return false;
        };
        let own = fields
            .get(9)
            .is_some_and(|inode| own.contains(&format!("socket:[{inode}]")));
        state == "0A" && local.ends_with(&format!(":{port:04X}")) && own
    };
    rows.lines().filter(listens).count()
}

#[tokio::test]
async fn wildcards_stand_for_every_loopback_address_of_their_family() {
    let host = TestHost::start().await;
    let script = "listen,0.0.0.0:7000;listen,127.0.0.1:7000;listen,127.0.0.2:7001;listen,127.0.0.1:7001;listen,[::1]:7000;listen,127.0.0.1:0;stay";
    let spec = P3.spec("p3", json!({}));
    host.run("p3", &with_service(spec, test_guests::NET_P2, script))
        .await;
    assert_eq!(
        said(&host, 6).await,
        [
            "listening on 0.0.0.0:7000",
            "AddrInUse",
            "listening on 127.0.0.2:7001",
            "listening on 127.0.0.1:7001",
            "listening on [::1]:7000",
            "listening at some port: true"
        ]
    );
    let script = "connect,127.0.0.1:7000;connect,127.8.8.8:7000;connect,127.0.0.2:7001;connect,127.0.0.3:7001;connect,[::1]:7000;connect,[::1]:7001";
    assert_eq!(
        run(&host, "p3", script).await,
        [
            "connected 0",
            "connected 1",
            "connected 2",
            "connection-refused",
            "connected 3",
            "connection-refused"
        ]
    );
}

#[tokio::test]
async fn components_connect_and_never_listen() {
    let log = Log::capture();
    let host = TestHost::start().await;
    host.run("p2", &P2.spec("p2", json!({}))).await;
    let script = "listen,127.0.0.1:7000;listen,0.0.0.0:0;raw-listen,127.0.0.1:7000;raw-listen,[::1]:7000;raw-listen,192.0.2.1:80";
    let denied = [
        "PermissionDenied",
        "PermissionDenied",
        "access-denied",
        "access-denied",
        "access-denied",
    ];
    assert_eq!(run(&host, "p2", script).await, denied);
    host.run("p3", &P3.spec("p3", json!({}))).await;
    let script = "listen,127.0.0.1:7000;listen,[::]:7000;listen-anywhere";
    assert_eq!(run(&host, "p3", script).await, ["access-denied"; 3]);
    let log = log.text();
    assert!(
        log.contains(
            "listening on 127.0.0.1:7000 is denied: components connect, they do not listen"
        ),
        "{log}"
    );
    assert_eq!(
        log.matches("listening on 127.0.0.1:7000 is denied").count(),
        2,
        "{log}"
    );
}

#[tokio::test]
async fn a_service_listens_on_nothing_but_loopback() {
    let host = TestHost::start().await;
    let script = "raw-listen,192.0.2.1:80;raw-listen,127.255.255.254:80;raw-listen,224.0.0.1:80;raw-listen,[::ffff:127.0.0.1]:80;raw-listen,127.0.0.1:80";
    host.run("one", &service(test_guests::NET_P2, script)).await;
    assert_eq!(
        said(&host, 5).await,
        [
            "address-not-bindable",
            "address-not-bindable",
            "invalid-argument",
            "invalid-argument",
            "listening true, Err(\"would-block\")"
        ]
    );
}

/// More than any buffer holds goes through, in both directions, and arrives whole.
#[tokio::test]
async fn much_goes_through_as_fast_as_it_is_read() {
    for (image, counted) in [
        (test_guests::NET_P2, "read 10000000 bytes"),
        (test_guests::NET_P3, "read 10000000 bytes"),
    ] {
        for client in [&P2, &P3] {
            let host = TestHost::start().await;
            echoed(
                &host,
                client,
                image,
                "listen,127.0.0.1:7000;accept,0;count,0",
            )
            .await;
            let script = format!("connect,127.0.0.1:7000;fill,0,10000000;{}", client.shut());
            let answers = run(&host, client.name, &script).await;
            assert_eq!(answers[..2], ["connected 0", "wrote 10000000"]);
            assert_eq!(said(&host, 3).await[2], counted);
        }
    }
}

/// The client goes while the service reads nothing: everything of it is gone, and the service is as it was.
#[tokio::test]
async fn a_peer_that_stops_reading_keeps_nobody_for_ever() {
    for client in [&P2, &P3] {
        let host = TestHost::start().await;
        echoed(
            &host,
            client,
            test_guests::NET_P2,
            "listen,127.0.0.1:7000;accept,0;accept,0;count,0;count,1",
        )
        .await;
        {
            let mut connection = host.raw().await;
            let request = format!(
                "GET /run?connect,127.0.0.1:7000;fill,0,10000000 HTTP/1.1\r\nhost: {}\r\n\r\n",
                client.name
            );
            connection.send(request.as_bytes()).await;
            assert_eq!(said(&host, 2).await[1], "accepted 0");
            host.instances(client.name, 1).await;
        }
        host.instances(client.name, 0).await;
        run(&host, client.name, "connect,127.0.0.1:7000;write,0,hello").await;
        let lines = said(&host, 5).await;
        assert!(
            lines[3].starts_with("read ") && lines[4] == "read 5 bytes",
            "{lines:?}"
        );
    }
}

/// The other side closes without reading: what is written then fails.
#[tokio::test]
async fn writing_to_who_has_gone_fails() {
    let host = TestHost::start().await;
    for client in [&P2, &P3] {
        let script = "listen,127.0.0.1:7000;accept,0;close,0;stay";
        let spec = with_service(
            client.spec(client.name, json!({})),
            test_guests::NET_P2,
            script,
        );
        host.run(client.name, &spec).await;
    }
    said(&host, 2).await;
    let p2 = run(
        &host,
        "p2",
        "connect,127.0.0.1:7000;read-all,0;fill,0,1000000",
    )
    .await;
    assert_eq!(p2[..2], ["connected 0", "read "]);
    assert!(p2[2].contains("left:"), "{p2:?}");
    let p3 = run(
        &host,
        "p3",
        "connect,127.0.0.1:7000;read-all,0;fill,0,1000000",
    )
    .await;
    assert_eq!(
        p3,
        [
            "connected 0",
            "read , ok",
            "some of 1000000 left: connection-reset"
        ]
    );
}

#[tokio::test]
async fn sockets_know_their_addresses_and_their_streams_are_had_once() {
    let host = TestHost::start().await;
    echoed(&host, &P2, test_guests::NET_WSTD, "").await;
    let answers = run(&host, "p2", "connect,127.0.0.1:7000;addresses,0").await;
    assert_eq!(answers[1], "127.0.0.1 at some port to 127.0.0.1:7000");
    let host = TestHost::start().await;
    echoed(&host, &P3, test_guests::NET_WSTD, "").await;
    let answers = run(&host, "p3", "connect,127.0.0.1:7000;twice,0").await;
    assert_eq!(answers[1], "invalid-state invalid-state");
}

#[tokio::test]
async fn datagrams_go_to_and_fro() {
    for client in [&P2, &P3] {
        let host = TestHost::start().await;
        let script = "bind,127.0.0.1:7053;echo-datagrams,0";
        let spec = client.spec(client.name, json!({}));
        host.run(
            client.name,
            &with_service(spec, test_guests::NET_P2, script),
        )
        .await;
        assert_eq!(said(&host, 2).await, ["bound 0", "echoing datagrams"]);
        for bind in ["bind,0.0.0.0:0", "bind,127.0.0.1:0", "bind,127.0.0.1:7054"] {
            let script = format!("{bind};send,0,hello,127.0.0.1:7053;receive,0");
            let answers = run(&host, client.name, &script).await;
            assert_eq!(answers[2], "received hello from 127.0.0.1", "{answers:?}");
        }
    }
    let host = TestHost::start().await;
    host.run("p3", &P3.spec("p3", json!({}))).await;
    let script = "udp;receive,0;send-there,0,x;send,0,x,127.0.0.1:9;udp-connect,0,127.0.0.1:7;send,0,x,127.0.0.1:8;send-there,0,x;bind,127.0.0.1:0;bind,192.0.2.1:9";
    assert_eq!(
        run(&host, "p3", script).await,
        [
            "unbound 0",
            "invalid-state",
            "invalid-argument",
            "sent",
            "connected",
            "invalid-argument",
            "sent",
            "bound 1",
            "address-not-bindable"
        ]
    );
}

/// A crash frees what the service held, so that it listens again when it comes back.
#[tokio::test]
async fn a_service_that_comes_back_listens_where_it_did() {
    let host = TestHost::with(|config| {
        config.restarts.first = std::time::Duration::from_millis(1);
    })
    .await;
    for image in [test_guests::NET_P2, test_guests::NET_P3] {
        // A number that is none makes it trap.
        let script = "listen,127.0.0.1:7000;accept,0;close,none";
        let mut spec = with_service(P2.spec("app", json!({})), image, script);
        spec["service"]["maxRestarts"] = json!(3);
        let before = listened(&host, 0).await;
        host.run("app", &spec).await;
        for life in 1..=3 {
            listened(&host, before + life).await;
            assert_eq!(
                run(&host, "app", "connect,127.0.0.1:7000").await,
                ["connected 0"]
            );
        }
        host.stop("app").await;
    }
}

/// Waits until guests have said so often that they listen, and says how often.
async fn listened(host: &TestHost, wanted: usize) -> usize {
    for lines in wanted.. {
        let lines = said(host, lines).await;
        let listened = lines
            .iter()
            .filter(|line| line.starts_with("listening"))
            .count();
        if listened >= wanted {
            return listened;
        }
    }
    unreachable!("there is always another line, or no patience left")
}

#[tokio::test]
async fn a_workload_has_only_so_many_connections() {
    let host = TestHost::with(|config| config.sockets.network.connections = 10).await;
    echoed(&host, &P2, test_guests::NET_WSTD, "").await;
    let answers = run(&host, "p2", "many,127.0.0.1:7000,100000").await;
    let (made, error) = answers[0].split_once(" and then ").unwrap();
    assert!(
        (5..=10).contains(&made.parse::<u32>().unwrap()),
        "{answers:?}"
    );
    assert!(!error.is_empty());
    // They were given back with the instance, and by the service when it notices.
    let given_back = async {
        while run(&host, "p2", "many,127.0.0.1:7000,3").await != ["3"] {
            tokio::task::yield_now().await;
        }
    };
    crate::support::within(given_back).await;
}

#[tokio::test]
async fn sockets_say_what_they_cannot_do_in_their_state() {
    let host = TestHost::start().await;
    host.run("p2", &P2.spec("p2", json!({}))).await;
    let answers = run(&host, "p2", "raw-states;raw-options").await;
    let states = "finish-bind not-in-progress, finish-connect not-in-progress, finish-listen not-in-progress, accept invalid-state, \
        local invalid-state, remote invalid-state, shutdown invalid-state, listen invalid-state, connect ok, \
        connect-again concurrency-conflict, bind-now concurrency-conflict, finish connection-refused, \
        finish-again not-in-progress, connect-closed invalid-state";
    assert_eq!(answers, [states, "true true 1000000000 9 1048576"]);
}
