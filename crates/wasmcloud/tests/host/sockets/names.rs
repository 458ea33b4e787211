//! Looking up names.

use std::sync::Arc;

use super::*;
use crate::support::{Log, Names};

impl Guest {
    /// The command that looks a name up and tells exactly what the interface says.
    fn resolve(&self, name: &str) -> String {
        match self.name {
            "p2" => format!("raw-resolve,{name}"),
            _ => format!("resolve,{name}"),
        }
    }

    /// What the interface says of a name that may not be looked up.
    fn refused(&self) -> &'static str {
        match self.name {
            "p2" => "permanent-resolver-failure",
            _ => "access-denied",
        }
    }
}

async fn host() -> TestHost {
    let names = Names::default()
        .with(
            "db.example.test",
            &["1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"],
        )
        .with("metadata.test", &["169.254.169.254"])
        .with("mixed.test", &["169.254.169.254", "1.1.1.1", "127.0.0.1"])
        .with("mine.test", &["127.0.0.1", "::1"])
        .with("empty.test", &[])
        .with("service.wasmcloud.internal", &["1.1.1.1"])
        .with("nobody.wasmcloud.internal", &["1.1.1.1"]);
    TestHost::with(|config| config.resolver = Arc::new(names)).await
}

#[tokio::test]
async fn the_workload_itself_needs_no_grant() {
    let host = host().await;
    for guest in [&P2, &P3] {
        host.run(guest.name, &guest.spec(guest.name, json!({})))
            .await;
        for (name, answer) in [
            ("localhost", "127.0.0.1 ::1"),
            ("service.wasmcloud.internal", "127.0.0.1"),
            ("SERVICE.WasmCloud.internal.", "127.0.0.1"),
            ("anything.svc.wasmcloud.internal", "127.0.0.1"),
            ("host.wasmcloud.internal", "127.255.255.254"),
            ("nobody.wasmcloud.internal", "name-unresolvable"),
            ("wasmcloud.internal", "name-unresolvable"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("db.example.test", guest.refused()),
            ("127.1", "invalid-argument"),
            ("a..b", "invalid-argument"),
        ] {
            assert_eq!(
                run(&host, guest.name, &guest.resolve(name)).await,
                [answer],
                "{name}"
            );
        }
    }
    assert_eq!(
        run(&host, "p2", "resolve,service.wasmcloud.internal").await,
        ["127.0.0.1"]
    );
    assert_eq!(
        run(&host, "p2", "resolve,db.example.test").await,
        ["not found"]
    );
}

#[tokio::test]
async fn names_are_looked_up_that_are_listed() {
    let log = Log::capture();
    let host = host().await;
    for guest in [&P2, &P3] {
        let listed = json!({ "allowedIpNameLookups": ["*.example.test", "empty.test"] });
        host.run(guest.name, &guest.spec(guest.name, listed)).await;
        for (name, answer) in [
            ("db.example.test", "1.1.1.1 2606:4700::1111 8.8.8.8"),
            ("DB.Example.Test.", "1.1.1.1 2606:4700::1111 8.8.8.8"),
            ("nobody.example.test", "name-unresolvable"),
            ("empty.test", "name-unresolvable"),
            ("example.test", guest.refused()),
            ("mixed.test", guest.refused()),
        ] {
            assert_eq!(
                run(&host, guest.name, &guest.resolve(name)).await,
                [answer],
                "{name}"
            );
        }
    }
    let log = log.text();
    let told = "looking up mixed.test is denied: `allowedIpNameLookups` does not list mixed.test; list it in `localResources.allowedIpNameLookups` of the component";
    assert_eq!(log.matches(told).count(), 2, "{log}");
}

/// Whatever a resolver says, nobody is sent where nobody may go.
#[tokio::test]
async fn addresses_that_are_out_of_reach_are_left_out() {
    let log = Log::capture();
    let host = host().await;
    for guest in [&P2, &P3] {
        let listed = json!({ "allowedIpNameLookups": ["*"] });
        host.run(guest.name, &guest.spec(guest.name, listed)).await;
        for (name, answer) in [
            ("metadata.test", "access-denied"),
            ("mixed.test", "1.1.1.1"),
            ("mine.test", "access-denied"),
        ] {
            assert_eq!(
                run(&host, guest.name, &guest.resolve(name)).await,
                [answer],
                "{name}"
            );
        }
    }
    let log = log.text();
    let told = "looking up metadata.test is denied: 169.254.169.254 is a metadata address";
    assert_eq!(log.matches(told).count(), 2, "{log}");
}

/// A lookup that nobody answers ends with the guest, and is in the way of no other.
#[tokio::test]
async fn who_waits_for_a_name_can_go() {
    let host = host().await;
    for guest in [&P2, &P3] {
        let listed = json!({ "allowedIpNameLookups": ["*"] });
        host.run(guest.name, &guest.spec(guest.name, listed)).await;
        {
            let mut connection = host.raw().await;
            let script = guest.resolve("silent.test");
            let request = format!("GET /run?{script} HTTP/1.1\r\nhost: {}\r\n\r\n", guest.name);
            connection.send(request).await;
            host.instances(guest.name, 1).await;
        }
        host.instances(guest.name, 0).await;
        let answers = run(&host, guest.name, &guest.resolve("mixed.test")).await;
        assert_eq!(answers, ["1.1.1.1"]);
    }
}
