//! Plugins that call every component that can answer.

use super::*;

fn handler(name: &str) -> Sketch {
    world(name).exports([EVENTS_0_2])
}

/// Who is called, in the order of the plan.
fn called(scene: &Scene) -> Vec<String> {
    let entries = scene.plan().unwrap().entries;
    let roots = entries.iter().filter_map(PlannedEntry::root);
    roots.map(ToString::to_string).collect()
}

#[test]
fn an_entry_without_a_component_is_for_all() {
    let two = || [handler("worker"), handler("audit").concurrent()];
    let scene = scene(two()).grant("demo:events/handler");
    assert_eq!(called(&scene), ["audit", "worker"]);
    let plan = scene.plan().unwrap();
    assert!(plan.entries.iter().all(|entry| entry.plugin == "events"));
    assert_eq!(plan.entries[0].flavour, Flavour::Concurrent);
}

#[test]
fn an_entry_with_a_component_is_for_that_one() {
    let scene = scene([handler("worker"), handler("audit"), handler("idle")])
        .grant_to("worker", "demo:events/handler")
        .grant_to("audit", "demo:events/handler")
        .grant_to("audit", "demo:events/handler");
    assert_eq!(called(&scene), ["audit", "worker"]);
    assert_eq!(scene.plan().unwrap().unreached, names(["idle"]));
    assert_eq!(
        called(&scene.grant("demo:events/handler")),
        ["audit", "idle", "worker"]
    );
}

#[test]
fn each_is_called_through_the_dialect_that_is_most_wanted() {
    let both = world("both").exports([EVENTS_0_2, EVENTS_0_3]);
    let scene = scene([both, handler("old")]).grant("demo:events/handler");
    let exports: Vec<Export> = scene
        .plan()
        .unwrap()
        .entries
        .into_iter()
        .map(|it| it.export)
        .collect();
    assert_eq!(exports, [id(EVENTS_0_3).into(), id(EVENTS_0_2).into()]);
}

/// Whoever wraps a handler is the one that is called, unless an entry or a link says otherwise.
#[test]
fn the_front_of_a_chain_is_called_for_it() {
    let chain = || {
        scene([
            handler("filter").imports([EVENTS_0_2]),
            handler("worker"),
            handler("audit"),
        ])
        .link(Some("filter"), EVENTS_0_2, "worker")
    };
    assert_eq!(
        called(&chain().grant("demo:events/handler")),
        ["audit", "filter"]
    );
    let named = chain().grant_to("worker", "demo:events/handler");
    assert_eq!(called(&named), ["worker"]);
    let linked = chain()
        .grant("demo:events/handler")
        .link(None, "demo:events/handler", "worker")
        .link(None, EVENTS_0_2, "audit");
    assert_eq!(called(&linked), ["audit", "worker"]);
    let fronts_named = chain()
        .grant_to("filter", "demo:events/handler")
        .grant_to("audit", "demo:events/handler")
        .grant("demo:events/handler");
    assert!(matches!(
        fronts_named.problem(),
        Problem::HandlersTaken { index: 2, .. }
    ));
}

#[test]
fn a_component_that_cannot_be_called_is_an_error_with_the_nearest() {
    let scene = scene([handler("worker"), world("front").exports([GREETER])]);
    let missing = |component: &str, exists, nearest: Option<&str>| Problem::HandlerMissing {
        index: 0,
        component: component.to_owned(),
        exists,
        exports: vec![id(EVENTS_0_3), id(EVENTS_0_2)],
        nearest: nearest.map(str::to_owned),
        handlers: names(["worker"]),
    };
    let wrong = scene.clone().grant_to("wroker", "demo:events/handler");
    assert_eq!(wrong.problem(), missing("wroker", false, Some("worker")));
    let wrong = scene.grant_to("front", "demo:events/handler");
    let Problem::HandlerMissing {
        exists, handlers, ..
    } = wrong.problem()
    else {
        panic!("{:?}", wrong.problem());
    };
    assert_eq!((exists, handlers), (true, names(["worker"])));
}

#[test]
fn an_export_that_is_listed_for_all_must_be_there() {
    let scene = scene([world("greeter").exports([GREETER])]).grant("demo:events/handler");
    let exports = vec![id(EVENTS_0_3), id(EVENTS_0_2)];
    assert_eq!(scene.problem(), Problem::EntryMissing { exports });
}

#[test]
fn what_nobody_lists_is_not_called() {
    let scene = scene([handler("worker"), world("front").exports([HANDLER_0_2])]).served();
    assert_eq!(called(&scene), ["front"]);
}
