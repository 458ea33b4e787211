//! What can be wrong with a workload's links, said so that it can be mended.

use std::fmt;

use crate::engine::inspect::Confined;
use crate::workload::{ComponentName, Interface, LinkTarget};

/// One thing that is wrong with a workload's links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nobody answers an import.
    Unmet {
        /// The component that imports.
        component: ComponentName,
        /// The import.
        import: Interface,
        /// The closest thing that is offered.
        nearest: Option<String>,
    },
    /// Several siblings answer an import.
    Ambiguous {
        /// The component that imports.
        component: ComponentName,
        /// The import.
        import: Interface,
        /// The siblings.
        candidates: Vec<ComponentName>,
    },
    /// An import that reaches out or keeps data is not listed.
    NotGranted {
        /// The component that imports.
        component: ComponentName,
        /// The import.
        import: Interface,
        /// The label by which the component imports it, if it is not its name.
        label: Option<String>,
    },
    /// An import is not an interface, so nobody can answer it.
    NotAnInterface {
        /// The component that imports.
        component: ComponentName,
        /// The import.
        import: String,
    },
    /// Components call each other in a circle.
    Cycle {
        /// The components, each calling the next and the last the first.
        components: Vec<ComponentName>,
    },
    /// A link names an import that the component does not have.
    LinkWithoutImport {
        /// Which link.
        index: usize,
        /// The component.
        component: ComponentName,
        /// The import.
        import: Interface,
        /// The closest import that it has.
        nearest: Option<String>,
    },
    /// A link names a target that does not answer.
    LinkWithoutExport {
        /// Which link.
        index: usize,
        /// The import.
        import: Interface,
        /// The target.
        to: LinkTarget,
    },
    /// An isolated link is for an interface that cannot be called across stores.
    Confined {
        /// Which link.
        index: usize,
        /// The component that imports.
        component: ComponentName,
        /// The import.
        import: Interface,
        /// What cannot cross.
        confined: Confined,
    },
    /// A link chooses whom the outside calls through something that the outside does not call.
    LinkWithoutCaller {
        /// Which link.
        index: usize,
        /// The export.
        import: Interface,
    },
    /// The manifest lists an interface that this host does not know.
    UnknownInterface {
        /// Which entry of `hostInterfaces`.
        index: usize,
        /// The interface.
        interface: Interface,
        /// The closest one it knows.
        nearest: Option<String>,
    },
    /// An entry is for a label that no component uses.
    UnusedLabel {
        /// Which entry.
        index: usize,
        /// The label.
        label: String,
        /// The closest label that there is.
        nearest: Option<String>,
    },
    /// The manifest configures an interface that takes no configuration.
    NotConfigurable {
        /// Which entry of `hostInterfaces`.
        index: usize,
        /// The interface.
        interface: Interface,
    },
    /// Two links choose different components for what the outside calls.
    LinksDisagree {
        /// The later link.
        index: usize,
        /// The exports, dialects of one capability.
        exports: Vec<Interface>,
        /// The two components.
        candidates: [ComponentName; 2],
    },
    /// Several components could be called from outside.
    AmbiguousEntry {
        /// The export, in the dialects that would do.
        exports: Vec<Interface>,
        /// The components, and which of the exports each has.
        candidates: Vec<(ComponentName, Interface)>,
    },
    /// The manifest lists an export that no component has.
    EntryMissing {
        /// The exports that would do.
        exports: Vec<Interface>,
    },
    /// An entry names a component that cannot be called.
    HandlerMissing {
        /// Which entry of `hostInterfaces`.
        index: usize,
        /// The component, as the entry names it.
        component: String,
        /// Whether there is such a component.
        exists: bool,
        /// The exports that would do.
        exports: Vec<Interface>,
        /// The closest name that there is.
        nearest: Option<String>,
        /// The components that have one of the exports.
        handlers: Vec<ComponentName>,
    },
    /// An entry names no component, and all that could be called have entries of their own.
    HandlersTaken {
        /// Which entry of `hostInterfaces`.
        index: usize,
        /// The exports that would do.
        exports: Vec<Interface>,
    },
    /// A schedule cannot call what it names.
    Schedule {
        /// Where in the manifest.
        path: String,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Nothing of the service would run.
    IdleService {
        /// What it exports.
        exports: Vec<Interface>,
        /// What of that would be called, were it listed.
        handler: Option<Interface>,
    },
    /// Nothing of the workload is called from outside.
    NothingToRun {
        /// Components that could be called if the manifest listed their exports.
        ungranted: Vec<(ComponentName, Interface)>,
        /// What this host calls.
        callable: Vec<Interface>,
    },
}

impl Problem {
    /// Where in the manifest the problem shows.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Unmet { component, .. }
            | Self::Ambiguous { component, .. }
            | Self::NotGranted { component, .. }
            | Self::NotAnInterface { component, .. } => format!("spec.components.{component}"),
            Self::Schedule { path, .. } => path.clone(),
            Self::Cycle { components } => components.first().map_or_else(
                || "spec".to_owned(),
                |component| format!("spec.components.{component}"),
            ),
            Self::LinkWithoutImport { index, .. }
            | Self::LinkWithoutExport { index, .. }
            | Self::Confined { index, .. }
            | Self::LinkWithoutCaller { index, .. }
            | Self::LinksDisagree { index, .. } => format!("spec.links.{index}"),
            Self::UnknownInterface { index, .. } | Self::NotConfigurable { index, .. } => {
                format!("spec.hostInterfaces.{index}")
            }
            Self::HandlerMissing { index, .. } => {
                format!("spec.hostInterfaces.{index}.config.component")
            }
            Self::HandlersTaken { index, .. } => format!("spec.hostInterfaces.{index}.interfaces"),
            Self::UnusedLabel { index, .. } => format!("spec.hostInterfaces.{index}.name"),
            Self::IdleService { .. } => "spec.service".to_owned(),
            Self::AmbiguousEntry { .. } | Self::EntryMissing { .. } | Self::NothingToRun { .. } => {
                "spec.hostInterfaces".to_owned()
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unmet {
                import, nearest, ..
            } => Some(unmet_hint(import, nearest.as_deref())),
            Self::Ambiguous {
                component,
                import,
                candidates,
            } => {
                let to = candidates.first()?;
                Some(format!(
                    "choose one under `links:`, such as\n{}",
                    link_entry(Some(component), import, to)
                ))
            }
            Self::NotGranted { import, label, .. } => Some(format!(
                "to allow it, add under `hostInterfaces:`\n{}",
                interface_entry(import, label.as_deref())
            )),
            Self::NotAnInterface { .. } => Some(
                "import an interface of a WIT package instead of a bare function or type"
                    .to_owned(),
            ),
            Self::Cycle { .. } => {
                Some("move what both need into a third component, or merge two of them".to_owned())
            }
            Self::LinkWithoutImport { nearest, .. } => nearest
                .as_ref()
                .map(|name| format!("did you mean `{name}`?")),
            Self::LinkWithoutExport { .. } => {
                Some("name a component that exports it, or leave the link out".to_owned())
            }
            Self::Confined { .. } => Some(
                "use `kind: fused`, or change the interface so that only plain values cross"
                    .to_owned(),
            ),
            Self::LinkWithoutCaller { .. } => {
                Some("add `from`: the component whose import the link is for".to_owned())
            }
            Self::LinksDisagree { .. } => Some("keep one of them".to_owned()),
            Self::UnknownInterface {
                interface, nearest, ..
            } => nearest.as_ref().map(|near| offered(interface, near)),
            Self::NotConfigurable { .. } => Some("leave `config` out".to_owned()),
            Self::UnusedLabel { nearest, .. } => Some(nearest.as_ref().map_or_else(
                || {
                    "leave `name` out, unless a component imports the interface by a label"
                        .to_owned()
                },
                |label| format!("did you mean `{label}`?"),
            )),
            Self::AmbiguousEntry { candidates, .. } => {
                let (to, export) = candidates.first()?;
                Some(format!(
                    "say under `links:` which one the outside calls, such as\n{}",
                    link_entry(None, export, to)
                ))
            }
            Self::EntryMissing { .. } => {
                Some("export it from a component, or leave it out of `hostInterfaces`".to_owned())
            }
            Self::HandlerMissing { .. } | Self::HandlersTaken { .. } => self.handler_hint(),
            Self::Schedule { hint, .. } => hint.clone(),
            Self::IdleService { handler, .. } => Some(idle_hint(handler.as_ref())),
            Self::NothingToRun { ungranted, .. } => {
                let (_, export) = ungranted.first()?;
                Some(format!(
                    "to let the outside in, add under `hostInterfaces:`\n{}",
                    interface_entry(export, None)
                ))
            }
        }
    }
}

impl Problem {
    fn handler_hint(&self) -> Option<String> {
        match self {
            Self::HandlerMissing {
                exists: false,
                nearest: Some(near),
                ..
            } => Some(format!("did you mean `{near}`?")),
            Self::HandlerMissing { handlers, .. } if handlers.is_empty() => {
                Some("export it from the component, or leave the entry out".to_owned())
            }
            Self::HandlerMissing { handlers, .. } => {
                Some(format!("those that do are {}", list(handlers)))
            }
            Self::HandlersTaken { exports, .. } => {
                let name = &exports.first()?.name;
                Some(format!("leave `{name}` out of its `interfaces`"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmet {
                component, import, ..
            } => write!(
                f,
                "component `{component}` imports `{import}`, which no other component exports and this host does not offer"
            ),
            Self::Ambiguous {
                component,
                import,
                candidates,
            } => f.write_str(&ambiguous(component, import, candidates)),
            Self::NotGranted {
                component,
                import,
                label,
            } => f.write_str(&ungranted(component, import, label.as_deref())),
            Self::NotAnInterface { component, import } => write!(
                f,
                "component `{component}` imports `{import}`, which is not an interface, so nothing can answer it"
            ),
            Self::Cycle { components } => f.write_str(&circle(components)),
            Self::LinkWithoutImport {
                component, import, ..
            } => f.write_str(&unused_link(component, import)),
            Self::LinkWithoutExport { import, to, .. } => {
                write!(f, "the link sends `{import}` to {}", lacking(to))
            }
            Self::LinkWithoutCaller { import, .. } => write!(
                f,
                "the link without `from` is for `{import}`, which this host calls in no component"
            ),
            Self::Confined {
                component,
                import,
                confined,
                ..
            } => f.write_str(&confinement(component, import, confined)),
            Self::LinksDisagree {
                exports,
                candidates,
                ..
            } => f.write_str(&disagreement(exports, candidates)),
            Self::UnknownInterface { interface, .. } => {
                write!(f, "this host does not know the interface `{interface}`")
            }
            Self::UnusedLabel { label, .. } => write!(
                f,
                "no component imports an interface of this entry by the label `{label}`"
            ),
            Self::NotConfigurable { interface, .. } => write!(
                f,
                "`{interface}` takes no `config`, so it would have no effect"
            ),
            Self::AmbiguousEntry {
                exports,
                candidates,
            } => f.write_str(&several(exports, candidates)),
            Self::EntryMissing { exports } => write!(f, "no component exports {}", either(exports)),
            Self::HandlerMissing {
                component,
                exists,
                exports,
                ..
            } => f.write_str(&no_handler(component, *exists, exports)),
            Self::HandlersTaken { exports, .. } => write!(
                f,
                "the entry names no component, and all that export {} have entries of their own",
                either(exports)
            ),
            Self::Schedule { message, .. } => f.write_str(message),
            Self::IdleService { exports, .. } => f.write_str(&idle(exports)),
            Self::NothingToRun {
                ungranted,
                callable,
            } => f.write_str(&nothing_to_run(ungranted.first(), callable)),
        }
    }
}

fn unused_link(component: &ComponentName, import: &Interface) -> String {
    format!("the link is for `{import}`, but component `{component}` does not import it")
}

fn disagreement(exports: &[Interface], [one, other]: &[ComponentName; 2]) -> String {
    format!(
        "the outside is to call {} in `{other}`, but an earlier link chooses `{one}`",
        either(exports)
    )
}

fn several(exports: &[Interface], candidates: &[(ComponentName, Interface)]) -> String {
    format!(
        "several components export {} and none of them calls the others: {}",
        either(exports),
        list(candidates.iter().map(|(name, _)| name))
    )
}

fn idle(exports: &[Interface]) -> String {
    let found = match exports {
        [] => "nothing".to_owned(),
        exports => either(exports).replace(" or ", ", "),
    };
    format!("the service would do nothing: it exports {found}")
}

fn idle_hint(handler: Option<&Interface>) -> String {
    match handler {
        Some(handler) => format!(
            "export `wasi:cli/run`; or, to have its `{handler}` called, list under `hostInterfaces:`\n{}",
            interface_entry(handler, None)
        ),
        None => "export `wasi:cli/run` (0.2 or 0.3) or `wasi:http/handler@0.3.0`; what only answers calls belongs under `components`".to_owned(),
    }
}

/// What of an interface cannot cross an isolated link, and whose.
fn confinement(component: &ComponentName, import: &Interface, confined: &Confined) -> String {
    let what = match confined {
        Confined::Function {
            name,
            returned,
            value,
        } => {
            let verb = if *returned { "returns" } else { "takes" };
            format!("function `{name}` of `{import}` {verb} {value}")
        }
        Confined::Resource { name } => format!("`{import}` defines a resource (`{name}`)"),
    };
    format!("{what}, which cannot cross the isolated link of component `{component}`")
}

fn lacking(to: &LinkTarget) -> String {
    match to {
        LinkTarget::Component(to) => format!("component `{to}`, which does not export it"),
        LinkTarget::Host => "the host, which does not offer it".to_owned(),
    }
}

/// The way round, back to where it begins.
fn circle(components: &[ComponentName]) -> String {
    let round = components.iter().chain(components.first());
    let round: Vec<&str> = round.map(ComponentName::as_str).collect();
    format!(
        "components call each other in a circle: {}",
        round.join(" → ")
    )
}

fn nothing_to_run(
    ungranted: Option<&(ComponentName, Interface)>,
    callable: &[Interface],
) -> String {
    match ungranted {
        Some((component, export)) => format!(
            "nothing may call the workload: component `{component}` exports `{export}`, but `hostInterfaces` does not list it"
        ),
        None => format!(
            "nothing would run: no component exports what this host calls ({})",
            either(callable)
        ),
    }
}

fn unmet_hint(import: &Interface, nearest: Option<&str>) -> String {
    let add = "add a component that exports it to the workload";
    match nearest {
        Some(near) => {
            let near = offered(import, near);
            let or = if near.ends_with('?') { " Or" } else { ", or" };
            format!("{near}{or} {add}")
        }
        None => add.to_owned(),
    }
}

/// "version 0.2.12 is offered, 0.1.0 is wanted" when only the version differs, else "did you mean".
fn offered(wanted: &Interface, near: &str) -> String {
    match near.parse::<Interface>() {
        Ok(Interface {
            version: Some(offered),
            namespace,
            package,
            name,
        }) if (&namespace, &package, &name)
            == (&wanted.namespace, &wanted.package, &wanted.name) =>
        {
            let version = wanted
                .version
                .as_ref()
                .map_or_else(|| "any version".to_owned(), ToString::to_string);
            format!("version {offered} is offered, {version} is wanted")
        }
        _ => format!("did you mean `{near}`?"),
    }
}

fn ambiguous(
    component: &ComponentName,
    import: &Interface,
    candidates: &[ComponentName],
) -> String {
    format!(
        "component `{component}` imports `{import}`, which several components export: {}",
        list(candidates)
    )
}

fn ungranted(component: &ComponentName, import: &Interface, label: Option<&str>) -> String {
    let start = format!("component `{component}` imports `{import}`");
    match label {
        None => format!("{start}, which the workload is not granted"),
        Some(label) => {
            format!("{start} as `{label}`, which the workload is not granted under that name")
        }
    }
}

fn interface_entry(interface: &Interface, label: Option<&str>) -> String {
    let Interface {
        namespace,
        package,
        name,
        ..
    } = interface;
    let named = label.map(|label| format!("\n    name: {label}"));
    format!(
        "  - namespace: {namespace}\n    package: {package}\n    interfaces: [{name}]{}",
        named.unwrap_or_default()
    )
}

fn link_entry(from: Option<&ComponentName>, import: &Interface, to: &ComponentName) -> String {
    match from {
        Some(from) => format!("  - {{ from: {from}, import: \"{import}\", to: {to} }}"),
        None => format!("  - {{ import: \"{import}\", to: {to} }}"),
    }
}

fn list<'a>(names: impl IntoIterator<Item = &'a ComponentName>) -> String {
    let quoted = names.into_iter().map(|name| format!("`{name}`"));
    quoted.collect::<Vec<_>>().join(", ")
}

fn no_handler(component: &str, exists: bool, exports: &[Interface]) -> String {
    match exists {
        true => format!(
            "the entry is for component `{component}`, which does not export {}",
            either(exports)
        ),
        false => format!(
            "the entry is for component `{component}`, which the workload does not have; wanted one that exports {}",
            either(exports)
        ),
    }
}

fn either(interfaces: &[Interface]) -> String {
    interfaces
        .iter()
        .map(|interface| format!("`{interface}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}

/// Everything that is wrong with a workload's links.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PlanErrors(pub Vec<Problem>);

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
            if let Some(hint) = problem.hint() {
                write!(f, "\nhint: {hint}")?;
            }
        }
        Ok(())
    }
}
