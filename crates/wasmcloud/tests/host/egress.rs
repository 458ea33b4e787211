//! What may leave the host, and what may not: by the manifest's list, and by the address, however it is written or come by.

use std::sync::Arc;

use serde_json::{Value, json};
use wasmcloud::assembly::HostConfig;
use wasmcloud::policy::{EgressMode, EgressOptions};

use crate::stories::{Dialect, P2, P3};
use crate::support::{Log, Names, Outside, TestHost, component, http, http_at, spec};

const PROHIBITED: &str = "ErrorCode::DestinationIpProhibited\n";
const DENIED: &str = "ErrorCode::HttpRequestDenied\n";

/// Lets workloads reach this machine.
pub(crate) fn loopback() -> EgressOptions {
    EgressOptions {
        allow: vec!["127.0.0.1/32".parse().unwrap()],
        ..EgressOptions::default()
    }
}

/// A component that may send requests to some hosts, and answers under its own.
pub(crate) fn reaching(dialect: &Dialect, name: &str, hosts: &[&str]) -> Value {
    let mut component = dialect.component();
    component["localResources"]["allowedHosts"] = json!(hosts);
    spec([component], [http_at(json!({ "host": name }))])
}

/// Fetches a URL through a workload that answers under a host name.
pub(crate) async fn fetch(host: &TestHost, name: &str, url: &str) -> String {
    let answer = host.get_from(name, &format!("/http?url={url}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

async fn host(change: impl FnOnce(&mut HostConfig)) -> TestHost {
    TestHost::with(change).await
}

const HELLO: &str = "status 200\nhello from outside\n";

#[tokio::test]
async fn a_component_reaches_the_hosts_it_lists() {
    let outside = Outside::http().await;
    let port = outside.addr.port();
    let names = Names::default()
        .with("a.example.test", &["127.0.0.1"])
        .with("deep.a.example.test", &["127.0.0.1"])
        .with("example.test", &["127.0.0.1"]);
    let host = host(|config| {
        config.egress = loopback();
        config.resolver = Arc::new(names);
    })
    .await;
    let other = port.wrapping_add(1).max(1);
    let lists: [(String, [bool; 4]); 8] = [
        ("*".to_owned(), [true, true, true, true]),
        ("127.0.0.1".to_owned(), [true, false, false, false]),
        (format!("127.0.0.1:{port}"), [true, false, false, false]),
        (
            format!("*:{port}").replace("*:", "example.test:"),
            [false, true, false, false],
        ),
        (
            format!("example.test:{other}"),
            [false, false, false, false],
        ),
        ("*.example.test".to_owned(), [false, false, true, true]),
        (
            format!("http://*.a.example.test:{port}"),
            [false, false, false, true],
        ),
        (
            "https://example.test".to_owned(),
            [false, false, false, false],
        ),
    ];
    for dialect in [&P2, &P3] {
        for (index, (list, reached)) in lists.iter().enumerate() {
            let name = format!("{}-{index}", dialect.context);
            host.run(&name, &reaching(dialect, &name, &[list])).await;
            let hosts = [
                "127.0.0.1",
                "Example.test",
                "a.example.test",
                "deep.a.example.test",
            ];
            for (target, reached) in hosts.iter().zip(reached) {
                let got = fetch(&host, &name, &format!("http://{target}:{port}/hello")).await;
                let wanted = if *reached { HELLO } else { DENIED };
                assert_eq!(got, wanted, "{list} and {target}");
            }
        }
    }
}

/// Two components of one workload are one component to the engine, and two to the policy.
#[tokio::test]
pub(crate) async fn fetch_front() {
    let outside = Outside::http().await;
    let host = host(|config| config.egress = loopback()).await;
    let list = |mut component: Value, allowed: bool| {
        if allowed {
            component["localResources"]["allowedHosts"] = json!(["127.0.0.1"]);
        }
        component
    };
    for (name, front, back) in [("front", true, false), ("back", false, true)] {
        let components = [
            list(component("front", test_guests::FETCH_FRONT), front),
            list(component("back", test_guests::HTTP_P2), back),
        ];
        let entry = http_at(json!({ "host": name }));
        let status = host.run(name, &spec(components, [entry])).await;
        assert_eq!(status.plan.expect("a plan").entries[0].members.len(), 2);
        for _ in 0..2 {
            let by_front = host
                .get_from(name, &format!("/?front={}", outside.addr))
                .await;
            assert_eq!(by_front.status, if front { 200 } else { 403 });
            let by_back = fetch(&host, name, &outside.url("/hello")).await;
            assert_eq!(by_back, if back { HELLO } else { DENIED });
        }
    }
}

#[tokio::test]
async fn special_addresses_are_out_of_reach_however_they_are_written() {
    let names = Names::default()
        .with("metadata.test", &["169.254.169.254"])
        .with("mapped.test", &["::ffff:169.254.169.254"])
        .with("localhost", &["127.0.0.1", "::1"])
        .with("router.test", &["192.168.0.1"]);
    let host = host(|config| config.resolver = Arc::new(names)).await;
    for dialect in [&P2, &P3] {
        let name = dialect.context;
        let exactly = [
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "metadata.test",
            "127.0.0.1",
            "*",
        ];
        host.run(name, &reaching(dialect, name, &exactly)).await;
        for target in [
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "metadata.test",
            "mapped.test",
            "METADATA.test.",
            "127.0.0.1",
            "[::1]",
            "localhost",
            "0.0.0.0",
            "10.0.0.1",
            "router.test",
        ] {
            let got = fetch(&host, name, &format!("http://{target}:1/latest/meta-data/")).await;
            assert_eq!(got, PROHIBITED, "{target}");
            let tls = fetch(&host, name, &format!("https://{target}:1/")).await;
            assert_eq!(tls, PROHIBITED, "{target}");
        }
        let stats = host.outgoing.stats(&crate::support::id(name)).unwrap();
        assert_eq!((stats.opened, stats.open, stats.denied), (34, 0, 34));
    }
}

/// Numbers that old programs read as addresses are names to us, and what they come to is checked like any other.
#[tokio::test]
async fn odd_ways_to_write_an_address_lead_nowhere() {
    let host = TestHost::start().await;
    host.run("odd", &reaching(&P2, "odd", &["*"])).await;
    for target in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0xa9fea9fe",
    ] {
        let got = fetch(&host, "odd", &format!("http://{target}:1/")).await;
        let refused = got == PROHIBITED || got.contains("DnsError");
        assert!(refused, "{target}: {got}");
    }
}

#[tokio::test]
async fn a_redirect_is_left_to_the_guest_and_checked_again() {
    let outside = Outside::http().await;
    let host = host(|config| config.egress = loopback()).await;
    for dialect in [&P2, &P3] {
        let name = dialect.context;
        host.run(name, &reaching(dialect, name, &["*"])).await;
        let url = outside.url("/redirect?to=http://169.254.169.254/latest/meta-data/");
        assert_eq!(fetch(&host, name, &url).await, "status 302\n");
        assert_eq!(
            fetch(&host, name, &format!("{url}&follow=1")).await,
            PROHIBITED
        );
        let home = outside.url(&format!("/redirect?to={}", outside.url("/hello")));
        assert_eq!(fetch(&host, name, &format!("{home}&follow=1")).await, HELLO);
    }
}

/// Of several addresses, only those that may be reached are tried.
#[tokio::test]
async fn a_name_leads_only_to_addresses_that_pass() {
    let outside = Outside::http().await;
    let names = Names::default().with("mixed.test", &["169.254.169.254", "10.0.0.1", "127.0.0.1"]);
    let host = host(|config| {
        config.egress = loopback();
        config.resolver = Arc::new(names);
    })
    .await;
    host.run("mixed", &reaching(&P2, "mixed", &["mixed.test"]))
        .await;
    let url = format!("http://mixed.test:{}/hello", outside.addr.port());
    assert_eq!(fetch(&host, "mixed", &url).await, HELLO);
}

#[tokio::test]
async fn private_addresses_are_allowed_without_the_services_among_them() {
    let host = host(|config| config.egress.allow_private = true).await;
    host.run("private", &reaching(&P2, "private", &["*"])).await;
    for target in ["100.100.100.200", "[fd00:ec2::254]", "127.0.0.1"] {
        let got = fetch(&host, "private", &format!("http://{target}:1/")).await;
        assert_eq!(got, PROHIBITED, "{target}");
    }
}

#[tokio::test]
async fn an_audit_lets_pass_and_tells() {
    let log = Log::capture();
    let outside = Outside::http().await;
    let host = host(|config| config.egress.mode = EgressMode::Audit).await;
    host.run("audit", &P2.spec()).await;
    for _ in 0..2 {
        let answer = host
            .get(&format!("/http?url={}", outside.url("/hello")))
            .await;
        assert_eq!(answer.body, HELLO);
    }
    let text = log.text();
    assert_eq!(text.matches("would be denied").count(), 2, "{text}");
    assert!(text.contains("`allowedHosts` does not list"), "{text}");
    assert!(text.contains("127.0.0.1 is a loopback address"), "{text}");
}

/// Once for each reason, with a hint, and without what a query may hold.
#[tokio::test]
async fn the_log_tells_each_denial_once_and_no_secrets() {
    let log = Log::capture();
    let host = TestHost::start().await;
    host.run("denied", &reaching(&P2, "denied", &["10.0.0.1"]))
        .await;
    for _ in 0..3 {
        fetch(&host, "denied", "http://10.0.0.1/path?token=hunter2").await;
        fetch(&host, "denied", "https://other.test/path?token=hunter2").await;
    }
    let text = log.text();
    let denials: Vec<_> = text
        .lines()
        .filter(|line| line.contains("is denied"))
        .collect();
    assert_eq!(denials.len(), 2, "{text}");
    assert!(
        denials[0].contains("allow it in the host's `egress`"),
        "{text}"
    );
    assert!(denials[1].contains("https://other.test"), "{text}");
    assert!(
        denials[1].contains("`localResources.allowedHosts`"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_host_without_a_server_has_a_client_all_the_same() {
    let host = host(|config| config.http = None).await;
    assert_eq!(host.outgoing.open(), 0);
    let error = host
        .try_run("served", &spec([P2.component()], [http()]))
        .await;
    assert!(error.is_err());
}
