//! The way into a running host, and schedules, as an operator meets them.

use serde_json::json;
use wasmcloud::control::{Answered, Call, Command, SocketPath};

use crate::support::{Sandbox, at};

const ERRANDS: &str = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: { name: jobs }\nspec:\n  components:\n    - { name: errands, image: ../errands.wasm }\n  schedules:\n    - name: sum\n      component: errands\n      function: sum\n      args: [\"[40, 2]\"]\n      schedule: \"0 0 29 2 *\"\n";

fn with_errands() -> Sandbox {
    let sandbox = Sandbox::with_app();
    std::fs::copy(test_guests::ERRANDS, sandbox.path("errands.wasm")).unwrap();
    sandbox
}

#[test]
fn a_host_with_a_data_folder_can_be_asked() {
    let sandbox = with_errands();
    sandbox.write("w/jobs.yaml", ERRANDS);
    let mut host = sandbox.start(&["w", "--data-dir", "data"]);
    assert_eq!(host.expect("ready")["workloads"], json!(["default:jobs"]));
    let call = Call {
        workload: "jobs".to_owned(),
        component: None,
        function: "sum".to_owned(),
        args: vec!["[1, 2]".to_owned()],
    };
    let Answered::Answer { wave, .. } = sandbox.ask(Command::Call(call)) else {
        panic!("another answer");
    };
    assert_eq!(wave, "3");
    let Answered::Status(status) = sandbox.ask(Command::Status) else {
        panic!("another answer");
    };
    assert_eq!(
        status.workloads[0]["schedules"][0]["next"],
        "2028-02-29T00:00:00+00:00[UTC]"
    );
    host.stop();
    assert!(SocketPath::find(&sandbox.path("data")).is_none());
}

#[test]
fn a_host_that_is_told_so_cannot_be_asked() {
    let sandbox = with_errands();
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = sandbox.start(&["w", "--data-dir", "data", "--no-control"]);
    host.expect("ready");
    assert!(SocketPath::find(&sandbox.path("data")).is_none());
    host.stop();
    sandbox.write("host.yaml", "control: false\n");
    let mut host = sandbox.start(&["w", "--data-dir", "data", "--config", "host.yaml"]);
    host.expect("ready");
    assert!(SocketPath::find(&sandbox.path("data")).is_none());
    host.stop();
}

#[test]
fn what_is_wrong_with_schedules_is_found_without_running_anything() {
    let sandbox = with_errands();
    sandbox.write(
        "w/a.yaml",
        ERRANDS
            .replace("0 0 29 2 *", "0 25 29 2 *")
            .replace("jobs", "a"),
    );
    sandbox.write(
        "w/b.yaml",
        ERRANDS
            .replace("function: sum", "function: sun")
            .replace("jobs", "b"),
    );
    sandbox.write(
        "w/c.yaml",
        ERRANDS.replace("[40, 2]", "[40, x]").replace("jobs", "c"),
    );
    sandbox.write(
        "w/d.yaml",
        ERRANDS
            .replace("component: errands", "component: errand")
            .replace("jobs", "d"),
    );
    let finished = sandbox.finish(&["w", "--check", "--output", "json"]);
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    let events = finished.events();
    for (file, line, told, hint) in [
        (
            "w/a.yaml",
            12,
            "the hour `25` of the schedule",
            "an hour is",
        ),
        (
            "w/b.yaml",
            10,
            "schedule `sum` calls `sun`",
            "did you mean `sum`?",
        ),
        (
            "w/c.yaml",
            11,
            "is no list<s64>: found `[40, x]`",
            "write it like [-42]",
        ),
        (
            "w/d.yaml",
            9,
            "`errand` is no component of this workload",
            "did you mean `errands`?",
        ),
    ] {
        let event = events.iter().find(|event| event["file"] == file);
        let event = event.unwrap_or_else(|| panic!("nothing about {file}: {events:?}"));
        assert!(event["message"].as_str().unwrap().contains(told), "{event}");
        assert!(event["hint"].as_str().unwrap().starts_with(hint), "{event}");
        assert_eq!(event["line"], line, "{event}");
    }
}
