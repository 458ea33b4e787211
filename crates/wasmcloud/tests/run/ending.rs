//! How a run ends: gently, at the end of the grace, or at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{Host, Request, Sandbox, at};

fn running(sandbox: &Sandbox, args: &[&str]) -> Host {
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = sandbox.start(&[&["w"], args].concat());
    host.expect("ready");
    host
}

#[test]
fn what_is_being_answered_is_finished_and_nobody_is_let_in() {
    for signal in ["TERM", "INT"] {
        let sandbox = Sandbox::with_app();
        let mut host = running(&sandbox, &[]);
        let requests: Vec<Request> = (0..16)
            .map(|_| Request::in_flight(&host.http, "a.localhost"))
            .collect();
        host.signal(signal);
        let stopping = host.expect("stopping");
        assert_eq!(
            (&stopping["signal"], &stopping["graceSeconds"]),
            (&json!(format!("SIG{signal}")), &json!(30.0))
        );
        while TcpStream::connect(&host.http).is_ok() {}
        for mut request in requests {
            request.send("3\r\nend\r\n0\r\n\r\n");
            let rest = request.rest().unwrap();
            assert!(
                rest.contains("end") && rest.ends_with("0\r\n\r\n"),
                "{rest:?}"
            );
        }
        assert_eq!(host.expect("stopped")["drained"], true);
        assert_eq!(host.ended().0, Some(0));
    }
}

#[test]
fn what_is_not_finished_within_the_grace_is_cut_and_the_exit_code_says_so() {
    let sandbox = Sandbox::with_app();
    sandbox.write("host.yaml", "grace: 200ms\n");
    let mut host = running(&sandbox, &["--config", "host.yaml"]);
    let request = Request::in_flight(&host.http, "a.localhost");
    let waiting = Request::begin(
        &host.http,
        "GET /hang HTTP/1.1\r\nhost: a.localhost\r\n\r\n",
    );
    let sure = Request::in_flight(&host.http, "a.localhost");
    drop(sure);
    host.signal("TERM");
    assert_eq!(host.expect("stopping")["graceSeconds"], 0.2);
    assert_eq!(host.expect("stopped")["drained"], false);
    assert_eq!(host.ended().0, Some(3));
    // The one that was cut can tell: the end of the body is missing.
    assert!(!request.rest().unwrap_or_default().contains("0\r\n\r\n"));
    drop(waiting);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let sandbox = Sandbox::with_app();
        let mut host = running(&sandbox, &[]);
        let _request = Request::in_flight(&host.http, "a.localhost");
        host.signal("TERM");
        host.expect("stopping");
        host.signal(signal);
        assert_eq!(host.ended().0, Some(code));
    }
}

/// A client that holds a connection open and asks nothing keeps nobody.
#[test]
fn idle_connections_are_closed() {
    let sandbox = Sandbox::with_app();
    sandbox.write("host.yaml", "grace: 1h\n");
    let host = running(&sandbox, &["--config", "host.yaml"]);
    let silent = Request::begin(&host.http, "");
    let mut idle = Request::begin(
        &host.http,
        "GET /hello HTTP/1.1\r\nhost: a.localhost\r\n\r\n",
    );
    idle.send("");
    let half = Request::begin(&host.http, "GET /hello HTTP/1.1\r\nho");
    host.stop();
    drop((silent, idle, half));
}

/// Clients that connect all the time: whoever got a connection gets an answer, and then nobody gets one.
#[test]
fn under_load_whoever_was_let_in_is_answered() {
    let sandbox = Sandbox::with_app();
    let mut host = running(&sandbox, &[]);
    let (sender, answered) = std::sync::mpsc::channel();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (http, sender) = (host.http.clone(), sender.clone());
            std::thread::spawn(move || {
                while let Ok(mut stream) = TcpStream::connect(&http) {
                    let head =
                        "GET /hello HTTP/1.1\r\nhost: a.localhost\r\nconnection: close\r\n\r\n";
                    let mut answer = String::new();
                    let read = stream
                        .write_all(head.as_bytes())
                        .and_then(|()| stream.read_to_string(&mut answer));
                    let _ = sender.send(read.map(|_| answer));
                }
            })
        })
        .collect();
    drop(sender);
    let mut answers = answered.into_iter();
    for answer in answers.by_ref().take(200) {
        assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    }
    host.signal("TERM");
    for answer in answers {
        let answer = answer.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    host.expect("stopping");
    assert_eq!(host.expect("stopped")["drained"], true);
    assert_eq!(host.ended().0, Some(0));
}
