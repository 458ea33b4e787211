//! The entries of `links`: who answers whose import, and over what.

use std::collections::BTreeMap;

use serde_saphyr::{Location, Spanned};

use super::checker::Checker;
use super::raw;
use crate::workload::diagnostic::quoted;
use crate::workload::model::{Link, LinkKind, LinkTarget};
use crate::workload::names::ComponentName;

pub(super) fn links(checker: &mut Checker, spec: &raw::Spec) -> Vec<Link> {
    // The written names: a component with an error of its own must not break its links as well.
    let components = spec.components.iter().flat_map(|list| &list.value);
    let names = components.filter_map(|component| component.value.name.as_ref());
    let service = spec.service.as_ref().map(|_| ComponentName::service());
    let service = service.as_ref().map(ComponentName::as_str);
    let names: Vec<&str> = names
        .map(|name| name.value.as_str())
        .chain(service)
        .collect();
    let mut seen = BTreeMap::new();
    let mut links = Vec::new();
    for (index, item) in spec.links.iter().flat_map(|list| &list.value).enumerate() {
        let path = format!("spec.links.{index}");
        checker.place(&path, item.referenced);
        checker.place_field(&path, "from", item.value.from.as_ref());
        checker.place_field(&path, "import", item.value.import.as_ref());
        checker.place_field(&path, "to", item.value.to.as_ref());
        checker.place_field(&path, "kind", item.value.kind.as_ref());
        let mut link = link(checker, item, &names, &mut seen);
        if let (Some(link), true) = (&mut link, service.is_some()) {
            with_service(checker, item, link);
        }
        links.extend(link);
    }
    links
}

/// What is different where the workload has a service.
fn with_service(checker: &mut Checker, item: &Spanned<raw::Link>, link: &mut Link) {
    let service = ComponentName::service();
    if link.from.is_some() && link.to == LinkTarget::Component(service.clone()) {
        let message = "a service cannot be linked to: its one instance is busy with what it runs";
        let hint = "have the service listen on TCP, and connect to `service.wasmcloud.internal`";
        let at = item
            .value
            .to
            .as_ref()
            .map_or(item.referenced, |to| to.referenced);
        checker.error(at, message, Some(hint));
    }
    let to_component = link.to != LinkTarget::Host;
    if link.from.as_ref() == Some(&service) && item.value.kind.is_none() && to_component {
        link.kind = LinkKind::Isolated;
    }
}

fn link(
    checker: &mut Checker,
    item: &Spanned<raw::Link>,
    names: &[&str],
    seen: &mut BTreeMap<String, Location>,
) -> Option<Link> {
    let at = item.referenced;
    let raw = &item.value;
    let import = checker.required(at, "the link", "import", raw.import.as_ref());
    let import = import.and_then(|import| checker.parse(import));
    let from = raw.from.as_ref().map(|from| checker.component(from, names));
    let to = checker.required(at, "the link", "to", raw.to.as_ref());
    let to = to.and_then(|to| target(checker, to, names));
    let kind = kind(checker, raw.kind.as_ref(), to.as_ref());
    let link = Link {
        from: transpose(from)?,
        import: import?,
        to: to?,
        kind: kind?,
    };
    check_ends(checker, at, &link);
    let whose = link
        .from
        .as_ref()
        .map_or("the outside", ComponentName::as_str);
    let what = format!("a link for `{}` of {}", link.import, quoted(whose));
    checker.unique(seen, format!("{whose} {}", link.import), &what, at);
    Some(link)
}

/// Nothing written is fine; something wrong written is not.
fn transpose<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn target(checker: &mut Checker, to: &Spanned<String>, names: &[&str]) -> Option<LinkTarget> {
    if to.value == "host" {
        return Some(LinkTarget::Host);
    }
    checker.component(to, names).map(LinkTarget::Component)
}

fn kind(
    checker: &mut Checker,
    kind: Option<&Spanned<String>>,
    to: Option<&LinkTarget>,
) -> Option<LinkKind> {
    let host = to.map(|to| *to == LinkTarget::Host);
    let Some(word) = kind else {
        let default = if host? {
            LinkKind::Host
        } else {
            LinkKind::Fused
        };
        return Some(default);
    };
    let Some(kind) = LinkKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word.value)
    else {
        checker.unknown(
            word,
            "is no kind of link",
            &LinkKind::ALL.map(LinkKind::as_str),
        );
        return None;
    };
    match (host?, kind == LinkKind::Host) {
        (true, false) => {
            let message = format!("a link `to: host` is of kind `host`, not `{kind}`");
            checker.error(word.referenced, message, Some("remove `kind`"));
        }
        (false, true) => {
            let message = "a link of kind `host` goes `to: host`, not to a component";
            checker.error(
                word.referenced,
                message,
                Some("remove `kind`, or write `to: host`"),
            );
        }
        _ => {}
    }
    Some(kind)
}

fn check_ends(checker: &mut Checker, at: Location, link: &Link) {
    match (&link.from, &link.to) {
        (Some(from), LinkTarget::Component(to)) if from == to => {
            let message = format!("component `{to}` cannot answer its own import");
            checker.error(
                at,
                message,
                Some("link it to another component, or `to: host`"),
            );
        }
        (None, LinkTarget::Host) => {
            let message = "a link without `from` chooses the component that the outside calls";
            checker.error(at, message, Some("name a component in `to`, or add `from`"));
        }
        (None, LinkTarget::Component(_)) if link.kind == LinkKind::Isolated => {
            let message = "a link without `from` chooses the component that the outside calls, which is always isolated from it";
            checker.error(at, message, Some("remove `kind`, or add `from`"));
        }
        _ => {}
    }
}
