//! Where a component may send requests: the entries of `allowedHosts`, parsed and matched.
//!
//! An entry is `*`, `host[:port]`, `scheme://host[:port][/]` or `[scheme://]*.suffix[:port]`; a host is a name or an IP address,
//! an IPv6 address in brackets. What an entry does not name, it leaves open: without a port, every port is meant.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::diagnostic::quoted;

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it stands before `://`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is named.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host as somebody names it: in lower case, without the dot that may end a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemoteHost {
    /// A name to look up.
    Name(String),
    /// An address. IPv4 addresses in IPv6 clothes (`::ffff:a.b.c.d`) are the IPv4 addresses.
    Address(IpAddr),
}

impl RemoteHost {
    /// Reads a host as it stands in an authority, an IPv6 address in brackets. `None`: neither a name nor an address. Names may
    /// hold `_`, which some services use.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let address: Ipv6Addr = inner.parse().ok()?;
            return Some(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(IpAddr::V4(address)));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        is_name(name).then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for RemoteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=253).contains(&text.len()) && text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(inner)
}

/// Some programs read `127.1` and `0x7f000001` as addresses, so a name that ends in a number could be more than it seems.
pub(super) fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => last.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Where somebody wants to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// How the host is spoken to; `None` for what is no request, such as a plain socket.
    pub scheme: Option<Scheme>,
    /// The host.
    pub host: RemoteHost,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{}", self.host)?;
        match self.scheme {
            Some(scheme) if scheme.default_port() == self.port => Ok(()),
            _ => write!(f, ":{}", self.port),
        }
    }
}

/// One entry of `allowedHosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// Every host.
    Any,
    /// Hosts of a pattern.
    Matching {
        /// The scheme; `None`: each.
        scheme: Option<Scheme>,
        /// The host.
        host: HostPattern,
        /// The port; `None`: each.
        port: Option<u16>,
    },
}

/// The host in an entry of `allowedHosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one.
    Exact(RemoteHost),
    /// Every name below this one, at any depth, and not the name itself.
    Below(String),
}

impl HostPattern {
    /// Whether a host is one of those that the pattern stands for.
    #[must_use]
    pub fn matches(&self, host: &RemoteHost) -> bool {
        match (self, host) {
            (Self::Exact(wanted), host) => wanted == host,
            (Self::Below(suffix), RemoteHost::Name(name)) => name
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            (Self::Below(_), RemoteHost::Address(_)) => false,
        }
    }
}

/// As it is written in a manifest.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl AllowedHost {
    /// Whether the entry is about a destination.
    #[must_use]
    pub fn allows(&self, to: &Destination) -> bool {
        let Self::Matching { scheme, host, port } = self else {
            return true;
        };
        host.matches(&to.host)
            && scheme.is_none_or(|scheme| to.scheme == Some(scheme))
            && port.is_none_or(|port| to.port == port)
    }
}

/// As it is written in a manifest.
impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Matching { scheme, host, port } = self else {
            return f.write_str("*");
        };
        if let Some(scheme) = scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{host}")?;
        match port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// An entry of `allowedHosts` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {problem}", quoted(found))]
pub struct AllowedHostError {
    found: String,
    problem: &'static str,
    /// What to do about it.
    pub hint: String,
}

const FORMS: &str = "wanted `*`, `host`, `host:port`, `https://host`, `*.example.com` or `https://*.example.com:8443`";

impl FromStr for AllowedHost {
    type Err = AllowedHostError;

    fn from_str(text: &str) -> Result<Self, AllowedHostError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        read(text).map_err(|(problem, hint)| AllowedHostError {
            found: text.to_owned(),
            problem,
            hint: hint.unwrap_or_else(|| FORMS.to_owned()),
        })
    }
}

/// What is wrong, and what to do about it where that is more than to write one of the forms.
pub(super) type Wrong = (&'static str, Option<String>);

fn read(text: &str) -> Result<AllowedHost, Wrong> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(read_scheme(scheme)?), rest),
        None => (None, text),
    };
    let rest = match scheme {
        Some(_) => rest.strip_suffix('/').unwrap_or(rest),
        None => rest,
    };
    if rest.contains(['/', '?', '#']) {
        let hint = "requests are allowed by host, not by path; leave out what comes after the host";
        return Err(("has more than a host", Some(hint.to_owned())));
    }
    if rest.contains('@') {
        return Err((
            "has a user in it",
            Some("leave out what comes before the `@`".to_owned()),
        ));
    }
    let (host, port) = split_port(rest)?;
    Ok(AllowedHost::Matching {
        scheme,
        host: read_host(host)?,
        port,
    })
}

fn read_scheme(text: &str) -> Result<Scheme, Wrong> {
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
        .ok_or_else(|| {
            let hint = "write `http://` or `https://`, or leave the scheme out for both";
            ("has a scheme that no request has", Some(hint.to_owned()))
        })
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), Wrong> {
    let after_address = text.rfind(']').map_or(0, |end| end + 1);
    let (_, tail) = text.split_at(after_address);
    if after_address == 0 && text.parse::<Ipv6Addr>().is_ok() {
        return Err((
            "is an IPv6 address without brackets",
            Some(format!("write `[{text}]`")),
        ));
    }
    let Some(colon) = tail.find(':') else {
        return Ok((text, None));
    };
    let (host, port) = text.split_at(after_address + colon);
    let digits = port.trim_start_matches(':');
    let number = (port.len() == digits.len() + 1 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|port| *port > 0);
    match number {
        Some(port) => Ok((host, Some(port))),
        None => Err((
            "has no port behind its `:`",
            Some("wanted a number from 1 to 65535".to_owned()),
        )),
    }
}

pub(super) fn read_host(text: &str) -> Result<HostPattern, Wrong> {
    if text.is_empty() {
        return Err(("has no host", None));
    }
    let (suffix, name) = match text.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, text),
    };
    if name.contains('*') {
        let hint = "a `*` stands alone, or as `*.` before a name";
        return Err(("has a `*` where none can be", Some(hint.to_owned())));
    }
    if !name.is_ascii() {
        let hint = "write the name as DNS has it, with `xn--`";
        return Err(("has letters that DNS does not know", Some(hint.to_owned())));
    }
    match RemoteHost::parse(name) {
        Some(RemoteHost::Name(name)) if ends_in_a_number(&name) => {
            let hint = "write an IPv4 address as four decimal numbers, such as `192.0.2.1`";
            Err(("is neither a name nor an address", Some(hint.to_owned())))
        }
        Some(RemoteHost::Name(name)) if suffix => Ok(HostPattern::Below(name)),
        Some(RemoteHost::Address(_)) if suffix => {
            let hint = "write the address alone; there is nothing below it";
            Err(("has a `*.` before an address", Some(hint.to_owned())))
        }
        Some(host) => Ok(HostPattern::Exact(host)),
        None => Err(("has no valid host", None)),
    }
}

#[cfg(test)]
mod tests;
