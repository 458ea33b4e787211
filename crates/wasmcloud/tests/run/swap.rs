//! A new version takes over while requests come in: none fails, none goes back to the old version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{Request, Sandbox, at};

#[test]
fn a_swap_under_load_drops_no_request() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = sandbox.start(&["w"]);
    host.expect("ready");
    let host = Arc::new(std::sync::Mutex::new(host));
    let http = host.lock().unwrap().http.clone();
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (http, done) = (http.clone(), Arc::clone(&done));
            thread::spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let head =
                        "GET /env HTTP/1.1\r\nhost: a.localhost\r\nconnection: close\r\n\r\n";
                    let answer = Request::begin(&http, head).rest().unwrap();
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                    let (_, version) = answer.split_once("VERSION=").unwrap();
                    let version: u32 = version[..1].parse().unwrap();
                    assert!(version >= last, "{version} after {last}");
                    last = version;
                }
                last
            })
        })
        .collect();
    let slow = Request::in_flight(&http, "a.localhost");
    for version in 2..=5 {
        sandbox.write("w/a.yaml", at("a", version));
        host.lock().unwrap().expect("workload-replaced");
    }
    assert_eq!(host.lock().unwrap().version("a"), Some(5));
    done.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.join().unwrap() >= 1);
    }
    // What the first version had begun to answer, it finishes.
    let mut slow = slow;
    slow.send("3\r\nend\r\n0\r\n\r\n");
    assert!(slow.rest().unwrap().contains("end"));
    let host = Arc::into_inner(host).unwrap().into_inner().unwrap();
    host.stop();
}
