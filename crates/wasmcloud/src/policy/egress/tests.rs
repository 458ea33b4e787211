//! Who may go where, under which configuration.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::workload::{RemoteHost, Scheme};

fn policy(allow_private: bool, allow: &[&str]) -> EgressPolicy {
    EgressPolicy::new(EgressOptions {
        mode: EgressMode::Enforce,
        allow_private,
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        ..EgressOptions::default()
    })
}

fn passes(policy: &EgressPolicy, address: &str) -> bool {
    policy.address(address.parse().unwrap()) == Verdict::Allowed
}

#[test]
fn by_default_only_public_addresses_are_reached() {
    let policy = EgressPolicy::default();
    for address in [
        "1.1.1.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2002:101:101::1",
    ] {
        assert!(passes(&policy, address), "{address}");
    }
    for address in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::",
        "fd00:ec2::254",
        "100.100.100.200",
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "64:ff9b::10.0.0.1",
        "192.168.1.1",
        "fd12::1",
        "fe80::1",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "240.0.0.1",
        "::1.1.1.1",
    ] {
        assert!(!passes(&policy, address), "{address}");
    }
}

#[test]
fn private_addresses_can_be_allowed_without_the_services_among_them() {
    let policy = policy(true, &[]);
    for address in [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "fd12::1",
        "64:ff9b:1::10.0.0.1",
        "::ffff:10.0.0.1",
    ] {
        assert!(passes(&policy, address), "{address}");
    }
    for address in [
        "100.100.100.200",
        "fd00:ec2::254",
        "169.254.169.254",
        "::ffff:100.100.100.200",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "127.0.0.1",
        "::1",
        "169.254.1.1",
        "0.0.0.0",
    ] {
        assert!(!passes(&policy, address), "{address}");
    }
}

#[test]
fn a_listed_network_is_reached_whatever_it_is() {
    let policy = policy(false, &["127.0.0.1/32", "10.1.0.0/16", "::1/128"]);
    for address in [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "10.1.2.3",
        "::1",
        "1.1.1.1",
    ] {
        assert!(passes(&policy, address), "{address}");
    }
    for address in ["127.0.0.2", "10.2.0.1", "::127.0.0.1", "169.254.169.254"] {
        assert!(!passes(&policy, address), "{address}");
    }
}

#[test]
fn a_metadata_service_is_listed_by_itself_or_not_at_all() {
    let wide = policy(
        true,
        &["0.0.0.0/0", "::/0", "169.254.0.0/16", "169.254.169.254/31"],
    );
    assert!(passes(&wide, "169.254.1.1"));
    assert!(!passes(&wide, "169.254.169.254"));
    assert!(!passes(&wide, "fd00:ec2::254"));
    assert!(passes(
        &policy(false, &["169.254.169.254/32"]),
        "169.254.169.254"
    ));
}

#[test]
fn a_manifest_that_lists_an_address_does_not_open_it() {
    let to = Destination {
        scheme: Some(Scheme::Http),
        host: RemoteHost::Address(Ipv4Addr::new(10, 0, 0, 1).into()),
        port: 80,
    };
    let policy = EgressPolicy::default();
    assert_eq!(
        policy.host(&["10.0.0.1".parse().unwrap()], &to),
        Verdict::Allowed
    );
    assert!(!passes(&policy, "10.0.0.1"));
}

#[test]
fn denials_say_what_was_wanted_and_what_is_in_the_way() {
    let to = Destination {
        scheme: Some(Scheme::Https),
        host: RemoteHost::Name("example.com".to_owned()),
        port: 8443,
    };
    let policy = EgressPolicy::default();
    let told = |verdict| match verdict {
        Verdict::Denied(denial) => denial.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(
        told(policy.host(&[], &to)),
        "`allowedHosts` does not list https://example.com:8443"
    );
    assert_eq!(
        told(policy.address("10.0.0.1".parse().unwrap())),
        "10.0.0.1 is a private address, which this host does not allow"
    );
    assert_eq!(
        told(policy.address("64:ff9b::169.254.169.254".parse().unwrap())),
        "64:ff9b::a9fe:a9fe leads to 169.254.169.254, which is a metadata address, which this host does not allow"
    );
}

#[test]
fn an_audit_lets_through_and_tells() {
    let policy = EgressPolicy::new(EgressOptions {
        mode: EgressMode::Audit,
        ..EgressOptions::default()
    });
    let verdict = policy.address(Ipv4Addr::LOCALHOST.into());
    assert!(
        matches!(verdict, Verdict::Audited(Denial::Address { .. })),
        "{verdict:?}"
    );
    assert_eq!(
        policy.address(Ipv4Addr::new(1, 1, 1, 1).into()),
        Verdict::Allowed
    );
}

proptest! {
    /// An IPv4 address that may not be reached may not be reached in any of its clothes either.
    #[test]
    fn clothes_do_not_help(address in any::<Ipv4Addr>(), private in any::<bool>()) {
        let policy = policy(private, &[]);
        prop_assume!(policy.address(address.into()) != Verdict::Allowed);
        let [a, b, c, d] = address.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        for dressed in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 0),
            Ipv6Addr::new(0x2001, 0, 0x101, 0x101, 0, 0, !high, !low),
        ] {
            let verdict = policy.address(dressed.into());
            prop_assert!(verdict != Verdict::Allowed, "{} as {}", address, dressed);
        }
    }

    /// Without consent, nothing passes that the standard library knows to be special.
    #[test]
    fn what_the_standard_library_knows_is_known_here(address in any::<Ipv4Addr>()) {
        let special = address.is_private() || address.is_loopback() || address.is_link_local()
            || address.is_multicast() || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
        if special {
            prop_assert!(EgressPolicy::default().address(address.into()) != Verdict::Allowed);
        }
    }
}
