//! Edit, save, see it: without a dropped request, and whatever the compiler says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::{Dev, Sandbox, get};

/// Asks again and again until it is told to stop; counts answers, and panics at the first that is none.
struct Visitors {
    over: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

impl Visitors {
    fn come(http: &str) -> Self {
        let (over, answers) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (stop, count, http) = (Arc::clone(&over), Arc::clone(&answers), http.to_owned());
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let (status, body) = get(&http, "/", &[]);
                assert_eq!(status, 200, "{body}");
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            over,
            answers,
            thread,
        }
    }

    fn leave(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("every request is answered well");
        assert!(self.answers.load(Ordering::Relaxed) > 0);
    }
}

#[test]
fn a_source_is_edited_broken_and_mended_while_requests_come_in() {
    let sandbox = Sandbox::new();
    sandbox.run(&["new", "reloaded"]).succeeded();
    let mut dev = sandbox.dev("reloaded");
    dev.expect("ready");
    assert_eq!(dev.get("/").1, "Hello from wasmCloud!\n");
    let visitors = Visitors::come(&dev.http);

    sandbox.edit(
        "reloaded/src/lib.rs",
        "Hello from wasmCloud!",
        "Hello again!",
    );
    let rebuilding = dev.expect("rebuilding");
    assert_eq!(rebuilding["changed"], serde_json::json!(["src/lib.rs"]));
    let reloaded = dev.expect("reloaded");
    assert!(reloaded["millis"].is_u64(), "{reloaded}");
    assert_eq!(dev.get("/").1, "Hello again!\n");

    sandbox.edit(
        "reloaded/src/lib.rs",
        "let (status, text)",
        "let (status, txet)",
    );
    dev.expect("rebuilding");
    let failed = dev.expect("failed");
    assert_eq!(
        (
            failed["stage"].as_str(),
            failed["errors"][0]["file"].as_str()
        ),
        (Some("build"), Some("src/lib.rs"))
    );
    assert!(
        failed["message"]
            .as_str()
            .unwrap()
            .contains("cannot find value `text`"),
        "{failed}"
    );
    dev.wait_for_talk("cannot find value `text`");
    assert_eq!(
        dev.get("/").1,
        "Hello again!\n",
        "the last good version serves on"
    );

    let broken = sandbox.read("reloaded/src/lib.rs");
    let mended = broken.replace("(status, txet)", "(status, text)");
    sandbox.write(
        "reloaded/src/lib.rs",
        mended.replace("Hello again!", "Hello at last!"),
    );
    dev.expect("rebuilding");
    dev.expect("reloaded");
    assert_eq!(dev.get("/").1, "Hello at last!\n");

    visitors.leave();
    the_manifest_alone_changes(&sandbox, &mut dev);
    dev.stop("TERM");
}

fn the_manifest_alone_changes(sandbox: &Sandbox, dev: &mut Dev) {
    // What makes no difference is not served again.
    sandbox.edit(
        "reloaded/workload.yaml",
        "apiVersion:",
        "# A note.\napiVersion:",
    );
    dev.expect("unchanged");

    // Another route, and nothing to build.
    sandbox.edit(
        "reloaded/workload.yaml",
        "interfaces: [incoming-handler]",
        "interfaces: [incoming-handler]\n      config: {path: /shop}",
    );
    dev.expect("reloaded");
    assert_eq!(dev.get("/").0, 404);
    assert_eq!(dev.get("/shop").1, "There is nothing here.\n");
}

#[test]
fn a_project_without_a_manifest_starts_broken_and_is_mended() {
    let sandbox = Sandbox::new();
    sandbox.run(&["new", "derived"]).succeeded();
    std::fs::remove_file(sandbox.path("derived/workload.yaml")).unwrap();
    sandbox.edit("derived/src/lib.rs", "async fn main", "async main");
    let mut dev = sandbox.dev("derived");
    assert_eq!(dev.expect("failed")["stage"], "build");
    sandbox.edit("derived/src/lib.rs", "async main", "async fn main");
    dev.expect("rebuilding");
    let ready = dev.expect("ready");
    assert_eq!(ready["plan"]["links"][0]["from"], "derived");
    assert_eq!(dev.get("/").1, "Hello from wasmCloud!\n");
    let granted = "hostInterfaces:\n  - namespace: wasi\n    package: http\n    interfaces: [incoming-handler]";
    dev.wait_for_talk(granted);

    // A manifest appears, and renames the workload: it takes the place of the other.
    sandbox.run(&["new", "other"]).succeeded();
    let manifest = sandbox
        .read("other/workload.yaml")
        .replace("build/other.wasm", "build/derived.wasm");
    sandbox.write("derived/workload.yaml", manifest);
    dev.expect("reloaded");
    dev.get("/nowhere");
    let named = loop {
        let request = dev.wait_for("request");
        if request["path"] == "/nowhere" {
            break request;
        }
    };
    assert_eq!(named["workload"], "other");
    dev.stop("INT");
}
