//! Ports of a service that are published on the machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::diagnostic::quoted;

/// The address where a port is published unless the manifest says otherwise.
pub(super) const DEFAULT_HOST_IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The longest name of a port.
const MOST_NAME: usize = 15;

/// A TCP port of the service that can be reached from outside the workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// Its name, unique in the workload.
    pub name: String,
    /// Where the service listens, inside the workload.
    pub container_port: u16,
    /// Where the machine listens. 0, which no manifest can say: the operating system chooses.
    pub host_port: u16,
    /// The address of the machine. The unspecified one: all of its family.
    pub host_ip: IpAddr,
    /// Whether connections from outside speak TLS, which the host then ends: the service sees what was inside.
    pub tls: Option<PortTls>,
}

impl PublishedPort {
    /// Where the machine listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.host_ip, self.host_port)
    }

    /// Checks a name: that of a service in the sense of RFC 6335, as Kubernetes has it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_name(name: &str) -> Result<(), PortNameError> {
        let problem = if name.is_empty() {
            "it is empty"
        } else if name.len() > MOST_NAME {
            "it is longer than 15 characters"
        } else if !name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            "it may hold small letters, digits and `-`"
        } else if name.starts_with('-') || name.ends_with('-') || name.contains("--") {
            "`-` stands alone between letters and digits"
        } else if !name.bytes().any(|b| b.is_ascii_lowercase()) {
            "it needs a letter"
        } else {
            return Ok(());
        };
        Err(PortNameError {
            found: name.to_owned(),
            problem,
        })
    }
}

/// A text that names no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no name of a port: {problem}", quoted(.found))]
pub struct PortNameError {
    found: String,
    problem: &'static str,
}

/// What it takes to end TLS: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortTls {
    /// The certificate, and those between it and one that clients trust. As parsed it is relative to the manifest.
    pub certificate: PathBuf,
    /// The private key of the certificate. As parsed it is relative to the manifest.
    pub key: PathBuf,
}

impl PortTls {
    /// The same with relative paths taken from the folder `base`.
    #[must_use]
    pub fn resolve(&self, base: &Path) -> Self {
        Self {
            certificate: base.join(&self.certificate),
            key: base.join(&self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_services() {
        for name in ["echo", "a", "http-2", "0x", "fifteen-letters"] {
            assert_eq!(PublishedPort::check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "Echo",
            "-a",
            "a-",
            "a--b",
            "80",
            "sixteen-letters-",
            "a_b",
            "ä",
        ] {
            assert!(PublishedPort::check_name(name).is_err(), "{name}");
        }
    }
}
