//! What is known of a plan before all components have arrived.

use super::*;

/// The members of what a component becomes by itself.
fn early(scene: &Scene, component: &str) -> Option<(Flavour, Vec<Member>)> {
    let name = name(component);
    let world = Arc::clone(&scene.worlds[&name]);
    plan_early(&scene.workload, &name, &world, &scene.offers)
}

fn is_early(scene: &Scene, component: &str) -> bool {
    early(scene, component).is_some()
}

/// What is known early is what the plan says in the end.
#[test]
fn who_has_to_do_with_the_host_alone_is_known_early() {
    let page = world("page").exports([HANDLER_0_2]).imports([
        STDOUT,
        STORE,
        "types demo:greet/types@1.0.0",
    ]);
    let worker = world("worker").exports([EVENTS_0_3]).concurrent();
    let scene = scene([page, worker])
        .served()
        .grant("wasi:keyvalue/store")
        .grant("demo:events/handler");
    let plan = scene.plan().unwrap();
    assert_eq!(plan.entries.len(), 2);
    for (flavour, members) in plan.units() {
        let component = members[0].component.as_str();
        let known = early(&scene, component).unwrap();
        assert_eq!(known, (flavour, members.to_vec()), "{component}");
    }
}

#[test]
fn what_a_service_runs_is_known_early() {
    let mut scene = scene([world("service").exports(["wasi:cli/run@0.2.6"])]);
    let component = scene.workload.components.remove(0);
    let (image, resources) = (component.image, component.local_resources);
    scene.workload.service = Some(crate::workload::Service::new(image, resources, 0));
    assert!(is_early(&scene, "service"));
}

/// It may become one with whoever calls it or answers it.
#[test]
fn who_may_have_to_do_with_a_sibling_is_not_known_early() {
    let front = || world("front").exports([HANDLER_0_2]);
    let alone = |sketch| scene([sketch]).served();
    assert!(is_early(&alone(front()), "front"));
    for (case, sketch) in [
        (
            "nothing that the host has answers it",
            front().imports([GREETER]),
        ),
        ("the manifest does not grant it", front().imports([CLIENT])),
        ("a sibling may import it", front().exports([GREETER])),
        (
            "it stands in front of another",
            front().imports([HANDLER_0_2]),
        ),
        ("nobody calls it", world("front").imports([CLOCK])),
    ] {
        assert!(!is_early(&alone(sketch), "front"), "{case}");
    }
    let other = world("other").exports([HANDLER_0_2]);
    let linked = |from, to| scene([front(), other.clone()]).link(from, CLOCK, to);
    assert!(!is_early(&linked(Some("front"), "other"), "front"));
    assert!(!is_early(&linked(Some("other"), "front"), "front"));
    assert!(is_early(&linked(Some("other"), "host"), "front"));
}

/// Where nobody calls from outside, nothing is compiled before it is called.
#[test]
fn nothing_is_known_early_where_nobody_calls() {
    let mut scene = scene([world("front").exports([HANDLER_0_2])]).served();
    scene.offers.closed = true;
    assert!(!is_early(&scene, "front"));
}
