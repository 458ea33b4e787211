//! The service of a project that has no manifest: which component it is, and which of its ports are published.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_saphyr::Spanned;
use wasmcloud::engine::inspect::World;
use wasmcloud::engine::plan::Offers;
use wasmcloud::workload::{Image, Interface, PublishedPort};

use super::Built;
use super::config::Checker;
use super::part::{Part, Written};
use super::raw;
use crate::failure::Failure;

/// The keys that name a service beside the project's own components.
const FILE: &str = "dev.service_file";
const IMAGE: &str = "dev.service_image";
/// What a program exports that runs for as long as it likes.
const RUNS: [&str; 2] = ["wasi:cli/run@0.3.0", "wasi:cli/run@0.2.0"];

/// What the configuration says about the service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceSettings {
    /// Whether one of the project's own components is the service, where that does not follow from what it exports.
    pub(crate) own: Option<bool>,
    /// A component that is the service beside them.
    pub(crate) named: Option<Part>,
    /// Which of its ports are published on this machine.
    pub(crate) ports: Vec<Ports>,
}

/// A port of the service and where it is published, always on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The port of this machine.
    pub(crate) host: u16,
    /// The port inside the workload.
    pub(crate) inside: u16,
}

impl Ports {
    /// The way a manifest says it.
    pub(super) fn published(&self) -> PublishedPort {
        PublishedPort {
            name: format!("port-{}", self.host),
            container_port: self.inside,
            host_port: self.host,
            host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tls: None,
        }
    }
}

/// One of `service_ports` as it is written: a number or a text.
#[derive(Debug)]
pub(super) struct Port(String);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Port;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port such as `7070`, or a text such as \"8080:7070\"")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Port, E> {
                Ok(Port(number.to_string()))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Port, E> {
                Ok(Port(number.to_string()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Port, E> {
                Ok(Port(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// Reads what the configuration says.
pub(super) fn settings(checker: &mut Checker, dev: &raw::Dev) -> ServiceSettings {
    let own = dev.service.as_ref().map(|own| own.value);
    let written = Written {
        file: (FILE, dev.service_file.as_ref()),
        image: (IMAGE, dev.service_image.as_ref()),
        policy: ("dev.service_pull_policy", dev.service_pull_policy.as_ref()),
    };
    for (key, at) in [written.file, written.image] {
        if let (Some(true), Some(at)) = (own, at) {
            let message = format!(
                "`dev.service` says that the project's own component is the service, and `{key}` names another one"
            );
            let hint = "a workload has one service; remove one of the two";
            checker.error(at, message, hint);
        }
    }
    ServiceSettings {
        own,
        named: written.read(checker),
        ports: ports(checker, dev.service_ports.as_ref()),
    }
}

fn ports(checker: &mut Checker, list: Option<&Spanned<Vec<Spanned<Port>>>>) -> Vec<Ports> {
    let mut seen = BTreeMap::new();
    let mut ports = Vec::new();
    for item in list.iter().flat_map(|list| &list.value) {
        let read = match read(&item.value.0) {
            Ok(read) => read,
            Err(problem) => {
                let message = format!("`{}` {problem}", item.value.0);
                let hint = "write a port from 1 to 65535, such as `7070`, or two, such as \"8080:7070\": \
                            that of this machine, then that of the service";
                checker.error(item, message, hint);
                continue;
            }
        };
        if let Some(line) = seen.insert(read.host, item.referenced.line()) {
            let message = format!(
                "port {} of this machine is taken by the entry at line {line}",
                read.host
            );
            checker.error(item, message, "choose another port of this machine");
            continue;
        }
        ports.push(read);
    }
    ports
}

fn read(text: &str) -> Result<Ports, &'static str> {
    let (host, inside) = match text.split_once(':') {
        None => (text, text),
        Some((_, inside)) if inside.contains(':') => {
            return Err("has an address; ports are published on 127.0.0.1 only");
        }
        Some(both) => both,
    };
    Ok(Ports {
        host: number(host)?,
        inside: number(inside)?,
    })
}

fn number(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|port| digits && *port > 0);
    number.ok_or("is no port")
}

/// The component that is the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chosen<'a> {
    /// One of those that were built, by its place in the list.
    Built(usize),
    /// The one that the configuration names.
    Named(&'a Part),
}

/// Which component is the service: the one that the configuration names, or else the one that runs by itself and answers nobody.
pub(super) fn choose<'a>(
    settings: &'a ServiceSettings,
    built: &[Built],
    offers: &Offers,
) -> Result<Option<Chosen<'a>>, Failure> {
    let own = match settings.own {
        Some(true) => Some(asked_for(built, offers)?),
        Some(false) => None,
        None => obvious(built, offers)?,
    };
    let chosen = match (own, &settings.named) {
        (Some(own), Some(named)) => return Err(both(built, own, named)),
        (Some(own), None) => Some(Chosen::Built(own)),
        (None, named) => named.as_ref().map(Chosen::Named),
    };
    if chosen.is_none() && !settings.ports.is_empty() {
        let message =
            "`dev.service_ports` publishes ports of the service, and this project has none";
        let hint = "a component that exports `wasi:cli/run` and no handler is the service; for another one, set `dev.service`, `dev.service_file` or `dev.service_image`";
        return Err(Failure::new(message).hint(hint));
    }
    Ok(chosen)
}

/// The one component that runs by itself and does not answer the outside.
fn obvious(built: &[Built], offers: &Offers) -> Result<Option<usize>, Failure> {
    let services = places(built, |world| runs(world) && !answers(world, offers));
    match services.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => {
            let hint = "a workload has one service; write a workload.yaml that says which of them runs, or set `dev.service: false` if none of them does";
            Err(several(built, &services).hint(hint))
        }
    }
}

/// The one component that could be the service, because the configuration says that there is one.
fn asked_for(built: &[Built], offers: &Offers) -> Result<usize, Failure> {
    let runs = places(built, runs);
    let answers = places(built, |world| answers(world, offers));
    let candidates = if runs.is_empty() { answers } else { runs };
    match candidates.as_slice() {
        [one] => Ok(*one),
        [] => {
            let message = "`dev.service` says that there is a service, and no component could be it: none exports `wasi:cli/run` or a handler";
            Err(Failure::new(message).hint("export `wasi:cli/run`, as every program with a `main` does, or remove `dev.service`"))
        }
        several_of_them => {
            let hint =
                "a workload has one service; write a workload.yaml that says which of them it is";
            Err(several(built, several_of_them).hint(hint))
        }
    }
}

fn places(built: &[Built], is_one: impl Fn(&World) -> bool) -> Vec<usize> {
    let all = built.iter().enumerate();
    all.filter(|(_, one)| is_one(&one.inspected.world))
        .map(|(place, _)| place)
        .collect()
}

fn runs(world: &World) -> bool {
    let mut wanted = RUNS.iter().filter_map(|run| run.parse::<Interface>().ok());
    wanted.any(|run| world.exporting(&run).is_some())
}

fn answers(world: &World, offers: &Offers) -> bool {
    let mut calls = offers.calls.iter().flat_map(|calls| &calls.exports);
    calls.any(|call| world.exporting(call).is_some())
}

fn several(built: &[Built], services: &[usize]) -> Failure {
    let names: Vec<String> = services
        .iter()
        .filter_map(|place| built.get(*place))
        .map(|one| format!("`{}`", one.name))
        .collect();
    Failure::new(format!(
        "{} components could be the service of the workload: {}",
        names.len(),
        names.join(", ")
    ))
}

fn both(built: &[Built], own: usize, named: &Part) -> Failure {
    let key = match named.image {
        Image::File(_) => FILE,
        Image::Registry(_) => IMAGE,
    };
    let name = built.get(own).map_or("", |one| one.name.as_str());
    let message = format!(
        "there are two services: the component `{name}`, which exports `wasi:cli/run` and no handler, and {named}, which `{key}` names"
    );
    Failure::new(message).hint(format!(
        "a workload has one service; remove `{key}`, or set `dev.service: false` if the project's own component is none"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wasmcloud::engine::inspect::{Extern, ExternKind, Inspected};
    use wasmcloud::engine::plan::Calls;

    use super::*;

    const RUN: &str = "wasi:cli/run@0.2.6";
    const HANDLER: &str = "wasi:http/handler@0.3.0";

    #[test]
    fn ports_are_numbers_or_pairs() {
        let ports = |host, inside| Ok(Ports { host, inside });
        assert_eq!(read("7070"), ports(7070, 7070));
        assert_eq!(read("8080:7070"), ports(8080, 7070));
        for (text, wanted) in [
            ("", "is no port"),
            ("0", "is no port"),
            ("65536", "is no port"),
            ("+1", "is no port"),
            ("80:", "is no port"),
            ("-1", "is no port"),
            ("80/udp", "is no port"),
            ("0.0.0.0:80:80", "has an address"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.starts_with(wanted), "{text}: {problem}");
        }
    }

    fn offers() -> Offers {
        Offers {
            answers: Vec::new(),
            calls: vec![Calls {
                plugin: "http",
                exports: vec![HANDLER.parse().unwrap()],
                every: false,
            }],
            ..Offers::default()
        }
    }

    fn built(name: &str, exports: &[&str]) -> Built {
        let export = |text: &&str| Extern {
            name: (*text).to_owned(),
            kind: ExternKind::Interface {
                interface: text.parse().unwrap(),
                types_only: false,
                confined: None,
            },
        };
        let mut inspected =
            wasmcloud::engine::inspect::inspect(b"\0asm\x0d\0\x01\0").unwrap_or_else(|_| panic!());
        inspected = Inspected {
            world: Arc::new(World {
                exports: exports.iter().map(export).collect(),
                ..World::default()
            }),
            ..inspected
        };
        Built {
            name: name.to_owned(),
            path: format!("build/{name}.wasm").into(),
            inspected,
            changed: false,
        }
    }

    fn chosen(
        settings: &ServiceSettings,
        built: &[Built],
    ) -> Result<Option<Chosen<'static>>, String> {
        match choose(settings, built, &offers()) {
            Ok(Some(Chosen::Built(place))) => Ok(Some(Chosen::Built(place))),
            Ok(Some(Chosen::Named(named))) => {
                let named = Box::leak(Box::new(named.clone()));
                Ok(Some(Chosen::Named(named)))
            }
            Ok(None) => Ok(None),
            Err(failure) => Err(failure.message()),
        }
    }

    fn own(own: bool) -> ServiceSettings {
        ServiceSettings {
            own: Some(own),
            ..ServiceSettings::default()
        }
    }

    #[test]
    fn what_runs_and_answers_nobody_is_the_service() {
        let all = [
            built("api", &[HANDLER]),
            built("worker", &[RUN]),
            built("tool", &["demo:a/b"]),
        ];
        assert_eq!(
            chosen(&ServiceSettings::default(), &all),
            Ok(Some(Chosen::Built(1)))
        );
        assert_eq!(chosen(&own(false), &all), Ok(None));
        let both = [built("both", &[RUN, HANDLER])];
        assert_eq!(chosen(&ServiceSettings::default(), &both), Ok(None));
    }

    #[test]
    fn a_component_that_does_both_or_only_answers_is_the_service_if_that_is_asked_for() {
        for exports in [&[RUN, HANDLER][..], &[HANDLER]] {
            let one = [built("one", exports)];
            assert_eq!(chosen(&own(true), &one), Ok(Some(Chosen::Built(0))));
        }
        let problem = chosen(&own(true), &[built("one", &["demo:a/b"])]).unwrap_err();
        assert!(problem.contains("no component could be it"), "{problem}");
    }

    #[test]
    fn two_services_are_one_too_many() {
        let two = [built("a", &[RUN]), built("b", &[RUN])];
        for settings in [ServiceSettings::default(), own(true)] {
            let problem = chosen(&settings, &two).unwrap_err();
            assert!(
                problem.contains("2 components could be the service of the workload: `a`, `b`"),
                "{problem}"
            );
        }
        let named = ServiceSettings {
            named: Some(Part::file("pool.wasm")),
            ..ServiceSettings::default()
        };
        let problem = chosen(&named, &two[..1]).unwrap_err();
        assert!(
            problem.contains("the component `a`")
                && problem.contains("pool.wasm, which `dev.service_file` names"),
            "{problem}"
        );
        let named = ServiceSettings {
            own: Some(false),
            ..named
        };
        assert!(matches!(chosen(&named, &two), Ok(Some(Chosen::Named(_)))));
    }

    #[test]
    fn ports_need_a_service() {
        let settings = ServiceSettings {
            ports: vec![Ports { host: 1, inside: 1 }],
            ..ServiceSettings::default()
        };
        let problem = chosen(&settings, &[built("api", &[HANDLER])]).unwrap_err();
        assert!(problem.contains("this project has none"), "{problem}");
    }
}
