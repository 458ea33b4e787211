//! The ports of a service that are published on the machine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_saphyr::{Location, Spanned};

use super::checker::Checker;
use super::raw;
use crate::workload::diagnostic::quoted;
use crate::workload::ports::{DEFAULT_HOST_IP, PortTls, PublishedPort};

const PROTOCOL: &str = "TCP";

/// What was there before: names, and addresses of the machine.
#[derive(Default)]
struct Seen {
    names: BTreeMap<String, Location>,
    addresses: BTreeMap<String, Location>,
}

pub(super) fn ports(checker: &mut Checker, list: &raw::List<raw::Port>) -> Vec<PublishedPort> {
    checker.place_field("spec.service", "ports", list.as_ref());
    let mut seen = Seen::default();
    let items = list.iter().flat_map(|list| &list.value);
    items
        .enumerate()
        .filter_map(|(index, item)| port(checker, index, item, &mut seen))
        .collect()
}

fn port(
    checker: &mut Checker,
    index: usize,
    item: &Spanned<raw::Port>,
    seen: &mut Seen,
) -> Option<PublishedPort> {
    let at = item.referenced;
    let raw = &item.value;
    let base = format!("spec.service.ports.{index}");
    checker.place(&base, at);
    checker.place_field(&base, "name", raw.name.as_ref());
    checker.place_field(&base, "containerPort", raw.container_port.as_ref());
    checker.place_field(&base, "hostPort", raw.host_port.as_ref());
    checker.place_field(&base, "hostIP", raw.host_ip.as_ref());
    checker.place_field(&base, "tls", raw.tls.as_ref());
    protocol(checker, raw.protocol.as_ref());
    let name = name(checker, at, raw.name.as_ref(), seen);
    let container = raw.container_port.as_ref();
    let container = checker.required(at, "the port", "containerPort", container);
    let container_port = container.and_then(|number| port_number(checker, number));
    let host_port = match &raw.host_port {
        Some(number) => port_number(checker, number),
        None => container_port,
    };
    let host_ip = host_ip(checker, raw.host_ip.as_ref());
    let tls = match &raw.tls {
        Some(tls) => Some(port_tls(checker, &base, tls)?),
        None => None,
    };
    let port = PublishedPort {
        name: name?,
        container_port: container_port?,
        host_port: host_port?,
        host_ip: host_ip?,
        tls,
    };
    let addr = port.addr().to_string();
    let place = raw
        .host_port
        .as_ref()
        .or(container)
        .map(|number| number.referenced);
    checker.unique(
        &mut seen.addresses,
        addr.clone(),
        &format!("a port at {addr}"),
        place.unwrap_or(at),
    );
    Some(port)
}

fn name(
    checker: &mut Checker,
    at: Location,
    name: Option<&Spanned<String>>,
    seen: &mut Seen,
) -> Option<String> {
    let name = checker.required(at, "the port", "name", name)?;
    if let Err(error) = PublishedPort::check_name(&name.value) {
        let hint = "write a short name such as `echo`";
        checker.error(name.referenced, error.to_string(), Some(hint));
        return None;
    }
    let what = format!("a port called {}", quoted(&name.value));
    checker.unique(&mut seen.names, name.value.clone(), &what, name.referenced);
    Some(name.value.clone())
}

fn protocol(checker: &mut Checker, protocol: Option<&Spanned<String>>) {
    let Some(protocol) = protocol else { return };
    match protocol.value.as_str() {
        PROTOCOL => {}
        "UDP" => {
            let message =
                "UDP ports cannot be published; a service has UDP inside its workload only";
            checker.error(
                protocol.referenced,
                message,
                Some("publish a TCP port, or remove the entry"),
            );
        }
        _ => checker.unknown(
            protocol,
            "is no protocol that can be published",
            &[PROTOCOL],
        ),
    }
}

fn port_number(checker: &mut Checker, number: &Spanned<i64>) -> Option<u16> {
    let port = u16::try_from(number.value).ok().filter(|port| *port > 0);
    if port.is_none() {
        let message = format!("found {}, wanted a port: 1 to 65535", number.value);
        checker.error(number.referenced, message, None);
    }
    port
}

fn host_ip(checker: &mut Checker, text: Option<&Spanned<String>>) -> Option<IpAddr> {
    let Some(text) = text else {
        return Some(DEFAULT_HOST_IP);
    };
    match text.value.parse::<IpAddr>() {
        Ok(ip) => Some(ip.to_canonical()),
        Err(_) => {
            let message = format!(
                "found {}, wanted an IP address of the machine",
                quoted(&text.value)
            );
            let hint = "write an address such as `127.0.0.1`, or `0.0.0.0` for all of them";
            checker.error(text.referenced, message, Some(hint));
            None
        }
    }
}

fn port_tls(checker: &mut Checker, base: &str, tls: &Spanned<raw::PortTls>) -> Option<PortTls> {
    let base = format!("{base}.tls");
    let raw = &tls.value;
    checker.place_field(&base, "certificate", raw.certificate.as_ref());
    checker.place_field(&base, "key", raw.key.as_ref());
    let mut file = |field, path: &raw::Text| {
        let path = checker.required(tls.referenced, "`tls`", field, path.as_ref())?;
        if path.value.is_empty() || path.value.contains('\0') {
            let message = format!("found {}, wanted a file in PEM", quoted(&path.value));
            checker.error(
                path.referenced,
                message,
                Some("write its path, relative to the manifest"),
            );
            return None;
        }
        Some(path.value.clone().into())
    };
    let (certificate, key) = (file("certificate", &raw.certificate), file("key", &raw.key));
    Some(PortTls {
        certificate: certificate?,
        key: key?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]
    use std::path::Path;

    use super::super::parse;
    use super::*;

    fn manifest(ports: &str) -> String {
        format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{name: ported}}\n\
             spec:\n  service:\n    image: ./echo.wasm\n    ports:\n{ports}"
        )
    }

    fn good(ports: &str) -> Vec<PublishedPort> {
        let mut manifests = parse(&manifest(ports), Path::new("a.yaml")).unwrap();
        let workload = manifests.remove(0).workload;
        let printed = workload.to_manifest().to_string();
        let again = parse(&printed, Path::new("a.json")).unwrap();
        assert_eq!(again[0].workload, workload);
        workload.service.unwrap().ports
    }

    fn bad(ports: &str) -> String {
        let errors = parse(&manifest(ports), Path::new("a.yaml")).unwrap_err();
        errors.to_string()
    }

    #[test]
    fn a_port_is_published_on_loopback_under_its_own_number() {
        let ports = good("    - {name: echo, containerPort: 7070}\n");
        let echo = PublishedPort {
            name: "echo".to_owned(),
            container_port: 7070,
            host_port: 7070,
            host_ip: DEFAULT_HOST_IP,
            tls: None,
        };
        assert_eq!(ports, [echo]);
    }

    #[test]
    fn everything_about_a_port_reads_as_written() {
        let ports = good(
            "    - {name: plain, containerPort: 7070, hostPort: 70, hostIP: 0.0.0.0, protocol: TCP}\n    \
                 - {name: secret, containerPort: 7070, hostPort: 71, hostIP: '::', tls: {certificate: tls/a.pem, key: /b.pem}}\n    \
                 - {name: mapped, containerPort: 7070, hostIP: '::ffff:10.0.0.1'}\n",
        );
        assert_eq!(ports[0].addr().to_string(), "0.0.0.0:70");
        assert_eq!(ports[1].addr().to_string(), "[::]:71");
        assert_eq!(ports[2].addr().to_string(), "10.0.0.1:7070");
        let tls = ports[1]
            .tls
            .as_ref()
            .unwrap()
            .resolve(Path::new("/srv/app"));
        assert_eq!(tls.certificate, Path::new("/srv/app/tls/a.pem"));
        assert_eq!(tls.key, Path::new("/b.pem"));
    }

    #[test]
    fn a_port_that_cannot_be_is_told_with_its_place() {
        let cases = [
            ("{containerPort: 1}", "the port has no `name`"),
            ("{name: a}", "the port has no `containerPort`"),
            ("{name: A, containerPort: 1}", "small letters"),
            ("{name: a, containerPort: 0}", "found 0, wanted a port"),
            (
                "{name: a, containerPort: 65536}",
                "found 65536, wanted a port",
            ),
            (
                "{name: a, containerPort: 1, hostPort: 0}",
                "found 0, wanted a port",
            ),
            (
                "{name: a, containerPort: 1, hostPort: -1}",
                "found -1, wanted a port",
            ),
            (
                "{name: a, containerPort: 1, hostIP: localhost}",
                "wanted an IP address",
            ),
            (
                "{name: a, containerPort: 1, protocol: UDP}",
                "UDP ports cannot be published",
            ),
            (
                "{name: a, containerPort: 1, protocol: tcp}",
                "did you mean `TCP`?",
            ),
            (
                "{name: a, containerPort: 1, tls: {key: k}}",
                "`tls` has no `certificate`",
            ),
            (
                "{name: a, containerPort: 1, tls: {certificate: c}}",
                "`tls` has no `key`",
            ),
            (
                "{name: a, containerPort: 1, tls: {certificate: '', key: k}}",
                "wanted a file in PEM",
            ),
            ("{name: a, containerPort: 1, hostIp: 127.0.0.1}", "hostIP"),
        ];
        for (port, expected) in cases {
            let errors = bad(&format!("    - {port}\n"));
            assert!(errors.contains(expected), "{port}: {errors}");
            assert!(errors.contains("a.yaml:8:"), "{errors}");
        }
    }

    #[test]
    fn a_port_published_twice_names_the_place_of_the_first() {
        let errors = bad(
            "    - {name: one, containerPort: 70}\n    - {name: two, containerPort: 71, hostPort: 70}\n",
        );
        assert!(
            errors.contains("a port at 127.0.0.1:70 is already there at 8:"),
            "{errors}"
        );
        assert!(errors.contains("a.yaml:9:"), "{errors}");
        let errors =
            bad("    - {name: one, containerPort: 70}\n    - {name: one, containerPort: 71}\n");
        assert!(
            errors.contains("a port called `one` is already there at 8:"),
            "{errors}"
        );
        let other = "hostIP: 127.0.0.2";
        let ports = good(&format!(
            "    - {{name: one, containerPort: 70}}\n    - {{name: two, containerPort: 70, {other}}}\n"
        ));
        assert_eq!(ports.len(), 2);
    }
}
