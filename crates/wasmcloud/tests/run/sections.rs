//! What the sections of the configuration file do to workloads: limits, egress and volumes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Sandbox, at, with_teller};

/// A workload that lists where it may send requests.
fn reaching(hosts: &str) -> String {
    at("a", 1)
        .replace("[incoming-handler]", "[incoming-handler, outgoing-handler]")
        .replace(
            "localResources: {",
            &format!("localResources: {{ allowedHosts: [{hosts}],"),
        )
}

/// A workload whose component is in `files.wasm`, and sees a folder as `/data`.
fn mounting(sandbox: &Sandbox, volume: &str) -> String {
    fs::copy(test_guests::FS_P2, sandbox.path("files.wasm")).unwrap();
    let manifest = at("a", 1).replace("app.wasm", "files.wasm").replace(
        "localResources: {",
        "localResources: { volumeMounts: [{ name: data, mountPath: /data }],",
    );
    format!("{manifest}  volumes:\n    - name: data\n      {volume}\n")
}

/// A server that answers everybody with `hi`.
fn outside() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

/// What `--check` and a start say about the one workload, which must be the same.
fn refused(sandbox: &Sandbox) -> Value {
    let config = ["w", "--config", "host.yaml"];
    let checked = sandbox.finish(&[&config[..], &["--check", "--output", "json"]].concat());
    assert_eq!(checked.code(), Some(1), "{checked:?}");
    let found = checked.events();
    let mut host = sandbox.start(&config);
    assert_eq!(host.expect("ready")["failed"], json!(["default:a"]));
    let error = host.expect("error");
    host.expect("workload-failed");
    host.stop();
    assert_eq!(found.len(), 2, "{found:?}");
    for part in ["message", "hint", "file", "line", "column"] {
        assert_eq!(error[part], found[0][part]);
    }
    error
}

#[test]
fn more_memory_than_the_host_gives_is_refused_where_it_is_asked_for() {
    let sandbox = Sandbox::with_app();
    sandbox.write(
        "host.yaml",
        "limits: { memory: { default: 16MiB, most: 32MiB } }\n",
    );
    sandbox.write(
        "w/a.yaml",
        at("a", 1).replace("localResources: {", "localResources: { memoryLimitMb: 33,"),
    );
    let error = refused(&sandbox);
    let told = error["message"].as_str().unwrap();
    assert!(
        told.contains("`memoryLimitMb` asks for 33 MiB; this host gives at most 32 MiB"),
        "{error}"
    );
    let text = fs::read_to_string(sandbox.path("w/a.yaml")).unwrap();
    let (line, column) = text
        .lines()
        .enumerate()
        .find_map(|(line, text)| Some((line + 1, text.find(" 33,")? + 2)))
        .unwrap();
    assert_eq!(
        (&error["file"], &error["line"], &error["column"]),
        (&json!("w/a.yaml"), &json!(line), &json!(column)),
        "{error}"
    );
    sandbox.write(
        "w/a.yaml",
        at("a", 1).replace("localResources: {", "localResources: { memoryLimitMb: 32,"),
    );
    let mut host = sandbox.start(&["w", "--config", "host.yaml"]);
    assert_eq!(host.expect("ready")["workloads"], json!(["default:a"]));
    host.stop();
}

#[test]
fn a_folder_of_the_machine_is_mounted_where_the_file_allows_it() {
    let sandbox = Sandbox::with_app();
    fs::create_dir(sandbox.path("data")).unwrap();
    fs::create_dir(sandbox.path("secret")).unwrap();
    sandbox.write("data/note", "from the machine");
    sandbox.write("host.yaml", "volumes: { roots: [data] }\n");
    let mount = |folder: &str| {
        let path = sandbox.path(folder).canonicalize().unwrap();
        let volume = format!("hostPath: {{ path: '{}' }}", path.display());
        mounting(&sandbox, &volume)
    };
    sandbox.write("w/a.yaml", mount("secret"));
    let error = refused(&sandbox);
    let told = error["message"].as_str().unwrap();
    assert!(
        told.contains("is in none of the folders that this host allows"),
        "{error}"
    );
    assert!(error["line"].is_u64(), "{error}");
    sandbox.write("w/a.yaml", mount("data"));
    let config = ["w", "--config", "host.yaml"];
    assert_eq!(
        sandbox.finish(&[&config[..], &["--check"]].concat()).code(),
        Some(0)
    );
    let mut host = sandbox.start(&config);
    host.expect("ready");
    let answer = host.get("a.localhost", "/run?read,/data:note");
    assert_eq!(answer, (200, "from the machine\n".to_owned()));
    host.stop();
}

#[test]
fn ephemeral_volumes_are_as_large_as_the_file_says() {
    let sandbox = Sandbox::with_app();
    sandbox.write(
        "host.yaml",
        "volumes: { ephemeralDir: scratch, ephemeralSize: 1MiB, largestEphemeral: 2MiB }\n",
    );
    sandbox.write(
        "w/a.yaml",
        mounting(&sandbox, "ephemeral: { sizeLimitMb: 3 }"),
    );
    let error = refused(&sandbox);
    let told = error["message"].as_str().unwrap();
    assert!(told.contains("asks for 3 MiB, and this host gives at most 2 MiB"));
    sandbox.write("w/a.yaml", mounting(&sandbox, "ephemeral: {}"));
    let args = ["w", "--config", "host.yaml", "--data-dir", "kept"];
    let mut host = sandbox.start(&args);
    host.expect("ready");
    let (_, answer) = host.get("a.localhost", "/run?touch,/data:f;resize,/data:f,2000000");
    assert_eq!(answer, "ok\ninsufficient-space\n");
    assert!(sandbox.path("scratch").is_dir() && !sandbox.path("kept/volumes").exists());
    host.stop();
}

#[test]
fn a_network_that_the_file_allows_can_be_reached() {
    let sandbox = Sandbox::with_app();
    let address = outside();
    sandbox.write("w/a.yaml", reaching("'*'"));
    let path = format!("/http?url=http://{address}/");
    for (config, wanted) in [
        ("{}", "ErrorCode::DestinationIpProhibited\n"),
        (
            "{ allowPrivate: true }",
            "ErrorCode::DestinationIpProhibited\n",
        ),
        ("{ allow: [127.0.0.1/32] }", "status 200\nhi"),
    ] {
        sandbox.write("host.yaml", format!("egress: {config}\n"));
        let mut host = sandbox.start(&["w", "--config", "host.yaml"]);
        host.expect("ready");
        let (status, answer) = host.get("a.localhost", &path);
        assert_eq!((status, answer.trim_end()), (200, wanted.trim_end()));
        host.stop();
    }
}

#[test]
fn what_is_only_audited_passes_and_is_told_in_the_log() {
    let sandbox = Sandbox::with_app();
    let address = outside();
    sandbox.write("w/a.yaml", reaching(""));
    sandbox.write("host.yaml", "egress: { mode: audit }\n");
    let mut host = sandbox.start(&["w", "--config", "host.yaml"]);
    host.expect("ready");
    let (status, answer) = host.get("a.localhost", &format!("/http?url=http://{address}/"));
    assert_eq!((status, answer.trim_end()), (200, "status 200\nhi"));
    let talk = host.stop();
    assert_eq!(
        talk.matches("would be denied, and passes").count(),
        2,
        "{talk}"
    );
}

#[test]
fn certificates_that_cannot_be_read_keep_the_host_from_starting() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    for (text, hint) in [
        (
            "http: { client: { trust: extra-only, extraCaFiles: [none.pem] } }\n",
            "hint: see `trust` and `extraCaFiles` under `http.client`",
        ),
        (
            "backends: { extraCaFiles: [none.pem] }\n",
            "hint: see `extraCaFiles` under `backends`",
        ),
    ] {
        sandbox.write("host.yaml", text);
        for more in [&["--check"][..], &["--http-addr", "127.0.0.1:0"]] {
            let args = [&["w", "--config", "host.yaml"], more].concat();
            let finished = sandbox.finish(&args);
            assert_eq!(finished.code(), Some(1), "{finished:?}");
            let told = finished.stderr();
            assert!(told.contains("`none.pem`") && told.contains(hint), "{told}");
        }
    }
}

/// A component that the file makes a plugin answers a workload that knows nothing of it but the interface.
#[test]
fn a_plugin_that_is_a_component_is_offered_to_workloads() {
    let sandbox = Sandbox::with_app();
    fs::copy(test_guests::LEDGER, sandbox.path("ledger.wasm")).unwrap();
    fs::copy(test_guests::TELLER, sandbox.path("teller.wasm")).unwrap();
    let plugin = "hostPlugins:\n  - { id: ledger, file: ledger.wasm, config: { title: sales } }\n";
    sandbox.write("host.yaml", plugin);
    sandbox.write("w/a.yaml", with_teller(&at("a", 1)));
    let config = ["w", "--config", "host.yaml"];
    let checked = sandbox.finish(&[&config[..], &["--check", "--output", "json"]].concat());
    assert_eq!(checked.code(), Some(0), "{checked:?}");
    let mut host = sandbox.start(&config);
    assert_eq!(host.expect("ready")["failed"], json!([]));
    host.stop();

    sandbox.write("host.yaml", plugin.replace("ledger.wasm", "app.wasm"));
    for more in [&["--check"][..], &["--http-addr", "127.0.0.1:0"]] {
        let refused = sandbox.finish(&[&config[..], more].concat());
        assert_eq!(refused.code(), Some(1), "{refused:?}");
        assert!(
            format!("{refused:?}").contains("exports no interface"),
            "{refused:?}"
        );
    }
}
