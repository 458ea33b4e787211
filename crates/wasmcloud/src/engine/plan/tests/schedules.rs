//! What schedules call, and what it takes to call a component that nothing else calls.

use super::*;
use crate::engine::plan::plan_call;
use crate::workload::{Function, Schedule};

fn function(name: &str) -> Function {
    Function {
        name: name.parse().unwrap(),
        params: Vec::new(),
        result: None,
        is_async: false,
    }
}

fn jobs() -> Sketch {
    let mut jobs = world("jobs");
    jobs.1.functions = vec![
        function("demo:jobs/tidy@0.1.0#now"),
        function("tick"),
        function("wasi:cli/run@0.2.6#run"),
    ];
    jobs
}

fn schedule(name: &str, function: Option<&str>) -> Schedule {
    Schedule {
        name: name.parse().unwrap(),
        component: "jobs".parse().unwrap(),
        function: function.map(|name| name.parse().unwrap()),
        args: Vec::new(),
        schedule: "@daily".to_owned(),
        time_zone: None,
        concurrency: Default::default(),
        missed: Default::default(),
        suspend: false,
    }
}

fn scheduled<const N: usize>(schedules: [Schedule; N]) -> Scene {
    let mut scene = scene([jobs(), world("other")]);
    scene.workload.schedules = schedules.to_vec();
    scene
}

/// The exports that are called, each with its schedule.
fn called(plan: &LinkPlan) -> Vec<(String, String)> {
    let entries = plan.entries.iter();
    entries
        .map(|entry| {
            assert_eq!(entry.plugin, "schedule");
            assert_eq!(entry.root().unwrap().as_str(), "jobs");
            let schedule = entry.schedule.as_ref().unwrap();
            (schedule.to_string(), entry.export.to_string())
        })
        .collect()
}

#[test]
fn every_schedule_is_an_entry() {
    let scene = scheduled([
        schedule("tidy", Some("now")),
        schedule("tick", Some("tick")),
        schedule("run", None),
        schedule("again", Some("demo:jobs/tidy#now")),
    ]);
    let plan = scene.plan().unwrap();
    let now = "demo:jobs/tidy@0.1.0#now";
    let wanted = [
        ("tidy", now),
        ("tick", "tick"),
        ("run", "wasi:cli/run@0.2.6#run"),
        ("again", now),
    ];
    let wanted = wanted.map(|(name, export)| (name.to_owned(), export.to_owned()));
    assert_eq!(called(&plan), wanted);
    assert_eq!(plan.unreached, ["other".parse().unwrap()]);
}

#[test]
fn a_command_of_wasi_0_3_goes_before_one_of_0_2() {
    let mut scene = scheduled([schedule("run", None)]);
    let jobs: ComponentName = "jobs".parse().unwrap();
    let mut world = scene.worlds[&jobs].as_ref().clone();
    world.functions.push(function("wasi:cli/run@0.3.0#run"));
    scene.worlds.insert(jobs, Arc::new(world));
    assert_eq!(
        called(&scene.plan().unwrap())[0].1,
        "wasi:cli/run@0.3.0#run"
    );
}

#[test]
fn a_host_that_runs_no_schedules_says_so() {
    let mut scene = scheduled([schedule("tidy", Some("now"))]);
    scene.offers.scheduler = None;
    let problem = scene.problem();
    assert_eq!(
        problem.to_string(),
        "this host runs no schedules, such as `tidy`"
    );
    assert_eq!(problem.path(), "spec.schedules.0");
}

#[test]
fn on_a_closed_host_nothing_is_an_entry_and_nothing_needs_to_be() {
    let mut scene = scheduled([schedule("tidy", Some("now"))]);
    scene.offers.closed = true;
    let plan = scene.plan().unwrap();
    assert!(plan.entries.is_empty());
    assert_eq!(plan.unreached.len(), 2);
}

#[test]
fn a_call_of_any_component_has_the_links_of_the_workload() {
    let scene = scene([
        world("front").imports([GREETER]),
        world("greeter").exports([GREETER]).imports([TIMER]),
        world("timer").exports([TIMER]).concurrent(),
    ])
    .isolate("greeter", TIMER, "timer");
    let plan = |root: &str| {
        plan_call(
            &scene.workload,
            &scene.worlds,
            &scene.offers,
            &root.parse().unwrap(),
        )
        .unwrap()
    };
    let front = plan("front");
    let names: Vec<&str> = front
        .members
        .iter()
        .map(|it| it.component.as_str())
        .collect();
    assert_eq!(names, ["front", "greeter"]);
    assert_eq!(front.callees.len(), 1);
    assert_eq!(front.callees[0].root().unwrap().as_str(), "timer");
    assert_eq!(front.flavour, Flavour::Plain);
    let timer = plan("timer");
    assert_eq!((timer.members.len(), timer.callees.len()), (1, 0));
    assert_eq!(timer.flavour, Flavour::Concurrent);
}

#[test]
fn names_that_fit_more_than_one_function_are_not_guessed() {
    let mut scene = scheduled([schedule("tidy", Some("now"))]);
    let jobs: ComponentName = "jobs".parse().unwrap();
    let mut world = scene.worlds[&jobs].as_ref().clone();
    world.functions.push(function("demo:jobs/clean@0.1.0#now"));
    scene.worlds.insert(jobs, Arc::new(world));
    let problem = scene.problem();
    assert_eq!(problem.path(), "spec.schedules.0.function");
    assert_eq!(
        problem.hint().unwrap(),
        "name one of `demo:jobs/tidy@0.1.0#now`, `demo:jobs/clean@0.1.0#now`"
    );
}
