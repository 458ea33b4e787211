//! Entries of `allowedHosts`: what each lets through, and what is none.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

/// A destination from a URL; without a scheme, a socket's.
fn to(text: &str) -> Destination {
    let (scheme, rest) = text
        .split_once("://")
        .map_or((None, text), |(scheme, rest)| {
            (Some(read_scheme(scheme).unwrap()), rest)
        });
    let (host, port) = split_port(rest).unwrap();
    Destination {
        scheme,
        host: RemoteHost::parse(host).unwrap(),
        port: port.unwrap_or_else(|| scheme.unwrap().default_port()),
    }
}

/// Entries, what each lets through, and what not.
const FORMS_OF_ENTRIES: [(&str, &[&str], &[&str]); 12] = [
    ("*", &["http://a", "https://[::1]:1", "10.0.0.1:5432"], &[]),
    (
        "example.com",
        &[
            "http://example.com",
            "https://EXAMPLE.com.:8443",
            "example.com:25",
        ],
        &[
            "http://a.example.com",
            "http://example.com.evil.net",
            "http://xexample.com",
        ],
    ),
    (
        "Example.com:8080",
        &["http://example.com:8080", "https://example.com:8080"],
        &["http://example.com", "http://example.com:8081"],
    ),
    (
        "https://example.com",
        &["https://example.com", "https://example.com:8443"],
        &["http://example.com", "example.com:443"],
    ),
    (
        "HTTPS://example.com:443/",
        &["https://example.com"],
        &["https://example.com:8443"],
    ),
    (
        "http://example.com/",
        &["http://example.com"],
        &["https://example.com"],
    ),
    (
        "*.example.com",
        &["http://a.example.com", "https://a.b.example.com:1"],
        &[
            "http://example.com",
            "http://notexample.com",
            "http://a.example.com.evil.net",
        ],
    ),
    (
        "https://*.example.com:8443",
        &["https://a.example.com:8443"],
        &["https://a.example.com", "http://a.example.com:8443"],
    ),
    (
        "localhost",
        &["http://localhost:9"],
        &["http://127.0.0.1:9"],
    ),
    (
        "192.0.2.1",
        &["http://192.0.2.1", "192.0.2.1:53"],
        &["http://192.0.2.10"],
    ),
    (
        "[2001:db8::1]:443",
        &["https://[2001:DB8:0::1]"],
        &["http://[2001:db8::1]"],
    ),
    (
        "[::ffff:192.0.2.1]",
        &["http://192.0.2.1"],
        &["http://192.0.2.2"],
    ),
];

#[test]
fn each_form_lets_through_what_it_says() {
    for (entry, through, held) in FORMS_OF_ENTRIES {
        let entry: AllowedHost = entry.parse().unwrap();
        for url in through {
            assert!(entry.allows(&to(url)), "{entry} should let {url} through");
        }
        for url in held {
            assert!(
                !entry.allows(&to(url)),
                "{entry} should not let {url} through"
            );
        }
    }
}

#[test]
fn what_is_no_entry_is_told() {
    for (entry, wanted) in [
        ("", "has no host"),
        ("https://", "has no host"),
        (":80", "has no host"),
        ("*foo", "has a `*` where none can be"),
        ("*.*.example.com", "has a `*` where none can be"),
        ("a.*.com", "has a `*` where none can be"),
        ("https://*", "has a `*` where none can be"),
        ("*:443", "has a `*` where none can be"),
        ("ftp://example.com", "has a scheme that no request has"),
        ("example.com/", "has more than a host"),
        ("https://example.com/path", "has more than a host"),
        ("https://example.com//", "has more than a host"),
        ("https://example.com?q", "has more than a host"),
        ("example.com#f", "has more than a host"),
        ("user@example.com", "has a user in it"),
        ("example.com:", "has no port behind its `:`"),
        ("example.com:0", "has no port behind its `:`"),
        ("example.com:65536", "has no port behind its `:`"),
        ("example.com:+80", "has no port behind its `:`"),
        ("example.com::80", "has no port behind its `:`"),
        ("example.com:80:80", "has no port behind its `:`"),
        ("::1", "is an IPv6 address without brackets"),
        ("[::1", "has no port behind its `:`"),
        ("[::1]x", "has no valid host"),
        ("[127.0.0.1]", "has no valid host"),
        ("[fe80::1%eth0]", "has no valid host"),
        ("127.1", "is neither a name nor an address"),
        ("0x7f000001", "is neither a name nor an address"),
        ("2130706433", "is neither a name nor an address"),
        ("*.127.0.0.1", "has a `*.` before an address"),
        ("*.", "has no valid host"),
        ("a..b", "has no valid host"),
        ("-a.example", "has no valid host"),
        ("a b", "has no valid host"),
        ("exämple.com", "has letters that DNS does not know"),
    ] {
        let error = entry.parse::<AllowedHost>().unwrap_err();
        assert!(error.to_string().ends_with(wanted), "{entry:?}: {error}");
        assert!(!error.hint.is_empty(), "{entry:?}");
    }
}

#[test]
fn destinations_are_told_without_the_port_that_goes_without_saying() {
    for url in ["https://example.com", "http://[::1]:8080", "192.0.2.1:53"] {
        assert_eq!(to(url).to_string(), url);
    }
    assert_eq!(
        to("http://example.com:80").to_string(),
        "http://example.com"
    );
}

fn entry() -> impl Strategy<Value = AllowedHost> {
    let label = "[a-z]([a-z0-9-]{0,8}[a-z])?";
    let name = proptest::collection::vec(label, 1..4).prop_map(|labels| labels.join("."));
    let host = prop_oneof![
        name.clone()
            .prop_map(|name| HostPattern::Exact(RemoteHost::Name(name))),
        name.prop_map(HostPattern::Below),
        any::<IpAddr>().prop_map(|ip| HostPattern::Exact(RemoteHost::Address(ip.to_canonical()))),
    ];
    let scheme = prop_oneof![
        Just(None),
        Just(Some(Scheme::Http)),
        Just(Some(Scheme::Https))
    ];
    let port = proptest::option::of(1..=u16::MAX);
    (scheme, host, port).prop_map(|(scheme, host, port)| AllowedHost::Matching {
        scheme,
        host,
        port,
    })
}

proptest! {
    #[test]
    fn an_entry_is_the_same_when_it_is_read_again(entry in entry()) {
        prop_assert_eq!(entry.to_string().parse::<AllowedHost>(), Ok(entry));
    }

    #[test]
    fn no_text_is_too_strange(text in ".{0,40}") {
        let _ = text.parse::<AllowedHost>();
    }
}
