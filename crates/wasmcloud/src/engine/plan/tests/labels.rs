//! Imports by a label: each is for the entry of its own name.

use super::*;

const SESSIONS: &str = "sessions=wasi:keyvalue/store@0.2.0-draft";

fn named(interface: &str, name: &str) -> HostInterface {
    let mut entry: HostInterface = interface.parse().unwrap();
    entry.name = Some(name.to_owned());
    entry
}

fn with<const N: usize>(imports: [&str; N], entries: &[(&str, Option<&str>)]) -> Scene {
    let mut scene = scene([world("front").exports([HANDLER_0_2]).imports(imports)]).served();
    for (interface, name) in entries {
        let entry = match name {
            Some(name) => named(interface, name),
            None => interface.parse().unwrap(),
        };
        scene.workload.host_interfaces.push(entry);
    }
    scene
}

#[test]
fn a_label_and_the_plain_import_have_an_entry_each() {
    let scene = with(
        [SESSIONS, STORE],
        &[
            ("wasi:keyvalue/store", None),
            ("wasi:keyvalue/store", Some("sessions")),
        ],
    );
    assert_eq!(
        scene.links(),
        [
            "front sessions -> keyvalue (host)",
            "front wasi:keyvalue/store@0.2.0-draft -> keyvalue (host)"
        ]
    );
}

/// Else what is meant for one store would end up in another because of a slip of the pen.
#[test]
fn the_entry_of_the_plain_import_grants_no_label_and_the_other_way_round() {
    let scene = with([SESSIONS], &[("wasi:keyvalue/store", None)]);
    assert_eq!(
        scene.problem(),
        Problem::NotGranted {
            component: name("front"),
            import: id(STORE),
            label: Some("sessions".to_owned()),
        }
    );
    let scene = with(
        [SESSIONS, STORE],
        &[("wasi:keyvalue/store", Some("sessions"))],
    );
    assert_eq!(
        scene.problem(),
        Problem::NotGranted {
            component: name("front"),
            import: id(STORE),
            label: None,
        }
    );
}

#[test]
fn an_entry_for_a_label_that_nobody_uses_is_an_error() {
    let scene = with(
        [SESSIONS],
        &[
            ("wasi:keyvalue/store", Some("sessions")),
            ("wasi:keyvalue/store", Some("session")),
        ],
    );
    assert_eq!(
        scene.problem(),
        Problem::UnusedLabel {
            index: 2,
            label: "session".to_owned(),
            nearest: Some("sessions".to_owned()),
        }
    );
}

/// Manifests may say by its id which plugin should answer; that is no label.
#[test]
fn the_id_of_a_plugin_is_no_label() {
    let scene = with([STORE], &[("wasi:keyvalue/store", Some("keyvalue"))]);
    assert_eq!(
        scene.links(),
        ["front wasi:keyvalue/store@0.2.0-draft -> keyvalue (host)"]
    );
}
