//! Table and property tests of the planner, on worlds that are written down by hand.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod answers;
mod early;
mod entries;
mod handlers;
mod isolated;
mod labels;
mod links;
mod messages;
mod random;
mod schedules;
mod service;

use std::sync::Arc;

use super::*;
use crate::engine::inspect::{Confined, ConfinedValue, Extern, ExternKind};
use crate::workload::{Component, HostInterface, Link, LinkKind, LinkTarget};

const HANDLER_0_2: &str = "wasi:http/incoming-handler@0.2.12";
const HANDLER_0_3: &str = "wasi:http/handler@0.3.0";
const CLIENT: &str = "wasi:http/outgoing-handler@0.2.12";
const STDOUT: &str = "wasi:cli/stdout@0.2.12";
const CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.12";
const SETTINGS: &str = "wasi:config/store@0.2.0-rc.1";
const STORE: &str = "wasi:keyvalue/store@0.2.0-draft";
const EVENTS_0_2: &str = "demo:events/handler@0.2.0";
const EVENTS_0_3: &str = "demo:events/handler@0.3.0";
const TIMER: &str = "demo:timer/tick@1.0.0";
const GREETER: &str = "demo:greet/greeter@1.0.0";

/// A component and its world. An import or export is an interface, `label=interface`, `types interface` for one that holds types
/// only, `confined interface` for one that returns a stream, or `func name`.
#[derive(Clone, Debug)]
struct Sketch(ComponentName, World);

fn world(name: &str) -> Sketch {
    Sketch(name.parse().unwrap(), World::default())
}

impl Sketch {
    fn imports<const N: usize>(mut self, imports: [&str; N]) -> Self {
        self.1.imports.extend(imports.map(external));
        self
    }

    fn exports<const N: usize>(mut self, exports: [&str; N]) -> Self {
        self.1.exports.extend(exports.map(external));
        self
    }

    fn concurrent(mut self) -> Self {
        self.1.concurrent = true;
        self
    }
}

fn external(text: &str) -> Extern {
    if let Some(name) = text.strip_prefix("func ") {
        return Extern {
            name: name.to_owned(),
            kind: ExternKind::Function,
        };
    }
    let types_only = text.starts_with("types ");
    let text = text.strip_prefix("types ").unwrap_or(text);
    let confined = text.starts_with("confined ").then(streams);
    let text = text.strip_prefix("confined ").unwrap_or(text);
    let (name, interface) = text.split_once('=').unwrap_or((text, text));
    let interface = interface.parse().unwrap();
    Extern {
        name: name.to_owned(),
        kind: ExternKind::Interface {
            interface,
            types_only,
            confined,
        },
    }
}

fn streams() -> Confined {
    Confined::Function {
        name: "read".to_owned(),
        returned: true,
        value: ConfinedValue::Stream,
    }
}

/// What the planner is given.
#[derive(Clone, Debug)]
struct Scene {
    workload: Workload,
    worlds: Worlds,
    offers: Offers,
}

/// The components under a host that answers and calls a little of everything.
fn scene(sketches: impl IntoIterator<Item = Sketch>) -> Scene {
    let sketches: Vec<Sketch> = sketches.into_iter().collect();
    let components = sketches.iter().map(|Sketch(name, _)| Component {
        pull: Default::default(),
        name: name.clone(),
        image: "./x.wasm".parse().unwrap(),
        local_resources: Default::default(),
        reuse: Default::default(),
    });
    Scene {
        workload: Workload {
            namespace: Default::default(),
            name: "test".parse().unwrap(),
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            components: components.collect(),
            service: None,
            host_interfaces: Vec::new(),
            links: Vec::new(),
            volumes: Vec::new(),
            schedules: Vec::new(),
        },
        worlds: sketches
            .into_iter()
            .map(|Sketch(name, world)| (name, Arc::new(world)))
            .collect(),
        offers: offers(),
    }
}

fn offers() -> Offers {
    let answer = |plugin, offer| Answer { plugin, offer };
    let offer = |text: &str| Offer::shared(text.parse().unwrap());
    Offers {
        scheduler: Some("schedule"),
        closed: false,
        answers: vec![
            answer("wasi", Offer::identity(STDOUT.parse().unwrap())),
            answer("wasi", offer(CLOCK)),
            answer(
                "config",
                Offer {
                    identity: true,
                    configurable: true,
                    ..offer(SETTINGS)
                },
            ),
            answer(
                "http",
                Offer {
                    grant: crate::plugin::Grant::Listed,
                    identity: true,
                    ..offer(CLIENT)
                },
            ),
            answer(
                "keyvalue",
                Offer {
                    grant: crate::plugin::Grant::Listed,
                    configurable: true,
                    ..offer(STORE)
                },
            ),
        ],
        calls: vec![
            Calls {
                plugin: "http",
                exports: vec![HANDLER_0_3.parse().unwrap(), HANDLER_0_2.parse().unwrap()],
                every: false,
            },
            Calls {
                plugin: "timer",
                exports: vec![TIMER.parse().unwrap()],
                every: false,
            },
            Calls {
                plugin: "events",
                exports: vec![EVENTS_0_3.parse().unwrap(), EVENTS_0_2.parse().unwrap()],
                every: true,
            },
        ],
    }
}

impl Scene {
    /// Lists an interface in `hostInterfaces`.
    fn grant(mut self, interface: &str) -> Self {
        self.workload
            .host_interfaces
            .push(interface.parse().unwrap());
        self
    }

    fn configured(mut self, interface: &str) -> Self {
        let mut entry: HostInterface = interface.parse().unwrap();
        entry.config.insert("key".to_owned(), "value".to_owned());
        self.workload.host_interfaces.push(entry);
        self
    }

    /// Lists an interface in `hostInterfaces`, for one component.
    fn grant_to(mut self, component: &str, interface: &str) -> Self {
        let mut entry: HostInterface = interface.parse().unwrap();
        entry
            .config
            .insert("component".to_owned(), component.to_owned());
        self.workload.host_interfaces.push(entry);
        self
    }

    /// Adds a link; no `from` means the outside.
    fn link(self, from: Option<&str>, import: &str, to: &str) -> Self {
        self.link_over(LinkKind::Fused, from, import, to)
    }

    /// Adds a link between components that are kept apart.
    fn isolate(self, from: &str, import: &str, to: &str) -> Self {
        self.link_over(LinkKind::Isolated, Some(from), import, to)
    }

    fn link_over(mut self, kind: LinkKind, from: Option<&str>, import: &str, to: &str) -> Self {
        let (to, kind) = if to == "host" {
            (LinkTarget::Host, LinkKind::Host)
        } else {
            (LinkTarget::Component(to.parse().unwrap()), kind)
        };
        self.workload.links.push(Link {
            from: from.map(|name| name.parse().unwrap()),
            import: import.parse().unwrap(),
            to,
            kind,
        });
        self
    }

    /// A workload whose component `front` may be called over HTTP.
    fn served(self) -> Self {
        self.grant("wasi:http/incoming-handler")
    }

    fn plan(&self) -> Result<LinkPlan, PlanErrors> {
        plan(&self.workload, &self.worlds, &self.offers)
    }

    /// The links as `from import -> to (kind)`.
    fn links(&self) -> Vec<String> {
        let plan = self.plan().unwrap();
        let links = plan.links.iter().map(|link| {
            let kind = match link.kind {
                PlannedKind::Fused => "fused",
                PlannedKind::Isolated => "isolated",
                PlannedKind::Host => "host",
            };
            format!("{} {} -> {} ({kind})", link.from, link.import, link.to)
        });
        links.collect()
    }

    /// The members of the only entry, in order.
    fn members(&self) -> Vec<String> {
        let plan = self.plan().unwrap();
        assert_eq!(plan.entries.len(), 1, "{plan:#?}");
        let members = plan.entries[0].members.iter();
        members.map(|member| member.component.to_string()).collect()
    }

    fn problems(&self) -> Vec<Problem> {
        self.plan().unwrap_err().0
    }

    /// The only problem.
    fn problem(&self) -> Problem {
        let mut problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.remove(0)
    }
}

fn name(text: &str) -> ComponentName {
    text.parse().unwrap()
}

fn names<const N: usize>(texts: [&str; N]) -> Vec<ComponentName> {
    texts.map(name).to_vec()
}

fn id(text: &str) -> Interface {
    text.parse().unwrap()
}
