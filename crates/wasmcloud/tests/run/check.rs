//! `--check`: everything that is wrong, and nothing that runs.

use serde_json::json;

use crate::support::{Sandbox, at, manifest};

#[test]
fn what_is_fine_is_said_to_be() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    sandbox.write("w/b.yaml", at("b", 1));
    let finished = sandbox.finish(&["w", "--check", "--data-dir", "data"]);
    assert_eq!(
        (finished.code(), &*finished.stdout()),
        (Some(0), "ok: default:a, default:b\n"),
        "{finished:?}"
    );
    assert!(!sandbox.path("data").exists());
    let finished = sandbox.finish(&["w", "--check", "--output", "json"]);
    let told = json!({"event": "checked", "workloads": ["default:a", "default:b"], "problems": 0});
    assert_eq!((finished.code(), finished.events()), (Some(0), vec![told]));
}

#[test]
fn everything_that_is_wrong_is_told() {
    let sandbox = Sandbox::with_app();
    sandbox.write("bad.wasm", "no component");
    sandbox.write("w/a-good.yaml", at("a", 1));
    sandbox.write("w/b-garbage.yaml", "garbage: [");
    sandbox.write(
        "w/c-missing.yaml",
        at("c", 1).replace("app.wasm", "none.wasm"),
    );
    sandbox.write(
        "w/d-no-component.yaml",
        at("d", 1).replace("app.wasm", "bad.wasm"),
    );
    sandbox.write("w/e-setting.yaml", manifest("e", 1, "{ hosst: x }"));
    sandbox.write(
        "w/f-clash.yaml",
        at("a", 1).replace("name: a }", "name: f }"),
    );
    sandbox.write("w/g-twin.yaml", at("a", 2));
    let finished = sandbox.finish(&["w", "--check", "--output", "json"]);
    assert_eq!(finished.code(), Some(1), "{finished:?}");
    let mut events = finished.events();
    let last = events.pop().unwrap();
    assert_eq!(
        last,
        json!({"event": "checked", "workloads": ["default:a"], "problems": 6})
    );
    for (file, told) in [
        ("w/b-garbage.yaml", "unknown field"),
        ("w/c-missing.yaml", "there is no such file"),
        ("w/d-no-component.yaml", "bad.wasm"),
        ("w/e-setting.yaml", "`hosst` is not a setting"),
        ("w/f-clash.yaml", "both want to answer"),
        ("w/g-twin.yaml", "is also in w/a-good.yaml"),
    ] {
        let event = events.iter().find(|event| event["file"] == file);
        let event = event.unwrap_or_else(|| panic!("nothing about {file}: {events:?}"));
        assert!(event["message"].as_str().unwrap().contains(told), "{event}");
        assert!(
            event["line"].is_u64() && event["column"].is_u64(),
            "{event}"
        );
    }
}

#[test]
fn the_configuration_is_checked_too() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    sandbox.write("host.yaml", "grace: soon\nhttp: { port: 80 }\n");
    let finished = sandbox.finish(&["w", "--check", "--config", "host.yaml", "--output", "json"]);
    assert_eq!(finished.code(), Some(1));
    let event = &finished.events()[0];
    assert_eq!(
        (&event["file"], &event["line"]),
        (&json!("host.yaml"), &json!(2)),
        "{event}"
    );
}
