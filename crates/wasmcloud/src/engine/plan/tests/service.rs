//! The service of a workload, and what it reaches.

use super::*;

const RUN_0_2: &str = "wasi:cli/run@0.2.6";
const RUN_0_3: &str = "wasi:cli/run@0.3.0";

/// A scene whose component `service` is the workload's service.
fn scene_of(service: Sketch, others: impl IntoIterator<Item = Sketch>) -> Scene {
    let mut scene = scene(others.into_iter().chain([service]));
    let component = scene.workload.components.pop().unwrap();
    let (image, resources) = (component.image, component.local_resources);
    scene.workload.service = Some(crate::workload::Service::new(image, resources, 0));
    scene
}

fn service() -> Sketch {
    world("service")
}

fn members(plan: &LinkPlan) -> Vec<&str> {
    let members = plan.service.iter().flat_map(|service| &service.members);
    members.map(|member| member.component.as_str()).collect()
}

#[test]
fn what_a_service_runs_needs_no_grant() {
    for run in [RUN_0_2, RUN_0_3] {
        let plan = scene_of(service().exports([run]), []).plan().unwrap();
        assert_eq!(plan.service.unwrap().run.unwrap().to_string(), run);
        assert!(plan.entries.is_empty() && plan.unreached.is_empty());
    }
    let both = scene_of(service().exports([RUN_0_2, RUN_0_3]), []);
    let run = both.plan().unwrap().service.unwrap().run.unwrap();
    assert_eq!(run.to_string(), RUN_0_3);
}

#[test]
fn components_are_apart_from_a_service_unless_a_link_says_so() {
    let scene = || {
        let greeter = world("greeter").exports([GREETER]);
        scene_of(service().exports([RUN_0_3]).imports([GREETER]), [greeter])
    };
    let plan = scene().plan().unwrap();
    assert_eq!(members(&plan), ["service"]);
    assert_eq!(plan.callees.len(), 1);
    assert_eq!(
        scene().links(),
        ["service demo:greet/greeter@1.0.0 -> greeter (isolated)"]
    );
    let fused = scene().link(Some("service"), GREETER, "greeter");
    assert_eq!(members(&fused.plan().unwrap()), ["service", "greeter"]);
}

/// What cannot be copied stays in the store of the service, and the plan says why.
#[test]
fn what_cannot_cross_is_fused_with_a_reason() {
    let confined = format!("confined {GREETER}");
    let greeter = world("greeter").exports([&confined]);
    let scene = scene_of(service().exports([RUN_0_3]).imports([&confined]), [greeter]);
    let plan = scene.plan().unwrap();
    assert_eq!(members(&plan), ["service", "greeter"]);
    insta::assert_snapshot!(plan.links[0].because.as_ref().unwrap(), @"function `read` returns a stream, so the instance lives as long as the service");
}

/// Between components nothing changes: what the service calls has everything else fused behind it.
#[test]
fn behind_its_callee_components_are_fused_as_ever() {
    let greeter = world("greeter").exports([GREETER]).imports([TIMER]);
    let timer = world("timer").exports([TIMER]);
    let scene = scene_of(
        service().exports([RUN_0_2]).imports([GREETER]),
        [greeter, timer],
    );
    let plan = scene.plan().unwrap();
    let behind = plan.callees[0].members.iter();
    let behind: Vec<&str> = behind.map(|member| member.component.as_str()).collect();
    assert_eq!(behind, ["greeter", "timer"]);
}

#[test]
fn a_long_lived_handler_of_a_service_is_called_and_an_older_one_is_not() {
    let scene = scene_of(service().exports([HANDLER_0_2, HANDLER_0_3]), []).grant(HANDLER_0_3);
    let plan = scene.plan().unwrap();
    assert_eq!(plan.entries[0].export.to_string(), HANDLER_0_3);
    assert_eq!(plan.entries[0].root(), Some(&ComponentName::service()));
    assert!(plan.service.unwrap().run.is_none());

    let old = scene_of(service().exports([HANDLER_0_2]), []).grant(HANDLER_0_2);
    let problems = old.plan().unwrap_err().to_string();
    assert!(
        problems.contains("the service would do nothing"),
        "{problems}"
    );
}

/// One instance cannot be in two calls at once that do not overlap, so nobody is linked to a service.
#[test]
fn nobody_is_linked_to_a_service() {
    let front = world("front").exports([HANDLER_0_2]).imports([GREETER]);
    let scene = scene_of(service().exports([RUN_0_3, GREETER]), [front]).served();
    assert!(matches!(
        scene.plan().unwrap_err().0[..],
        [Problem::Unmet { .. }]
    ));
}

#[test]
fn a_service_with_nothing_to_do_is_told_what_it_could() {
    let problem = |sketch: Sketch| {
        let errors = scene_of(sketch, []).plan().unwrap_err();
        assert_eq!(errors.0[0].path(), "spec.service");
        errors.to_string()
    };
    insta::assert_snapshot!(problem(service()), @"
    the service would do nothing: it exports nothing
    hint: export `wasi:cli/run` (0.2 or 0.3) or `wasi:http/handler@0.3.0`; what only answers calls belongs under `components`
    ");
    insta::assert_snapshot!(problem(service().exports([GREETER])), @"
    the service would do nothing: it exports `demo:greet/greeter@1.0.0`
    hint: export `wasi:cli/run` (0.2 or 0.3) or `wasi:http/handler@0.3.0`; what only answers calls belongs under `components`
    ");
    insta::assert_snapshot!(problem(service().exports([HANDLER_0_3])), @"
    the service would do nothing: it exports `wasi:http/handler@0.3.0`
    hint: export `wasi:cli/run`; or, to have its `wasi:http/handler@0.3.0` called, list under `hostInterfaces:`
      - namespace: wasi
        package: http
        interfaces: [handler]
    ");
}
