//! Links that the manifest chooses, chains of middleware, and circles.

use super::*;

const GREET: &str = "demo:greet/greeter";

fn two_greeters() -> Scene {
    scene([
        world("front").exports([HANDLER_0_2]).imports([GREETER]),
        world("polite").exports([GREETER]),
        world("rude").exports([GREETER]),
    ])
    .served()
}

/// Imports and exports the same handler.
fn middleware(name: &str) -> Sketch {
    world(name).imports([HANDLER_0_2]).exports([HANDLER_0_2])
}

fn circle<const N: usize>(components: [&str; N]) -> Problem {
    Problem::Cycle {
        components: names(components),
    }
}

#[test]
fn a_link_chooses_between_siblings() {
    for chosen in ["polite", "rude"] {
        let scene = two_greeters().link(Some("front"), GREET, chosen);
        assert_eq!(scene.members(), ["front", chosen]);
    }
}

#[test]
fn a_link_chooses_the_host_over_a_sibling() {
    let scene = scene([
        world("front").exports([HANDLER_0_2]).imports([CLOCK]),
        world("fake-clock").exports([CLOCK]),
    ])
    .served()
    .link(Some("front"), "wasi:clocks/monotonic-clock", "host");
    assert_eq!(
        scene.links(),
        ["front wasi:clocks/monotonic-clock@0.2.12 -> wasi (host)"]
    );
    assert_eq!(scene.plan().unwrap().unreached, names(["fake-clock"]));
}

#[test]
fn a_link_to_the_host_is_no_grant() {
    let scene = scene([world("front").exports([HANDLER_0_2]).imports([CLIENT])])
        .served()
        .link(Some("front"), CLIENT, "host");
    assert!(matches!(scene.problem(), Problem::NotGranted { .. }));
    assert!(scene.grant("wasi:http/outgoing-handler").plan().is_ok());
}

#[test]
fn a_label_that_a_link_sends_to_the_host_stays_apart() {
    let scene = scene([world("front")
        .exports([HANDLER_0_2])
        .imports(["ticks=wasi:clocks/monotonic-clock@0.2.0"])])
    .served()
    .link(Some("front"), "wasi:clocks/monotonic-clock", "host");
    let plan = scene.plan().unwrap();
    assert_eq!(plan.entries[0].members[0].apart, ["ticks"]);
}

#[test]
fn of_two_links_that_fit_the_one_that_names_the_version_counts() {
    for links in [["polite", "rude"], ["rude", "polite"]] {
        let mut scene = two_greeters();
        for to in links {
            let import = if to == "rude" { GREETER } else { GREET };
            scene = scene.link(Some("front"), import, to);
        }
        assert_eq!(scene.members(), ["front", "rude"]);
    }
}

#[test]
fn a_link_for_an_import_that_is_not_there_is_an_error() {
    let scene = two_greeters().link(Some("front"), GREET, "rude").link(
        Some("front"),
        "demo:greet/greeters",
        "rude",
    );
    let problems = scene.problems();
    assert_eq!(
        problems[0],
        Problem::LinkWithoutImport {
            index: 1,
            component: name("front"),
            import: id("demo:greet/greeters"),
            nearest: Some(GREETER.to_owned()),
        }
    );
    assert!(matches!(
        problems[1],
        Problem::LinkWithoutExport { index: 1, .. }
    ));
}

#[test]
fn a_link_to_someone_who_does_not_answer_is_an_error() {
    let missing = |to| Problem::LinkWithoutExport {
        index: 0,
        import: id(GREET),
        to,
    };
    let to_host = two_greeters().link(Some("front"), GREET, "host");
    assert_eq!(to_host.problem(), missing(LinkTarget::Host));
    let to_front = two_greeters().link(Some("polite"), GREET, "front");
    assert!(
        to_front
            .problems()
            .contains(&missing(LinkTarget::Component(name("front"))))
    );
    let to_nobody = two_greeters().link(Some("front"), GREET, "nobody");
    assert_eq!(
        to_nobody.problem(),
        missing(LinkTarget::Component(name("nobody")))
    );
}

/// The link leaves the version open, but the import does not.
#[test]
fn a_link_to_an_export_of_another_version_is_an_error() {
    let scene = scene([
        world("front").exports([HANDLER_0_2]).imports([GREETER]),
        world("old").exports(["demo:greet/greeter@0.9.0"]),
    ])
    .served();
    let to_sibling = scene.clone().link(Some("front"), GREET, "old");
    assert_eq!(
        to_sibling.problem(),
        Problem::LinkWithoutExport {
            index: 0,
            import: id(GREETER),
            to: LinkTarget::Component(name("old")),
        }
    );
    let mut to_host = scene.link(Some("front"), GREET, "host");
    to_host.offers.answers.push(Answer {
        plugin: "greet",
        offer: Offer::shared(id("demo:greet/greeter@0.9.0")),
    });
    assert!(matches!(
        to_host.problem(),
        Problem::LinkWithoutExport {
            to: LinkTarget::Host,
            ..
        }
    ));
}

#[test]
fn a_component_never_answers_its_own_import() {
    let alone = scene([middleware("auth")]).served();
    assert!(matches!(alone.problem(), Problem::Unmet { .. }));
    let chain = scene([middleware("auth"), world("api").exports([HANDLER_0_2])]).served();
    assert_eq!(chain.members(), ["auth", "api"]);
}

#[test]
fn a_component_that_a_link_sends_to_itself_is_a_circle() {
    let scene = scene([middleware("auth")]).served().link(
        Some("auth"),
        "wasi:http/incoming-handler",
        "auth",
    );
    assert_eq!(scene.problem(), circle(["auth"]));
}

#[test]
fn two_middlewares_need_links() {
    let scene = scene([
        middleware("auth"),
        middleware("limit"),
        world("api").exports([HANDLER_0_2]),
    ])
    .served();
    let ambiguous: Vec<Problem> = scene.problems();
    assert!(
        matches!(
            ambiguous[..],
            [Problem::Ambiguous { .. }, Problem::Ambiguous { .. }, ..]
        ),
        "{ambiguous:#?}"
    );
    let linked = scene
        .link(Some("limit"), "wasi:http/incoming-handler", "auth")
        .link(Some("auth"), "wasi:http/incoming-handler", "api");
    assert_eq!(linked.members(), ["limit", "auth", "api"]);
}

#[test]
fn a_circle_is_printed_from_its_first_name_and_once() {
    let link = |to: &str| format!("demo:ring/{to}@1.0.0");
    let scene = scene([
        world("entry")
            .exports([HANDLER_0_2])
            .imports([&link("c"), &link("b")]),
        world("c")
            .exports([&link("c"), "demo:more/c@1.0.0"])
            .imports([&link("a")]),
        world("a").exports([&link("a")]).imports([&link("b")]),
        world("b")
            .exports([&link("b")])
            .imports([&link("c"), "demo:more/c@1.0.0"]),
    ])
    .served();
    assert_eq!(scene.problem(), circle(["a", "b", "c"]));
}

#[test]
fn a_circle_that_is_entered_at_its_second_name_still_begins_with_the_first() {
    let scene = scene([
        world("a").exports([HANDLER_0_2]).imports(["x:x/z@1.0.0"]),
        world("b").exports(["x:x/b@1.0.0"]).imports(["x:x/z@1.0.0"]),
        world("z").exports(["x:x/z@1.0.0"]).imports(["x:x/b@1.0.0"]),
    ])
    .served();
    assert_eq!(scene.problem(), circle(["b", "z"]));
}

#[test]
fn a_circle_that_no_entry_reaches_is_reported_too() {
    let scene = scene([
        world("front").exports([HANDLER_0_2]),
        world("one")
            .exports(["x:x/one@1.0.0"])
            .imports(["x:x/two@1.0.0"]),
        world("two")
            .exports(["x:x/two@1.0.0"])
            .imports(["x:x/one@1.0.0"]),
    ])
    .served();
    assert_eq!(scene.problem(), circle(["one", "two"]));
}

/// Each answers the other, so there is no front; that the entry is missing would be wrong and no help.
#[test]
fn middlewares_that_answer_each_other_are_reported_as_a_circle_only() {
    let scene = scene([middleware("auth"), middleware("limit")]).served();
    assert_eq!(scene.problem(), circle(["auth", "limit"]));
}

#[test]
fn a_chain_may_be_as_long_as_it_likes() {
    const LENGTH: usize = 10_000;
    let link = |n: usize| format!("demo:chain/link{n}@1.0.0");
    let mut worlds: Vec<Sketch> = (0..LENGTH)
        .map(|n| {
            world(&format!("c{n}"))
                .exports([&link(n)])
                .imports([&link(n + 1)])
        })
        .collect();
    worlds.push(world("end").exports([&link(LENGTH)]));
    worlds.push(world("front").exports([HANDLER_0_2]).imports([&link(0)]));
    let open = scene(worlds.clone()).served();
    let members = open.members();
    assert_eq!(members.len(), LENGTH + 2);
    assert_eq!(members[LENGTH + 1], "end");

    worlds[0] = worlds[0].clone().imports(["demo:back/back@1.0.0"]);
    worlds[LENGTH] = worlds[LENGTH].clone().imports([&link(0)]);
    worlds.push(world("back").exports(["demo:back/back@1.0.0"]));
    let Problem::Cycle { components } = scene(worlds).served().problem() else {
        panic!("the circle was not found")
    };
    assert_eq!(components.len(), LENGTH + 1);
}
