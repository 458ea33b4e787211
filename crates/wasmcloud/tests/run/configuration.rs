//! The configuration file, and the command line over it.

use std::process::Command;

use crate::support::{Host, Sandbox, at, manifest};

#[test]
fn the_file_counts_and_the_command_line_beats_it() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    sandbox.write(
        "host.yaml",
        "http: { addr: '127.0.0.2:0' }\ndataDir: kept\ngrace: 7s\nlog: { filter: 'guest=info', format: json }\n",
    );
    let args = ["w", "--config", "host.yaml", "--output", "json"];
    let mut host = Host::start(sandbox.command(&args));
    let ready = host.expect("ready");
    assert!(
        ready["http"].as_str().unwrap().starts_with("127.0.0.2:"),
        "{ready}"
    );
    assert!(sandbox.path("kept/cache").is_dir() && sandbox.path("kept/lock").is_file());
    host.signal("TERM");
    assert_eq!(host.expect("stopping")["graceSeconds"], 7.0);
    host.expect("stopped");
    drop(host);
    let mut host = sandbox.start(&["w", "--config", "host.yaml", "--data-dir", "other"]);
    let ready = host.expect("ready");
    assert!(
        ready["http"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{ready}"
    );
    assert!(sandbox.path("other/lock").is_file());
    host.stop();
}

#[test]
fn what_is_wrong_in_the_file_keeps_the_host_from_starting() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    sandbox.write("host.yaml", "grac: 1s\n");
    let finished = sandbox.finish(&["w", "--config", "host.yaml"]);
    assert_eq!(finished.code(), Some(1));
    let told = finished.stderr();
    assert!(
        told.contains("unknown field `grac`") && told.contains("did you mean `grace`?"),
        "{told}"
    );
    let finished = sandbox.finish(&["w", "--config", "none.yaml"]);
    assert!(
        finished
            .stderr()
            .contains("check the path given with `--config`"),
        "{finished:?}"
    );
}

/// There may be no Docker where the tests run, so this only reads what must not be lost.
#[test]
fn the_container_is_small_and_does_not_run_as_root() {
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let text = std::fs::read_to_string(deploy.join("Dockerfile")).unwrap();
    let last = text.rsplit("\nFROM ").next().unwrap();
    assert!(last.starts_with("debian:12-slim\n") && text.matches("\nFROM ").count() == 2);
    let lines: Vec<&str> = last.lines().collect();
    let at = |start: &str| {
        lines
            .iter()
            .position(|line| line.starts_with(start))
            .unwrap()
    };
    assert!(at("USER 10001:10001") < at("ENTRYPOINT [\"/usr/local/bin/wasmcloud\"]"));
    assert!(lines.contains(&"VOLUME /data") && lines.contains(&"STOPSIGNAL SIGTERM"));
    // What it runs is what the program understands.
    let arguments: Vec<String> =
        serde_json::from_str(lines[at("CMD")].trim_start_matches("CMD ")).unwrap();
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", manifest("a", 1, "{}"));
    let mut run: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let folder = sandbox.path("w");
    run[0] = folder.to_str().unwrap();
    run.push("--check");
    assert_eq!(sandbox.finish(&run).code(), Some(0));
}

/// What the operating system has to say about the unit, where it has the tool for it.
#[test]
fn the_systemd_unit_is_well_formed() {
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let sandbox = Sandbox::new();
    let unit = std::fs::read_to_string(deploy.join("wasmcloud.service")).unwrap();
    for line in [
        "KillSignal=SIGTERM",
        "Restart=on-failure",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "MemoryDenyWriteExecute=no",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // The program is not installed on the machine that tests.
    let unit = unit.replace("/usr/local/bin/wasmcloud", env!("CARGO_BIN_EXE_wasmcloud"));
    sandbox.write("wasmcloud.service", unit);
    let Ok(verified) = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(sandbox.path("wasmcloud.service"))
        .output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(!said.contains("wasmcloud.service"), "{said}");
}
