//! Every problem as people read it: what is wrong, where, and what to do.

use insta::assert_snapshot;

use super::*;

/// The place, the message and the hint.
fn said(problem: Problem) -> String {
    let path = problem.path();
    format!("{path}\n{}", PlanErrors(vec![problem]))
}

fn unmet(import: &str, nearest: Option<&str>) -> String {
    said(Problem::Unmet {
        component: name("front"),
        import: id(import),
        nearest: nearest.map(ToOwned::to_owned),
    })
}

#[test]
fn an_unmet_import() {
    assert_snapshot!(unmet(GREETER, None), @r#"
    spec.components.front
    component `front` imports `demo:greet/greeter@1.0.0`, which no other component exports and this host does not offer
    hint: add a component that exports it to the workload
    "#);
    assert_snapshot!(unmet("wasi:clocks/monotonic-clock@0.9.0", Some(CLOCK)), @r#"
    spec.components.front
    component `front` imports `wasi:clocks/monotonic-clock@0.9.0`, which no other component exports and this host does not offer
    hint: version 0.2.12 is offered, 0.9.0 is wanted, or add a component that exports it to the workload
    "#);
    assert_snapshot!(unmet("wasi:clocks/monotonic-clocks@0.2.0", Some(CLOCK)), @r#"
    spec.components.front
    component `front` imports `wasi:clocks/monotonic-clocks@0.2.0`, which no other component exports and this host does not offer
    hint: did you mean `wasi:clocks/monotonic-clock@0.2.12`? Or add a component that exports it to the workload
    "#);
}

#[test]
fn an_ambiguous_import() {
    assert_snapshot!(said(Problem::Ambiguous {
        component: name("front"),
        import: id(GREETER),
        candidates: names(["polite", "rude"]),
    }), @r#"
    spec.components.front
    component `front` imports `demo:greet/greeter@1.0.0`, which several components export: `polite`, `rude`
    hint: choose one under `links:`, such as
      - { from: front, import: "demo:greet/greeter@1.0.0", to: polite }
    "#);
}

#[test]
fn a_missing_grant() {
    assert_snapshot!(said(Problem::NotGranted {
        component: name("front"),
        import: id(CLIENT),
        label: None,
    }), @r#"
    spec.components.front
    component `front` imports `wasi:http/outgoing-handler@0.2.12`, which the workload is not granted
    hint: to allow it, add under `hostInterfaces:`
      - namespace: wasi
        package: http
        interfaces: [outgoing-handler]
    "#);
}

#[test]
fn a_missing_grant_for_a_label() {
    assert_snapshot!(said(Problem::NotGranted {
        component: name("front"),
        import: id(STORE),
        label: Some("sessions".to_owned()),
    }), @r#"
    spec.components.front
    component `front` imports `wasi:keyvalue/store@0.2.0-draft` as `sessions`, which the workload is not granted under that name
    hint: to allow it, add under `hostInterfaces:`
      - namespace: wasi
        package: keyvalue
        interfaces: [store]
        name: sessions
    "#);
}

#[test]
fn a_label_that_nobody_uses() {
    assert_snapshot!(said(Problem::UnusedLabel {
        index: 0,
        label: "session".to_owned(),
        nearest: Some("sessions".to_owned()),
    }), @r"
    spec.hostInterfaces.0.name
    no component imports an interface of this entry by the label `session`
    hint: did you mean `sessions`?
    ");
    assert_snapshot!(said(Problem::UnusedLabel {
        index: 0,
        label: "session".to_owned(),
        nearest: None,
    }), @r"
    spec.hostInterfaces.0.name
    no component imports an interface of this entry by the label `session`
    hint: leave `name` out, unless a component imports the interface by a label
    ");
}

#[test]
fn an_import_that_is_no_interface() {
    assert_snapshot!(said(Problem::NotAnInterface {
        component: name("front"),
        import: "greet".to_owned(),
    }), @r#"
    spec.components.front
    component `front` imports `greet`, which is not an interface, so nothing can answer it
    hint: import an interface of a WIT package instead of a bare function or type
    "#);
}

#[test]
fn a_circle() {
    assert_snapshot!(said(Problem::Cycle { components: names(["a", "b", "c"]) }), @r#"
    spec.components.a
    components call each other in a circle: a → b → c → a
    hint: move what both need into a third component, or merge two of them
    "#);
    assert_snapshot!(said(Problem::Cycle { components: names(["auth"]) }), @r#"
    spec.components.auth
    components call each other in a circle: auth → auth
    hint: move what both need into a third component, or merge two of them
    "#);
}

#[test]
fn a_link_without_its_import() {
    let link = |nearest: Option<&str>| {
        said(Problem::LinkWithoutImport {
            index: 1,
            component: name("front"),
            import: id("demo:greet/greeters"),
            nearest: nearest.map(ToOwned::to_owned),
        })
    };
    assert_snapshot!(link(None), @r#"
    spec.links.1
    the link is for `demo:greet/greeters`, but component `front` does not import it
    "#);
    assert_snapshot!(link(Some(GREETER)), @r#"
    spec.links.1
    the link is for `demo:greet/greeters`, but component `front` does not import it
    hint: did you mean `demo:greet/greeter@1.0.0`?
    "#);
}

#[test]
fn a_link_without_its_export() {
    let link = |to| {
        said(Problem::LinkWithoutExport {
            index: 0,
            import: id(GREETER),
            to,
        })
    };
    assert_snapshot!(link(LinkTarget::Host), @r#"
    spec.links.0
    the link sends `demo:greet/greeter@1.0.0` to the host, which does not offer it
    hint: name a component that exports it, or leave the link out
    "#);
    assert_snapshot!(link(LinkTarget::Component(name("rude"))), @r#"
    spec.links.0
    the link sends `demo:greet/greeter@1.0.0` to component `rude`, which does not export it
    hint: name a component that exports it, or leave the link out
    "#);
}

#[test]
fn a_link_that_nothing_follows() {
    assert_snapshot!(said(Problem::LinkWithoutCaller { index: 0, import: id(GREETER) }), @r#"
    spec.links.0
    the link without `from` is for `demo:greet/greeter@1.0.0`, which this host calls in no component
    hint: add `from`: the component whose import the link is for
    "#);
}

#[test]
fn an_unknown_interface() {
    let unknown = |interface: &str, nearest: Option<&str>| {
        said(Problem::UnknownInterface {
            index: 2,
            interface: id(interface),
            nearest: nearest.map(ToOwned::to_owned),
        })
    };
    assert_snapshot!(unknown("wasi:nothing/like-it", None), @r#"
    spec.hostInterfaces.2
    this host does not know the interface `wasi:nothing/like-it`
    "#);
    assert_snapshot!(unknown("wasi:keyvalue/stores", Some(STORE)), @r#"
    spec.hostInterfaces.2
    this host does not know the interface `wasi:keyvalue/stores`
    hint: did you mean `wasi:keyvalue/store@0.2.0-draft`?
    "#);
    assert_snapshot!(unknown("wasi:keyvalue/store@1.0.0", Some(STORE)), @r#"
    spec.hostInterfaces.2
    this host does not know the interface `wasi:keyvalue/store@1.0.0`
    hint: version 0.2.0-draft is offered, 1.0.0 is wanted
    "#);
}

#[test]
fn config_where_none_is_taken() {
    assert_snapshot!(said(Problem::NotConfigurable { index: 0, interface: id("wasi:clocks/monotonic-clock") }), @r#"
    spec.hostInterfaces.0
    `wasi:clocks/monotonic-clock` takes no `config`, so it would have no effect
    hint: leave `config` out
    "#);
}

#[test]
fn several_entries() {
    assert_snapshot!(said(Problem::AmbiguousEntry {
        exports: vec![id(HANDLER_0_3), id(HANDLER_0_2)],
        candidates: vec![(name("one"), id(HANDLER_0_2)), (name("two"), id(HANDLER_0_3))],
    }), @r#"
    spec.hostInterfaces
    several components export `wasi:http/handler@0.3.0` or `wasi:http/incoming-handler@0.2.12` and none of them calls the others: `one`, `two`
    hint: say under `links:` which one the outside calls, such as
      - { import: "wasi:http/incoming-handler@0.2.12", to: one }
    "#);
}

#[test]
fn a_missing_entry() {
    assert_snapshot!(said(Problem::EntryMissing { exports: vec![id(HANDLER_0_3), id(HANDLER_0_2)] }), @r#"
    spec.hostInterfaces
    no component exports `wasi:http/handler@0.3.0` or `wasi:http/incoming-handler@0.2.12`
    hint: export it from a component, or leave it out of `hostInterfaces`
    "#);
}

#[test]
fn a_handler_that_is_not_there() {
    let missing = |component: &str, exists, nearest: Option<&str>, handlers| {
        said(Problem::HandlerMissing {
            index: 1,
            component: component.to_owned(),
            exists,
            exports: vec![id(EVENTS_0_3), id(EVENTS_0_2)],
            nearest: nearest.map(str::to_owned),
            handlers,
        })
    };
    assert_snapshot!(missing("wroker", false, Some("worker"), names(["worker"])), @r#"
    spec.hostInterfaces.1.config.component
    the entry is for component `wroker`, which the workload does not have; wanted one that exports `demo:events/handler@0.3.0` or `demo:events/handler@0.2.0`
    hint: did you mean `worker`?
    "#);
    assert_snapshot!(missing("front", true, None, names(["audit", "worker"])), @r#"
    spec.hostInterfaces.1.config.component
    the entry is for component `front`, which does not export `demo:events/handler@0.3.0` or `demo:events/handler@0.2.0`
    hint: those that do are `audit`, `worker`
    "#);
    assert_snapshot!(missing("front", true, None, Vec::new()), @r#"
    spec.hostInterfaces.1.config.component
    the entry is for component `front`, which does not export `demo:events/handler@0.3.0` or `demo:events/handler@0.2.0`
    hint: export it from the component, or leave the entry out
    "#);
    assert_snapshot!(said(Problem::HandlersTaken { index: 2, exports: vec![id(EVENTS_0_3), id(EVENTS_0_2)] }), @r#"
    spec.hostInterfaces.2.interfaces
    the entry names no component, and all that export `demo:events/handler@0.3.0` or `demo:events/handler@0.2.0` have entries of their own
    hint: leave `handler` out of its `interfaces`
    "#);
}

#[test]
fn nothing_to_run() {
    let callable = vec![id(HANDLER_0_3), id(HANDLER_0_2)];
    let nothing = |ungranted| {
        said(Problem::NothingToRun {
            ungranted,
            callable: callable.clone(),
        })
    };
    assert_snapshot!(nothing(vec![(name("front"), id(HANDLER_0_2))]), @r#"
    spec.hostInterfaces
    nothing may call the workload: component `front` exports `wasi:http/incoming-handler@0.2.12`, but `hostInterfaces` does not list it
    hint: to let the outside in, add under `hostInterfaces:`
      - namespace: wasi
        package: http
        interfaces: [incoming-handler]
    "#);
    assert_snapshot!(nothing(Vec::new()), @r#"
    spec.hostInterfaces
    nothing would run: no component exports what this host calls (`wasi:http/handler@0.3.0` or `wasi:http/incoming-handler@0.2.12`)
    "#);
}

#[test]
fn several_problems_are_said_one_after_the_other() {
    let scene = scene([world("front")
        .exports([HANDLER_0_2])
        .imports([GREETER, CLIENT])])
    .served();
    assert_snapshot!(scene.plan().unwrap_err(), @r#"
    component `front` imports `demo:greet/greeter@1.0.0`, which no other component exports and this host does not offer
    hint: add a component that exports it to the workload
    component `front` imports `wasi:http/outgoing-handler@0.2.12`, which the workload is not granted
    hint: to allow it, add under `hostInterfaces:`
      - namespace: wasi
        package: http
        interfaces: [outgoing-handler]
    "#);
}
