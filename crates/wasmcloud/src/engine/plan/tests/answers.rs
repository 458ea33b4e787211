//! Who answers an import that no link speaks of: the one sibling, else the host, else nobody.

use super::*;

fn front<const N: usize>(imports: [&str; N]) -> Sketch {
    world("front").exports([HANDLER_0_2]).imports(imports)
}

#[test]
fn the_one_sibling_that_exports_it_answers() {
    let scene = scene([front([GREETER]), world("greeter").exports([GREETER])]).served();
    assert_eq!(
        scene.links(),
        ["front demo:greet/greeter@1.0.0 -> greeter (fused)"]
    );
    assert_eq!(scene.members(), ["front", "greeter"]);
}

#[test]
fn a_sibling_comes_before_the_host() {
    let scene = scene([front([CLOCK]), world("fake-clock").exports([CLOCK])]).served();
    assert_eq!(
        scene.links(),
        ["front wasi:clocks/monotonic-clock@0.2.12 -> fake-clock (fused)"]
    );
}

#[test]
fn a_sibling_needs_no_grant_where_the_host_would() {
    let scene = scene([front([STORE]), world("cache").exports([STORE])]).served();
    assert_eq!(scene.members(), ["front", "cache"]);
}

#[test]
fn the_host_answers_what_no_sibling_exports() {
    let scene = scene([front([CLOCK, STDOUT])]).served();
    assert_eq!(
        scene.links(),
        [
            "front wasi:cli/stdout@0.2.12 -> wasi (host)",
            "front wasi:clocks/monotonic-clock@0.2.12 -> wasi (host)"
        ]
    );
}

#[test]
fn only_imports_that_bear_identity_stay_apart() {
    let plan = scene([front([CLOCK, STDOUT, SETTINGS])])
        .served()
        .plan()
        .unwrap();
    assert_eq!(plan.entries[0].members[0].apart, [STDOUT, SETTINGS]);
}

#[test]
fn everything_that_nobody_answers_is_reported_at_once() {
    let scene = scene([
        front(["demo:one/a@1.0.0", CLOCK, "demo:two/b@1.0.0"]),
        world("back").imports(["demo:three/c@1.0.0"]),
    ])
    .served();
    let unmet = |problem: Problem| match problem {
        Problem::Unmet {
            component, import, ..
        } => format!("{component}: {import}"),
        other => panic!("{other:?}"),
    };
    let unmet: Vec<String> = scene.problems().into_iter().map(unmet).collect();
    assert_eq!(
        unmet,
        [
            "back: demo:three/c@1.0.0",
            "front: demo:one/a@1.0.0",
            "front: demo:two/b@1.0.0"
        ]
    );
}

#[test]
fn an_unmet_import_names_the_nearest_offer() {
    for (import, wanted) in [
        (
            "wasi:clocks/monotonic-clock@0.9.0",
            Some("wasi:clocks/monotonic-clock@0.2.12"),
        ),
        (
            "wasi:clocks/monotonic-clocks@0.2.0",
            Some("wasi:clocks/monotonic-clock@0.2.12"),
        ),
        ("demo:greet/greeter@2.0.0", Some(GREETER)),
        ("quite:other/thing@7.0.0", None),
    ] {
        let scene = scene([front([import]), world("greeter").exports([GREETER])]).served();
        let problem = scene.problem();
        let Problem::Unmet { nearest, .. } = &problem else {
            panic!("{problem:?}")
        };
        assert_eq!(nearest.as_deref(), wanted, "{import}");
    }
}

#[test]
fn two_siblings_that_export_it_are_ambiguous_and_both_are_named() {
    let scene = scene([
        front([GREETER]),
        world("polite").exports([GREETER]),
        world("rude").exports(["demo:greet/greeter@1.3.0"]),
    ])
    .served();
    assert_eq!(
        scene.problem(),
        Problem::Ambiguous {
            component: name("front"),
            import: id(GREETER),
            candidates: names(["polite", "rude"]),
        }
    );
}

#[test]
fn a_sibling_that_exports_two_fitting_versions_is_one_sibling() {
    let both = world("greeter").exports(["demo:greet/greeter@1.3.0", GREETER]);
    let scene = scene([front([GREETER]), both]).served();
    assert_eq!(scene.members(), ["front", "greeter"]);
}

#[test]
fn versions_fit_within_their_track_only() {
    for (import, export, fits) in [
        ("0.2.0", "0.2.6", true),
        ("0.2.6", "0.2.0", true),
        ("0.2.0", "0.3.0", false),
        ("1.0.0", "1.9.0", true),
        ("1.0.0", "2.0.0", false),
        ("0.2.0-rc.1", "0.2.0-rc.1", true),
        ("0.2.0-rc.1", "0.2.0-rc.2", false),
        ("0.2.0-rc.1", "0.2.0", false),
    ] {
        let (import, export) = (
            format!("demo:greet/greeter@{import}"),
            format!("demo:greet/greeter@{export}"),
        );
        let scene = scene([front([&import]), world("greeter").exports([&export])]).served();
        match scene.plan() {
            Ok(plan) => {
                assert!(fits, "{import} must not be answered by {export}");
                let fused = &plan.entries[0].members[0].fused[0];
                assert_eq!((&fused.import, &fused.export), (&import, &export));
            }
            Err(_) => assert!(!fits, "{import} is answered by {export}"),
        }
    }
}

#[test]
fn an_import_without_a_version_takes_any() {
    let scene = scene([
        front(["demo:greet/greeter"]),
        world("greeter").exports([GREETER]),
    ])
    .served();
    assert_eq!(scene.members(), ["front", "greeter"]);
}

#[test]
fn plain_types_need_nobody() {
    let scene = scene([front(["types demo:greet/types@1.0.0"])]).served();
    assert!(scene.links().is_empty());
}

#[test]
fn plain_types_of_two_siblings_are_not_ambiguous() {
    let types = "types demo:greet/types@1.0.0";
    let scene = scene([
        front([types, GREETER]),
        world("greeter").exports([types, GREETER]),
        world("other").exports([types]),
    ])
    .served();
    assert_eq!(
        scene.links(),
        ["front demo:greet/greeter@1.0.0 -> greeter (fused)"]
    );
}

#[test]
fn plain_types_make_no_circle() {
    let types = "types demo:greet/types@1.0.0";
    let scene = scene([
        front([GREETER]).exports([types]),
        world("greeter").imports([types]).exports([GREETER]),
    ])
    .served();
    assert_eq!(scene.members(), ["front", "greeter"]);
}

#[test]
fn plain_types_of_the_host_need_no_grant() {
    let mut scene = scene([front(["types wasi:keyvalue/store@0.2.0-draft"])]).served();
    assert_eq!(
        scene.links(),
        ["front wasi:keyvalue/store@0.2.0-draft -> keyvalue (host)"]
    );
    scene.offers.answers.clear();
    assert!(scene.links().is_empty());
}

#[test]
fn a_label_is_answered_by_its_interface_and_stays_apart() {
    let scene = scene([front(["ticks=wasi:clocks/monotonic-clock@0.2.0"])]).served();
    assert_eq!(scene.links(), ["front ticks -> wasi (host)"]);
    let plan = scene.plan().unwrap();
    assert_eq!(plan.entries[0].members[0].apart, ["ticks"]);
}

#[test]
fn two_labels_of_one_interface_are_both_answered_by_the_sibling() {
    let scene = scene([
        front([
            "one=demo:greet/greeter@1.0.0",
            "two=demo:greet/greeter@1.0.0",
        ]),
        world("greeter").exports(["main=demo:greet/greeter@1.0.0"]),
    ])
    .served();
    let plan = scene.plan().unwrap();
    let fused = &plan.entries[0].members[0].fused;
    let seen: Vec<(&str, usize, &str)> = fused
        .iter()
        .map(|link| (link.import.as_str(), link.to, link.export.as_str()))
        .collect();
    assert_eq!(seen, [("one", 1, "main"), ("two", 1, "main")]);
}

#[test]
fn a_bare_function_is_answered_by_nobody() {
    let scene = scene([
        front(["func greet"]),
        world("greeter").exports(["func greet"]),
    ])
    .served();
    assert_eq!(
        scene.problem(),
        Problem::NotAnInterface {
            component: name("front"),
            import: "greet".to_owned()
        }
    );
}

#[test]
fn what_reaches_out_must_be_listed() {
    let bare = scene([front([CLIENT])]).served();
    let missing = Problem::NotGranted {
        component: name("front"),
        import: id(CLIENT),
        label: None,
    };
    assert_eq!(bare.problem(), missing);
    assert!(bare.grant("wasi:http/outgoing-handler").plan().is_ok());
}

#[test]
fn a_grant_for_another_version_or_interface_does_not_count() {
    for entry in ["wasi:keyvalue/atomics", "wasi:keyvalue/store@0.2.0"] {
        let mut scene = scene([front([STORE])]).served().grant(entry);
        // Known to the host, so that only the grant is in question.
        for known in ["wasi:keyvalue/atomics@0.2.0", "wasi:keyvalue/store@0.2.0"] {
            let offer = Offer::shared(known.parse().unwrap());
            let plugin = "keyvalue";
            scene.offers.answers.push(Answer { plugin, offer });
        }
        let problem = scene.problem();
        assert!(
            matches!(problem, Problem::NotGranted { .. }),
            "{entry}: {problem:?}"
        );
    }
}

#[test]
fn one_entry_may_grant_several_interfaces() {
    let scene = scene([front([CLIENT])]).grant("wasi:http/incoming-handler,outgoing-handler");
    assert_eq!(
        scene.links(),
        ["front wasi:http/outgoing-handler@0.2.12 -> http (host)"]
    );
}

#[test]
fn an_interface_that_the_host_does_not_know_cannot_be_listed() {
    let scene = scene([front([])]).served().grant("wasi:keyvalue/stores");
    assert_eq!(
        scene.problem(),
        Problem::UnknownInterface {
            index: 1,
            interface: id("wasi:keyvalue/stores"),
            nearest: None,
        }
    );
}

#[test]
fn config_is_for_interfaces_that_take_some() {
    for (entry, taken) in [
        ("wasi:keyvalue/store", true),
        ("wasi:http/incoming-handler", true),
        ("wasi:clocks/monotonic-clock", false),
        ("wasi:http/outgoing-handler", false),
        ("wasi:http/incoming-handler,outgoing-handler", true),
    ] {
        let scene = scene([front([])]).served().configured(entry);
        match scene.plan() {
            Ok(_) => assert!(taken, "{entry}"),
            Err(errors) => {
                assert!(!taken, "{entry}: {errors}");
                assert!(matches!(
                    errors.0[..],
                    [Problem::NotConfigurable { index: 1, .. }]
                ));
            }
        }
    }
}

#[test]
fn config_of_an_entry_with_several_interfaces_is_not_lost_in_silence() {
    let mut scene = scene([front([])])
        .served()
        .configured("wasi:cli/stdout,stderr");
    let stderr = "wasi:cli/stderr@0.2.12";
    scene.offers.answers.push(Answer {
        plugin: "wasi",
        offer: Offer::identity(id(stderr)),
    });
    assert!(matches!(
        scene.problem(),
        Problem::NotConfigurable { index: 1, .. }
    ));
}
