//! Links over which a component is called in a store of its own.

use insta::assert_snapshot;

use super::*;

const PRICES: &str = "demo:shop/prices@1.0.0";
const TAX: &str = "demo:shop/tax@1.0.0";

fn front<const N: usize>(imports: [&str; N]) -> Sketch {
    world("front").exports([HANDLER_0_2]).imports(imports)
}

/// Front, and greeter in a store of its own.
fn pair() -> Scene {
    scene([front([GREETER]), world("greeter").exports([GREETER])])
        .served()
        .isolate("front", "demo:greet/greeter", "greeter")
}

/// The callees, each as its members.
fn callees(plan: &LinkPlan) -> Vec<Vec<&str>> {
    let callees = plan.callees.iter().map(|callee| {
        let members = callee.members.iter();
        members.map(|member| member.component.as_str()).collect()
    });
    callees.collect()
}

/// What a member calls over isolated links.
fn isolated(member: &Member) -> Vec<(&str, usize, &str)> {
    let links = member.isolated.iter();
    links
        .map(|link| (link.import.as_str(), link.callee, link.export.as_str()))
        .collect()
}

#[test]
fn an_isolated_callee_is_no_part_of_its_caller() {
    let plan = pair().plan().unwrap();
    assert_eq!(pair().members(), ["front"]);
    assert_eq!(callees(&plan), [["greeter"]]);
    let front = &plan.entries[0].members[0];
    assert_eq!(isolated(front), [(GREETER, 0, GREETER)]);
    assert!(front.fused.is_empty() && front.apart.is_empty());
    assert_eq!(
        pair().links(),
        ["front demo:greet/greeter@1.0.0 -> greeter (isolated)"]
    );
    assert!(plan.unreached.is_empty());
}

#[test]
fn without_the_link_they_are_fused() {
    let mut fused = pair();
    fused.workload.links.clear();
    let plan = fused.plan().unwrap();
    assert_eq!(fused.members(), ["front", "greeter"]);
    assert!(plan.callees.is_empty());
}

#[test]
fn what_the_callee_reaches_is_fused_behind_it() {
    let scene = scene([
        front([PRICES]),
        world("prices").exports([PRICES]).imports([TAX, STDOUT]),
        world("tax").exports([TAX]).imports([SETTINGS]),
    ])
    .served()
    .isolate("front", "demo:shop/prices", "prices");
    let plan = scene.plan().unwrap();
    assert_eq!(callees(&plan), [["prices", "tax"]]);
    let members = &plan.callees[0].members;
    assert_eq!(members[0].fused[0].to, 1);
    assert_eq!(members[0].apart, [STDOUT]);
    assert_eq!(members[1].apart, [SETTINGS]);
}

#[test]
fn everybody_who_calls_it_shares_one_callee() {
    let scene = scene([
        front([PRICES, TAX]),
        world("prices").exports([PRICES]).imports([TAX]),
        world("clock").exports([TIMER]).imports([TAX]),
        world("tax").exports([TAX, "demo:shop/more@1.0.0"]),
    ])
    .served()
    .grant("demo:timer/tick")
    .isolate("front", TAX, "tax")
    .isolate("prices", TAX, "tax")
    .isolate("clock", TAX, "tax");
    let plan = scene.plan().unwrap();
    assert_eq!(callees(&plan), [["tax"]]);
    let callers = plan.entries.iter().flat_map(|entry| &entry.members);
    let callers: Vec<&Member> = callers.collect();
    let names: Vec<&str> = callers.iter().map(|it| it.component.as_str()).collect();
    assert_eq!(names, ["front", "prices", "clock"]);
    for caller in callers {
        assert_eq!(isolated(caller), [(TAX, 0, TAX)]);
    }
}

#[test]
fn a_component_may_be_fused_for_one_caller_and_isolated_from_another() {
    let scene = scene([
        front([PRICES, TAX]),
        world("prices").exports([PRICES]).imports([TAX]),
        world("tax").exports([TAX]),
    ])
    .served()
    .isolate("front", TAX, "tax");
    let plan = scene.plan().unwrap();
    assert_eq!(scene.members(), ["front", "prices", "tax"]);
    assert_eq!(callees(&plan), [["tax"]]);
}

#[test]
fn a_callee_may_call_further_callees() {
    let scene = scene([
        front([PRICES]),
        world("prices").exports([PRICES]).imports([TAX]),
        world("tax").exports([TAX]).imports([GREETER]),
        world("greeter").exports([GREETER]),
    ])
    .served()
    .isolate("front", PRICES, "prices")
    .isolate("tax", GREETER, "greeter");
    let plan = scene.plan().unwrap();
    assert_eq!(callees(&plan), [vec!["greeter"], vec!["prices", "tax"]]);
    assert_eq!(
        isolated(&plan.callees[1].members[1]),
        [(GREETER, 0, GREETER)]
    );
    assert_eq!(isolated(&plan.entries[0].members[0]), [(PRICES, 1, PRICES)]);
}

#[test]
fn a_chain_of_callees_may_be_as_long_as_it_likes() {
    const LENGTH: usize = 3_000;
    let link = |n: usize| format!("demo:chain/link{n}@1.0.0");
    let worlds = (0..LENGTH).map(|n| {
        let world = world(&format!("c{n}")).exports([&link(n)]);
        if n + 1 < LENGTH {
            world.imports([&link(n + 1)])
        } else {
            world
        }
    });
    let worlds: Vec<Sketch> = worlds.chain([front([&link(0)])]).collect();
    let scene = (1..LENGTH).fold(scene(worlds).served(), |scene, n| {
        scene.isolate(&format!("c{}", n - 1), &link(n), &format!("c{n}"))
    });
    let plan = scene.isolate("front", &link(0), "c0").plan().unwrap();
    assert_eq!(plan.callees.len(), LENGTH);
    assert_eq!(plan.callees[0].root(), Some(&name("c2999")));
    assert_eq!(plan.entries[0].members[0].isolated[0].callee, LENGTH - 1);
}

#[test]
fn each_side_runs_on_the_engine_it_needs() {
    for (front_async, greeter_async) in [(false, true), (true, false)] {
        let flavour = |concurrent| match concurrent {
            true => Flavour::Concurrent,
            false => Flavour::Plain,
        };
        let mut scene = pair();
        let mut make = |who: &str, concurrent| {
            let world = Arc::make_mut(scene.worlds.get_mut(&name(who)).unwrap());
            world.concurrent = concurrent;
        };
        make("front", front_async);
        make("greeter", greeter_async);
        let plan = scene.plan().unwrap();
        assert_eq!(plan.entries[0].flavour, flavour(front_async));
        assert_eq!(plan.callees[0].flavour, flavour(greeter_async));
    }
}

/// Whoever is called is no front, over whatever it is called.
#[test]
fn an_isolated_callee_is_no_front() {
    let scene = scene([
        front([PRICES]),
        world("prices").exports([PRICES, TIMER]),
        world("clock").exports([TIMER]).imports([TIMER]),
    ])
    .served()
    .grant("demo:timer/tick")
    .isolate("front", PRICES, "prices")
    .isolate("clock", TIMER, "prices");
    let plan = scene.plan().unwrap();
    let roots = plan.entries.iter().filter_map(PlannedEntry::root);
    let roots: Vec<&str> = roots.map(ComponentName::as_str).collect();
    assert_eq!(roots, ["front", "clock"]);
}

#[test]
fn nobody_reaches_a_callee_whose_caller_nobody_reaches() {
    let scene = scene([
        front([]),
        world("idle").imports([GREETER]),
        world("greeter").exports([GREETER]),
    ])
    .served()
    .isolate("idle", GREETER, "greeter");
    let plan = scene.plan().unwrap();
    assert!(plan.callees.is_empty());
    assert_eq!(plan.unreached, names(["greeter", "idle"]));
}

#[test]
fn an_isolated_link_breaks_no_circle() {
    let scene = scene([
        front([PRICES]),
        world("prices").exports([PRICES]).imports([TAX]),
        world("tax").exports([TAX]).imports([PRICES]),
    ])
    .served();
    let circle = Problem::Cycle {
        components: names(["prices", "tax"]),
    };
    assert_eq!(scene.problem(), circle);
    let half = scene.isolate("prices", TAX, "tax");
    assert_eq!(half.problem(), circle);
    assert_eq!(half.isolate("tax", PRICES, "prices").problem(), circle);
}

#[test]
fn what_is_confined_to_a_store_cannot_be_isolated() {
    let confined = format!("confined {GREETER}");
    let scene = scene([front([&confined]), world("greeter").exports([&confined])]).served();
    assert_eq!(scene.members(), ["front", "greeter"]);
    let problem = scene
        .isolate("front", "demo:greet/greeter", "greeter")
        .problem();
    assert_eq!(problem.path(), "spec.links.0");
    assert_snapshot!(problem, @"function `read` of `demo:greet/greeter@1.0.0` returns a stream, which cannot cross the isolated link of component `front`");
    assert_snapshot!(problem.hint().unwrap(), @"use `kind: fused`, or change the interface so that only plain values cross");
}

#[test]
fn a_resource_that_no_function_mentions_cannot_be_isolated_either() {
    let problem = Problem::Confined {
        index: 0,
        component: name("front"),
        import: id(GREETER),
        confined: Confined::Resource {
            name: "handle".to_owned(),
        },
    };
    assert_snapshot!(problem, @"`demo:greet/greeter@1.0.0` defines a resource (`handle`), which cannot cross the isolated link of component `front`");
}
