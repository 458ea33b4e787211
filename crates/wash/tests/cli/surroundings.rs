//! What components of `wash dev` may reach: hosts, addresses and folders, and what is told about the rest.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::support::{Dev, Sandbox};

/// A project whose component is there already.
fn prebuilt(component: &str, config: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("p/app.wasm", fs::read(component).unwrap());
    sandbox.write("p/data/note", "from the machine");
    sandbox.write(
        "p/.wash/config.yaml",
        format!("build: {{command: 'true', component_path: app.wasm}}\n{config}"),
    );
    sandbox
}

fn dev(sandbox: &Sandbox, more: &[&str]) -> Dev {
    let args = ["dev", "p", "--http-addr", "127.0.0.1:0", "--output", "json"];
    let mut dev = Dev::start(sandbox.command(&[&args[..], more].concat()));
    dev.expect("ready");
    dev
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

#[test]
fn a_folder_that_the_configuration_names_is_seen() {
    let config = "dev: {volumes: [{host_path: data, guest_path: /files}]}\n";
    let sandbox = prebuilt(test_guests::FS_P2, config);
    let dev = dev(&sandbox, &[]);
    let answer = dev.get("/run?mounts;read,/files:note;write,/files:more,xyz");
    assert_eq!(answer, (200, "/files\nfrom the machine\n3\n".to_owned()));
    assert_eq!(sandbox.read("p/data/more"), "xyz");
    dev.stop("TERM");
}

#[test]
fn a_request_that_is_denied_is_told_with_what_to_do() {
    let path = format!("/http?url=http://{}/", outside());
    let sandbox = prebuilt(test_guests::HTTP_P2, "");
    let first = dev(&sandbox, &[]);
    assert_eq!(first.get(&path).1, "ErrorCode::HttpRequestDenied\n");
    first.wait_for_talk("list it in `allowedHosts`, in workload.yaml or else in .wash/config.yaml");
    first.stop("TERM");

    let sandbox = prebuilt(
        test_guests::HTTP_P2,
        "workload: {allowedHosts: [127.0.0.1]}\n",
    );
    let second = dev(&sandbox, &[]);
    assert_eq!(second.get(&path).1, "ErrorCode::DestinationIpProhibited\n");
    second.wait_for_talk("start `wash dev` with `--allow-egress`");
    second.stop("TERM");

    let third = dev(&sandbox, &["--allow-egress", "127.0.0.1/32"]);
    assert_eq!(third.get(&path), (200, "status 200\nhi".to_owned()));
    third.stop("TERM");
}

#[test]
fn a_network_in_the_configuration_and_a_folder_on_the_command_line_are_allowed() {
    let sandbox = prebuilt(
        test_guests::HTTP_P2,
        "dev: {allow_egress: [127.0.0.1/32]}\nworkload: {allowedHosts: ['*']}\n",
    );
    let path = format!("/http?url=http://{}/", outside());
    let first = dev(&sandbox, &[]);
    assert_eq!(first.get(&path), (200, "status 200\nhi".to_owned()));
    first.stop("TERM");

    let sandbox = prebuilt(test_guests::FS_P2, "");
    let folder = sandbox.path("p/data").canonicalize().unwrap();
    sandbox.write(
        "p/workload.yaml",
        format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{name: shop}}\nspec:\n  components:\n  \
             - {{name: a, image: ./app.wasm, localResources: {{volumeMounts: [{{name: d, mountPath: /d}}]}}}}\n  \
             volumes: [{{name: d, hostPath: {{path: '{}'}}}}]\n  \
             hostInterfaces: [{{namespace: wasi, package: http, interfaces: [incoming-handler]}}]\n",
            folder.display()
        ),
    );
    let mut denied = sandbox.dev("p");
    let failed = denied.expect("failed");
    let hint = failed["errors"][0]["hint"].as_str().unwrap();
    assert!(
        hint.ends_with("(`wash dev` allows folders with `--allow-folder`)"),
        "{failed}"
    );
    denied.stop("TERM");
    let second = dev(&sandbox, &["--allow-folder", "p/data"]);
    assert_eq!(second.get("/run?read,/d:note").1, "from the machine\n");
    second.stop("TERM");
}
