//! What of the outside sockets reach: by the manifest's lists, and by the address that is really connected to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use wasmcloud::assembly::HostConfig;
use wasmcloud::policy::{EgressMode, EgressOptions};

use super::*;
use crate::support::{Log, Names, Outside, own_address};

const BOTH: [&Guest; 2] = [&P2, &P3];

impl Guest {
    /// The command that connects and tells exactly what the interface says.
    fn connect(&self, to: impl std::fmt::Display) -> String {
        match self.name {
            "p2" => format!("raw-connect,{to}"),
            _ => format!("connect,{to}"),
        }
    }
}

/// Whether it did.
fn connected(answer: &str) -> bool {
    answer.starts_with("connected")
}

/// A server on this machine that sends back what it gets.
async fn echo() -> Outside {
    Outside::raw(|mut stream| async move {
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await
}

/// A host that lets workloads reach its loopback.
async fn open_host() -> TestHost {
    TestHost::with(|config| config.sockets.allow_host_loopback = true).await
}

#[tokio::test]
async fn the_machines_loopback_is_reached_where_host_and_manifest_agree() {
    let (outside, open, shut) = (echo().await, open_host().await, TestHost::start().await);
    let port = outside.addr.port();
    for guest in BOTH {
        let listed = json!({ "allowedHostLoopbackPorts": [port.to_string()] });
        let other = json!({ "allowedHostLoopbackPorts": ["1", format!("{port}/udp")], "allowedHosts": ["*"] });
        let to = format!("127.255.255.254:{port}");
        open.run(guest.name, &guest.spec(guest.name, listed.clone()))
            .await;
        let script = format!("connect,{to};write,0,hello;{};read-all,0", guest.shut());
        let answers = run(&open, guest.name, &script).await;
        assert!(answers[3].starts_with("read hello"), "{answers:?}");
        let unlisted = format!("{}-other", guest.name);
        open.run(&unlisted, &guest.spec(&unlisted, other)).await;
        let answers = run(&open, &unlisted, &guest.connect(&to)).await;
        assert_eq!(answers, ["access-denied"]);
        shut.run(guest.name, &guest.spec(guest.name, listed)).await;
        assert_eq!(
            run(&shut, guest.name, &guest.connect(&to)).await,
            ["access-denied"]
        );
    }
    // By its name, and it is called what the guest called it.
    let script = format!("connect,host.wasmcloud.internal:{port};addresses,0");
    let answers = run(&open, "p2", &script).await;
    assert_eq!(
        answers[1],
        format!("127.0.0.1 at some port to 127.255.255.254:{port}")
    );
    // 127.0.0.1 is the workload's own.
    let answers = run(&open, "p2", &format!("connect,127.0.0.1:{port}")).await;
    assert_eq!(answers, ["ConnectionRefused"]);
}

#[tokio::test]
async fn who_may_not_reach_the_machine_is_told_why_once() {
    let log = Log::capture();
    let host = TestHost::start().await;
    let listed = json!({ "allowedHostLoopbackPorts": ["5432"] });
    host.run("p2", &P2.spec("p2", listed)).await;
    run(&host, "p2", "raw-connect,127.255.255.254:5432;raw-connect,127.255.255.254:5432;raw-connect,127.255.255.254:80").await;
    let log = log.text();
    let host = "a TCP connection to 127.255.255.254:5432 is denied: this host does not let workloads reach its loopback; if it is meant to be reached, allow it with `sockets.allowHostLoopback` in the host's configuration";
    let port = "a TCP connection to 127.255.255.254:80 is denied: `allowedHostLoopbackPorts` does not list 80; list it in `localResources.allowedHostLoopbackPorts` of the component";
    assert_eq!(
        (log.matches(host).count(), log.matches(port).count()),
        (1, 1),
        "{log}"
    );
}

#[tokio::test]
async fn special_addresses_are_out_of_reach_whatever_is_listed() {
    let host = TestHost::start().await;
    for guest in BOTH {
        let name = guest.name;
        host.run(name, &guest.spec(name, json!({ "allowedHosts": ["*"] })))
            .await;
        for to in [
            "169.254.169.254:80",
            "100.100.100.200:80",
            "10.0.0.1:80",
            "192.168.0.1:80",
            "192.0.2.1:80",
            "240.0.0.1:80",
            "0.1.2.3:80",
            "[::7f00:1]:80",
            "[64:ff9b::169.254.169.254]:80",
            "[64:ff9b:1::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
            "[fd00:ec2::254]:80",
            "[fe80::1]:80",
            "[2001:db8::1]:80",
        ] {
            assert_eq!(
                run(&host, name, &guest.connect(to)).await,
                ["access-denied"],
                "{to}"
            );
        }
        for to in [
            "[::ffff:127.0.0.1]:80",
            "[::ffff:169.254.169.254]:80",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[ff02::1]:80",
            "192.0.2.1:0",
        ] {
            assert_eq!(
                run(&host, name, &guest.connect(to)).await,
                ["invalid-argument"],
                "{to}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_is_reached_that_is_not_listed() {
    let log = Log::capture();
    let host = TestHost::start().await;
    for guest in BOTH {
        let name = guest.name;
        host.run(
            name,
            &guest.spec(
                name,
                json!({ "allowedHosts": ["1.1.1.1:53", "https://8.8.8.8"] }),
            ),
        )
        .await;
        for to in ["8.8.8.8:443", "1.1.1.1:54", "[2606:4700::1111]:53"] {
            assert_eq!(
                run(&host, name, &guest.connect(to)).await,
                ["access-denied"],
                "{to}"
            );
        }
    }
    let log = log.text();
    let told = "a TCP connection to 1.1.1.1:54 is denied: `allowedHosts` does not list 1.1.1.1:54; list it in `localResources.allowedHosts` of the component";
    assert_eq!(log.matches(told).count(), 2, "{log}");
}

/// A server at that address, and a host that lets workloads go there.
async fn at_own_address(
    change: impl FnOnce(&mut HostConfig, IpAddr),
) -> Option<(TestHost, SocketAddr)> {
    let address = own_address().await?;
    let listener = tokio::net::TcpListener::bind((address, 0)).await.ok()?;
    let to = listener.local_addr().ok()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 64];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    let _ = stream.write_all(&bytes[..read]).await;
                }
            });
        }
    });
    let host = TestHost::with(|config| {
        config.egress.allow = vec![IpNet::from(address)];
        change(config, address);
    });
    Some((host.await, to))
}

#[tokio::test]
async fn what_is_listed_is_reached() {
    let Some((host, to)) = at_own_address(|_, _| {}).await else {
        return;
    };
    for guest in BOTH {
        for (n, (listed, reached)) in [
            (to.ip().to_string(), true),
            (to.to_string(), true),
            ("*".to_owned(), true),
            (format!("http://{to}"), false),
            (format!("{}:1", to.ip()), false),
            ("example.test".to_owned(), false),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("{}-{n}", guest.name);
            host.run(
                &name,
                &guest.spec(&name, json!({ "allowedHosts": [listed] })),
            )
            .await;
            let script = format!("connect,{to};write,0,hello;{};read-all,0", guest.shut());
            let answers = run(&host, &name, &script).await;
            assert_eq!(connected(&answers[0]), reached, "{listed}: {answers:?}");
            if reached {
                assert!(answers[3].starts_with("read hello"), "{answers:?}");
            } else {
                assert_eq!(answers[0], guest.denied);
            }
        }
    }
}

/// A name that a component may reach stands for the addresses that this component was told.
#[tokio::test]
async fn who_looked_a_name_up_reaches_what_it_stands_for() {
    let own = at_own_address(|config, address| {
        let address = address.to_string();
        let names = Names::default()
            .with("db.example.test", &[&address])
            .with("other.example.test", &[&address]);
        config.resolver = Arc::new(names);
    });
    let Some((host, to)) = own.await else {
        return;
    };
    for guest in BOTH {
        let resources = json!({
            "allowedHosts": [format!("db.example.test:{}", to.port())],
            "allowedIpNameLookups": ["*.example.test"],
        });
        host.run(guest.name, &guest.spec(guest.name, resources))
            .await;
        let connect = guest.connect(to);
        let script = format!(
            "{connect};resolve,other.example.test;{connect};resolve,db.example.test;{connect}"
        );
        let answers = run(&host, guest.name, &script).await;
        let reached: Vec<bool> = answers.iter().map(|answer| connected(answer)).collect();
        assert_eq!(reached, [false, false, false, false, true], "{answers:?}");
        // Another invocation is the same component.
        assert!(connected(&run(&host, guest.name, &connect).await[0]));
        let elsewhere = guest.connect(SocketAddr::new(to.ip(), to.port() ^ 1));
        assert_eq!(run(&host, guest.name, &elsewhere).await, ["access-denied"]);
    }
}

#[tokio::test]
async fn an_audit_lets_pass_and_tells() {
    let log = Log::capture();
    let own = at_own_address(|config, _| {
        config.egress = EgressOptions {
            mode: EgressMode::Audit,
            ..EgressOptions::default()
        };
    });
    let Some((host, to)) = own.await else {
        return;
    };
    for guest in BOTH {
        host.run(guest.name, &guest.spec(guest.name, json!({})))
            .await;
        let answers = run(&host, guest.name, &guest.connect(to)).await;
        assert!(connected(&answers[0]), "{answers:?}");
        // What is the machine's own is no matter of the policy.
        let answers = run(&host, guest.name, &guest.connect("127.255.255.254:80")).await;
        assert_eq!(answers, ["access-denied"]);
    }
    let log = log.text();
    let told = format!(
        "a TCP connection to {to} would be denied, and passes as the policy is only audited"
    );
    assert!(log.contains(&told), "{log}");
}

#[tokio::test]
async fn a_workload_has_only_so_many_sockets_outside() {
    let outside = echo().await;
    let port = outside.addr.port();
    let host = TestHost::with(|config| {
        config.sockets.allow_host_loopback = true;
        config.sockets.max_connections = 3;
    })
    .await;
    let to = format!("127.255.255.254:{port}");
    for (guest, limit) in [(&P2, "new-socket-limit"), (&P3, "out-of-memory")] {
        let listed = json!({ "allowedHostLoopbackPorts": [port.to_string()] });
        host.run(guest.name, &guest.spec(guest.name, listed)).await;
        let three = format!("connect,{to};").repeat(3);
        let again = guest.connect(&to);
        let answers = run(
            &host,
            guest.name,
            &format!("{three}{again};close,1;{again}"),
        )
        .await;
        assert_eq!(answers[3], limit, "{answers:?}");
        assert!(connected(&answers[5]), "{answers:?}");
        // They were given back with the instance.
        assert!(connected(&run(&host, guest.name, &again).await[0]));
    }
}

#[tokio::test]
async fn datagrams_leave_only_where_they_may() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    tokio::spawn(async move {
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut bytes = [0; 64];
        while let Ok((read, from)) = server.recv_from(&mut bytes).await {
            // Nobody sent anything to this one, so nobody hears it.
            stranger.send_to(b"intruder", from).await.unwrap();
            server.send_to(&bytes[..read], from).await.unwrap();
        }
    });
    let host = open_host().await;
    for guest in BOTH {
        let listed = json!({ "allowedHostLoopbackPorts": [format!("{port}/udp")] });
        host.run(guest.name, &guest.spec(guest.name, listed)).await;
        let script = format!("bind,0.0.0.0:0;send,0,hello,127.255.255.254:{port};receive,0");
        let answers = run(&host, guest.name, &script).await;
        assert_eq!(
            answers[2], "received hello from 127.255.255.254",
            "{answers:?}"
        );
        for to in [
            "8.8.8.8:53",
            "169.254.169.254:53",
            "255.255.255.255:67",
            "224.0.0.251:5353",
            "127.255.255.254:1",
        ] {
            let script = format!("bind,0.0.0.0:0;send,0,x,{to}");
            assert_eq!(
                run(&host, guest.name, &script).await[1],
                guest.denied,
                "{to}"
            );
        }
        // What is bound to a loopback address cannot speak to anybody else.
        let script = format!("bind,127.0.0.1:0;send,0,x,127.255.255.254:{port}");
        let answers = run(&host, guest.name, &script).await;
        assert!(
            ["HostUnreachable", "remote-unreachable"].contains(&answers[1].as_str()),
            "{answers:?}"
        );
    }
    assert_eq!(
        run(
            &host,
            "p2",
            "raw-send,8.8.8.8:53;raw-send,[64:ff9b::808:808]:53"
        )
        .await,
        ["access-denied"; 2]
    );
}
