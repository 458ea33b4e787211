//! What else of the outside a component may reach: names that it may look up, and ports of the machine itself.
//!
//! A name is `*`, `name`, `*.suffix` or an IP address; a port is `port`, `port/tcp` or `port/udp`.

use std::fmt;
use std::str::FromStr;

use super::diagnostic::quoted;
use super::egress::{HostPattern, RemoteHost, Wrong, ends_in_a_number, read_host};

/// One entry of `allowedIpNameLookups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedName {
    /// Every name.
    Any,
    /// Names of a pattern.
    Matching(HostPattern),
}

impl AllowedName {
    /// Whether the entry is about a name.
    #[must_use]
    pub fn allows(&self, name: &RemoteHost) -> bool {
        match self {
            Self::Any => true,
            Self::Matching(pattern) => pattern.matches(name),
        }
    }
}

/// As it is written in a manifest.
impl fmt::Display for AllowedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Matching(pattern) => write!(f, "{pattern}"),
        }
    }
}

/// An entry of `allowedIpNameLookups` or `allowedHostLoopbackPorts` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {problem}", quoted(found))]
pub struct ReachError {
    found: String,
    problem: &'static str,
    /// What to do about it.
    pub hint: String,
}

impl ReachError {
    fn new(found: &str, (problem, hint): Wrong, otherwise: &str) -> Self {
        Self {
            found: found.to_owned(),
            problem,
            hint: hint.unwrap_or_else(|| otherwise.to_owned()),
        }
    }
}

impl FromStr for AllowedName {
    type Err = ReachError;

    fn from_str(text: &str) -> Result<Self, ReachError> {
        const FORMS: &str = "wanted `*`, `db.example.com` or `*.example.com`";
        if text == "*" {
            return Ok(Self::Any);
        }
        let wrong = |wrong| ReachError::new(text, wrong, FORMS);
        if text.contains("://") || text.contains('/') {
            let hint = "names are looked up without a scheme or a path; leave them out";
            return Err(wrong(("has more than a name", Some(hint.to_owned()))));
        }
        let bare = text.parse::<std::net::Ipv6Addr>().is_ok();
        if text.contains(':') && !bare && !text.starts_with('[') {
            let hint = "names are looked up whatever the port; leave the port out";
            return Err(wrong(("has a port", Some(hint.to_owned()))));
        }
        let bracketed = if bare {
            format!("[{text}]")
        } else {
            text.to_owned()
        };
        read_host(&bracketed).map(Self::Matching).map_err(wrong)
    }
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One entry of `allowedHostLoopbackPorts`: a port of the machine's own loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Its number, never 0.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
}

/// As it is written in a manifest.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Protocol::Tcp => write!(f, "{}", self.port),
            Protocol::Udp => write!(f, "{}/udp", self.port),
        }
    }
}

impl FromStr for HostPort {
    type Err = ReachError;

    fn from_str(text: &str) -> Result<Self, ReachError> {
        const FORMS: &str =
            "wanted a number from 1 to 65535, such as `5432`, or with a protocol, such as `53/udp`";
        let wrong = |problem| ReachError::new(text, (problem, None), FORMS);
        let (number, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((number, "tcp")) => (number, Protocol::Tcp),
            Some((number, "udp")) => (number, Protocol::Udp),
            Some(_) => return Err(wrong("has a protocol that is neither `tcp` nor `udp`")),
        };
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let port = digits.then(|| number.parse().ok()).flatten();
        match port.filter(|port| *port > 0) {
            Some(port) => Ok(Self { port, protocol }),
            None => Err(wrong("is no port")),
        }
    }
}

impl RemoteHost {
    /// Reads a host that somebody wants to look up: a name in ASCII, or an address, an IPv6 address with or without brackets. `None`:
    /// neither, or something like `127.1`, which some programs read as an address.
    #[must_use]
    pub fn to_look_up(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        match Self::parse(text)? {
            Self::Name(name) if ends_in_a_number(&name) => None,
            host => Some(host),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn allows(entry: &str, name: &str) -> bool {
        let entry: AllowedName = entry.parse().unwrap();
        entry.allows(&RemoteHost::to_look_up(name).unwrap())
    }

    #[test]
    fn names_are_allowed_by_pattern() {
        assert!(allows("*", "example.com") && allows("*", "192.0.2.1"));
        assert!(allows("Example.COM.", "example.com"));
        assert!(allows("*.example.com", "a.b.example.com"));
        assert!(!allows("*.example.com", "example.com"));
        assert!(!allows("example.com", "a.example.com"));
        assert!(!allows("*.example.com", "badexample.com"));
        assert!(allows("2001:db8::1", "[2001:db8:0::1]"));
        assert!(allows("[2001:db8::1]", "2001:db8::1"));
    }

    #[test]
    fn entries_read_as_they_are_written() {
        for text in ["*", "example.com", "*.example.com", "192.0.2.1"] {
            assert_eq!(text.parse::<AllowedName>().unwrap().to_string(), text);
        }
        for text in ["5432", "53/udp"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        assert_eq!("80/tcp".parse::<HostPort>().unwrap().to_string(), "80");
    }

    #[test]
    fn what_is_no_name_says_why() {
        let told = |text: &str| {
            let error = text.parse::<AllowedName>().unwrap_err();
            format!("{error}; {}", error.hint)
        };
        insta::assert_snapshot!(
            ["", "https://example.com", "example.com:53", "exam*ple.com", "a b", "127.1", "bücher.example"]
                .map(told)
                .join("\n"),
            @r"
        `` has no host; wanted `*`, `db.example.com` or `*.example.com`
        `https://example.com` has more than a name; names are looked up without a scheme or a path; leave them out
        `example.com:53` has a port; names are looked up whatever the port; leave the port out
        `exam*ple.com` has a `*` where none can be; a `*` stands alone, or as `*.` before a name
        `a b` has no valid host; wanted `*`, `db.example.com` or `*.example.com`
        `127.1` is neither a name nor an address; write an IPv4 address as four decimal numbers, such as `192.0.2.1`
        `bücher.example` has letters that DNS does not know; write the name as DNS has it, with `xn--`
        "
        );
    }

    #[test]
    fn what_is_no_port_says_why() {
        let told = |text: &str| {
            let error = text.parse::<HostPort>().unwrap_err();
            format!("{error}; {}", error.hint)
        };
        insta::assert_snapshot!(
            ["", "0", "65536", "+80", "80/sctp", "-1"].map(told).join("\n"),
            @r"
        `` is no port; wanted a number from 1 to 65535, such as `5432`, or with a protocol, such as `53/udp`
        `0` is no port; wanted a number from 1 to 65535, such as `5432`, or with a protocol, such as `53/udp`
        `65536` is no port; wanted a number from 1 to 65535, such as `5432`, or with a protocol, such as `53/udp`
        `+80` is no port; wanted a number from 1 to 65535, such as `5432`, or with a protocol, such as `53/udp`
        `80/sctp` has a protocol that is neither `tcp` nor `udp`; wanted a number from 1 to 65535, such as `5432`, or with a protocol, such as `53/udp`
        `-1` is no port; wanted a number from 1 to 65535, such as `5432`, or with a protocol, such as `53/udp`
        "
        );
    }

    #[test]
    fn what_could_be_read_as_an_address_is_no_name() {
        for text in [
            "127.1",
            "0x7f000001",
            "1",
            "example.0x1",
            "a..b",
            "",
            "[1::2",
            "a b",
        ] {
            assert_eq!(RemoteHost::to_look_up(text), None, "{text}");
        }
        let mapped = RemoteHost::to_look_up("::ffff:192.0.2.1").unwrap();
        assert_eq!(mapped.to_string(), "192.0.2.1");
    }
}
