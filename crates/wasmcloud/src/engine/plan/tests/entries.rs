//! What is called from outside, and how everything behind it is laid out.

use super::*;

fn handler(name: &str) -> Sketch {
    world(name).exports([HANDLER_0_2])
}

#[test]
fn one_capability_is_granted_by_any_of_its_dialects() {
    let scene = scene([world("front").exports([HANDLER_0_3]).concurrent()]).served();
    let plan = scene.plan().unwrap();
    let entry = &plan.entries[0];
    assert_eq!(
        (entry.plugin.as_str(), &entry.export),
        ("http", &Export::from(id(HANDLER_0_3)))
    );
}

#[test]
fn a_component_with_both_dialects_is_called_through_the_most_wanted() {
    let scene = scene([world("front").exports([HANDLER_0_2, HANDLER_0_3])]).served();
    assert_eq!(
        scene.plan().unwrap().entries[0].export,
        id(HANDLER_0_3).into()
    );
}

#[test]
fn the_export_is_named_as_the_component_names_it() {
    let scene = scene([world("front").exports(["wasi:http/incoming-handler@0.2.0"])]).served();
    assert_eq!(
        scene.plan().unwrap().entries[0].export,
        id("wasi:http/incoming-handler@0.2.0").into()
    );
}

#[test]
fn two_fronts_are_ambiguous_until_a_link_chooses() {
    let scene = scene([handler("one"), handler("two")]).served();
    assert_eq!(
        scene.problem(),
        Problem::AmbiguousEntry {
            exports: vec![id(HANDLER_0_3), id(HANDLER_0_2)],
            candidates: vec![
                (name("one"), id(HANDLER_0_2)),
                (name("two"), id(HANDLER_0_2))
            ],
        }
    );
    for chosen in ["one", "two"] {
        let scene = scene
            .clone()
            .link(None, "wasi:http/incoming-handler", chosen);
        assert_eq!(scene.members(), [chosen]);
    }
}

#[test]
fn links_that_choose_different_entries_are_an_error_that_names_both() {
    let scene = scene([handler("one"), handler("two")])
        .served()
        .link(None, "wasi:http/incoming-handler", "two")
        .link(None, HANDLER_0_2, "one");
    let problem = scene.problem();
    assert_eq!(problem.path(), "spec.links.1");
    assert_eq!(
        problem.to_string(),
        "the outside is to call `wasi:http/handler@0.3.0` or `wasi:http/incoming-handler@0.2.12` in `one`, but an earlier link \
         chooses `two`"
    );
}

/// The link says so, although a sibling calls it as well.
#[test]
fn a_link_may_choose_the_end_of_a_chain() {
    let scene = scene([
        world("auth").exports([HANDLER_0_2]).imports([HANDLER_0_2]),
        handler("api"),
    ])
    .served()
    .link(None, "wasi:http/incoming-handler", "api");
    assert_eq!(scene.members(), ["api"]);
    assert_eq!(scene.plan().unwrap().unreached, names(["auth"]));
}

/// The end answers in both dialects; the middleware calls it through the one that the host wants less.
#[test]
fn a_component_that_is_called_in_one_dialect_is_no_front_in_another() {
    let scene = scene([
        world("auth").exports([HANDLER_0_2]).imports([HANDLER_0_2]),
        world("api").exports([HANDLER_0_2, HANDLER_0_3]),
    ])
    .served();
    assert_eq!(scene.members(), ["auth", "api"]);
}

/// Somebody who handles nothing itself calls the only handler: it is still the one that the outside calls.
#[test]
fn the_only_handler_is_the_entry_even_if_a_sibling_calls_it() {
    let scene = scene([
        world("clock").exports([TIMER]).imports([HANDLER_0_2]),
        handler("api"),
    ])
    .served()
    .grant("demo:timer/tick");
    let plan = scene.plan().unwrap();
    let roots: Vec<&str> = plan
        .entries
        .iter()
        .filter_map(PlannedEntry::root)
        .map(ComponentName::as_str)
        .collect();
    assert_eq!(roots, ["api", "clock"]);
}

#[test]
fn a_link_that_no_plugin_would_follow_is_an_error() {
    let scene = scene([handler("front"), world("greeter").exports([GREETER])])
        .served()
        .link(None, "demo:greet/greeter", "greeter");
    assert_eq!(
        scene.problem(),
        Problem::LinkWithoutCaller {
            index: 0,
            import: id("demo:greet/greeter"),
        }
    );
}

#[test]
fn a_link_to_a_component_without_the_export_is_reported_once() {
    let scene = scene([handler("front"), world("greeter").exports([GREETER])])
        .served()
        .link(None, "wasi:http/incoming-handler", "greeter");
    assert!(matches!(
        scene.problem(),
        Problem::LinkWithoutExport { index: 0, .. }
    ));
}

#[test]
fn an_export_that_is_listed_must_be_there() {
    let scene = scene([world("greeter").exports([GREETER])]).served();
    assert_eq!(
        scene.problem(),
        Problem::EntryMissing {
            exports: vec![id(HANDLER_0_3), id(HANDLER_0_2)],
        }
    );
}

#[test]
fn nothing_to_run_names_the_export_that_could_be_listed() {
    let callable = [HANDLER_0_3, HANDLER_0_2, TIMER, EVENTS_0_3, EVENTS_0_2];
    let callable = callable.map(id).to_vec();
    let unlisted = scene([handler("front")]);
    assert_eq!(
        unlisted.problem(),
        Problem::NothingToRun {
            ungranted: vec![(name("front"), id(HANDLER_0_2))],
            callable: callable.clone(),
        }
    );
    let nothing = scene([world("greeter").exports([GREETER])]);
    let ungranted = Vec::new();
    assert_eq!(
        nothing.problem(),
        Problem::NothingToRun {
            ungranted,
            callable,
        }
    );
}

#[test]
fn an_empty_workload_has_nothing_to_run() {
    assert!(matches!(scene([]).problem(), Problem::NothingToRun { .. }));
}

#[test]
fn each_plugin_has_its_own_entry_and_they_may_share_members() {
    let scene = scene([
        handler("front").imports([GREETER]),
        world("clock").exports([TIMER]).imports([GREETER]),
        world("greeter").exports([GREETER]),
    ])
    .served()
    .grant("demo:timer/tick");
    let plan = scene.plan().unwrap();
    let entries: Vec<(&str, Vec<&str>)> = plan
        .entries
        .iter()
        .map(|entry| {
            let members = entry.members.iter().map(|it| it.component.as_str());
            (entry.plugin.as_str(), members.collect())
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("http", vec!["front", "greeter"]),
            ("timer", vec!["clock", "greeter"])
        ]
    );
    assert!(plan.unreached.is_empty());
}

#[test]
fn one_component_may_be_the_entry_of_two_plugins() {
    let scene = scene([world("front").exports([HANDLER_0_2, TIMER])])
        .served()
        .grant("demo:timer/tick");
    assert_eq!(scene.plan().unwrap().entries.len(), 2);
}

/// Order by import names, not by component names.
#[test]
fn members_are_laid_out_depth_first_in_the_order_of_import_names() {
    let scene = scene([
        handler("m").imports(["x:x/two@1.0.0", "x:x/one@1.0.0"]),
        world("z")
            .exports(["x:x/one@1.0.0"])
            .imports(["x:x/deep@1.0.0"]),
        world("a").exports(["x:x/two@1.0.0"]),
        world("k").exports(["x:x/deep@1.0.0"]),
    ])
    .served();
    assert_eq!(scene.members(), ["m", "z", "k", "a"]);
    let plan = scene.plan().unwrap();
    let to: Vec<(&str, usize)> = plan.entries[0].members[0]
        .fused
        .iter()
        .map(|link| (link.import.as_str(), link.to))
        .collect();
    assert_eq!(to, [("x:x/one@1.0.0", 1), ("x:x/two@1.0.0", 3)]);
}

#[test]
fn the_bottom_of_a_diamond_is_there_once() {
    let bottom = "x:x/bottom@1.0.0";
    let scene = scene([
        handler("top").imports(["x:x/left@1.0.0", "x:x/right@1.0.0"]),
        world("left").exports(["x:x/left@1.0.0"]).imports([bottom]),
        world("right")
            .exports(["x:x/right@1.0.0"])
            .imports([bottom]),
        world("bottom").exports([bottom]),
    ])
    .served();
    assert_eq!(scene.members(), ["top", "left", "bottom", "right"]);
    let plan = scene.plan().unwrap();
    let members = &plan.entries[0].members;
    assert_eq!(members[1].fused[0].to, 2);
    assert_eq!(members[3].fused[0].to, 2);
}

#[test]
fn one_concurrent_member_makes_the_entry_concurrent() {
    let chain = |deep: Sketch| {
        let scene = scene([handler("front").imports([GREETER]), deep]).served();
        scene.plan().unwrap().entries[0].flavour
    };
    let greeter = world("greeter").exports([GREETER]);
    assert_eq!(chain(greeter.clone()), Flavour::Plain);
    assert_eq!(chain(greeter.concurrent()), Flavour::Concurrent);
}

#[test]
fn an_unreached_concurrent_component_does_not_count() {
    let scene = scene([handler("front"), world("idle").concurrent()]).served();
    let plan = scene.plan().unwrap();
    assert_eq!(plan.entries[0].flavour, Flavour::Plain);
    assert_eq!(plan.unreached, names(["idle"]));
}

#[test]
fn a_component_of_the_manifest_without_a_world_is_left_out() {
    let mut scene = scene([handler("front"), handler("gone")]).served();
    scene.worlds.remove(&name("gone"));
    assert_eq!(scene.members(), ["front"]);
}

/// A hint that is followed must help, also where the most wanted dialect is not the one that is there.
#[test]
fn the_link_that_the_hint_proposes_works() {
    let scene = scene([handler("one"), handler("two")]).served();
    let hint = scene.problem().hint().unwrap();
    let (_, rest) = hint.split_once("import: \"").unwrap();
    let (import, rest) = rest.split_once("\", to: ").unwrap();
    let to = rest.trim_end_matches(" }");
    assert_eq!(scene.clone().link(None, import, to).members(), [to]);
}
