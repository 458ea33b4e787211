//! Each example, copied away, is built and served, and does what its README says.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use test_servers::{Browser, Postgres};

use crate::support::{Dev, PATIENCE, Sandbox, connect, delete, free_port, get, post, put};

fn served(example: &str) -> (Sandbox, Dev, Value) {
    let sandbox = Sandbox::with_example(example);
    let mut dev = sandbox.dev(example);
    let ready = dev.expect("ready");
    (sandbox, dev, ready)
}

/// The links from component to component.
fn fused(plan: &Value) -> Vec<[&str; 2]> {
    let links = plan["links"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|link| link["kind"] == "fused");
    links
        .map(|link| ["from", "to"].map(|end| link[end].as_str().unwrap()))
        .collect()
}

#[test]
fn http_hello_greets_and_every_request_is_told() {
    let (_sandbox, mut dev, ready) = served("http-hello");
    assert_eq!(
        ready["plan"]["workload"],
        json!({"namespace": "default", "name": "http-hello"})
    );
    assert_eq!(dev.get("/"), (200, "Hello from wasmCloud!\n".to_owned()));
    assert_eq!(
        dev.get("/nowhere"),
        (404, "There is nothing here.\n".to_owned())
    );
    let request = dev.any();
    assert_eq!(
        (&request["event"], &request["method"], &request["path"]),
        (&json!("request"), &json!("GET"), &json!("/"))
    );
    assert_eq!(
        (
            &request["status"],
            &request["workload"],
            &request["component"]
        ),
        (&json!(200), &json!("http-hello"), &json!("hello"))
    );
    assert_eq!(
        (&dev.any()["status"], dev.talk().contains("error")),
        (&json!(404), false)
    );
    dev.stop("INT");
}

#[test]
fn http_hello_p3_greets() {
    let (_sandbox, dev, ready) = served("http-hello-p3");
    assert_eq!(ready["plan"]["entries"][0]["flavour"], "concurrent");
    assert_eq!(
        dev.get("/"),
        (200, "Hello from wasmCloud, on WASI 0.3!\n".to_owned())
    );
    assert_eq!(dev.get("/nowhere").0, 404);
    dev.stop("TERM");
}

#[test]
fn http_chain_is_fused_as_inspect_says() {
    let (sandbox, dev, ready) = served("http-chain");
    let links = [["front", "greeter"], ["greeter", "translator"]];
    assert_eq!(fused(&ready["plan"]), links);
    assert_eq!(
        dev.get("/?name=Ada&lang=de"),
        (200, "Hallo, Ada!\n".to_owned())
    );
    assert_eq!(dev.get("/"), (200, "Hello, World!\n".to_owned()));
    assert_eq!(dev.get("/?name=Ada&lang=tlh").0, 404);
    dev.stop("TERM");

    let plan = sandbox
        .run(&["inspect", "http-chain/workload.yaml", "--output", "json"])
        .succeeded()
        .json();
    assert_eq!(fused(&plan), links);
    assert_eq!(plan["workload"]["name"], "http-chain");
    assert_eq!(plan["entries"][0]["members"].as_array().unwrap().len(), 3);
    let text = sandbox.run(&["inspect", "http-chain"]).succeeded().stdout;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.ends_with("  fused"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines,
        [
            ["front", "demo:greet/greeter", "greeter", "fused"],
            [
                "greeter",
                "demo:translate/translator",
                "translator",
                "fused"
            ]
        ]
    );
    let wit = sandbox
        .run(&["inspect", "http-chain/build/greeter.wasm", "--wit"])
        .succeeded()
        .stdout;
    assert!(
        wit.contains("import demo:translate/translator;")
            && wit.contains("export demo:greet/greeter;"),
        "{wit}"
    );
}

#[test]
fn http_middleware_guards_what_is_behind_it() {
    let (_sandbox, dev, ready) = served("http-middleware");
    assert_eq!(fused(&ready["plan"]), [["auth", "api"]]);
    assert_eq!(dev.get("/"), (401, "A token is needed.\n".to_owned()));
    let (status, body) = get(&dev.http, "/", &["authorization: Bearer s3cret"]);
    assert_eq!(
        (status, serde_json::from_str::<Value>(&body).unwrap()),
        (
            200,
            json!({"message": "You are in.", "tokenVisible": false})
        )
    );
    dev.stop("TERM");
}

#[test]
fn blobby_keeps_files_and_shows_them_on_a_page() {
    let (sandbox, dev, _) = served("blobby");
    let (status, page) = dev.get("/");
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("<form id=\"upload\">"), "{page}");
    // What the form of the page does.
    assert!(page.contains("send(\"PUT\", \"/files/\" + encodeURIComponent(file.name), file)"));
    let (at, text) = (
        "/files/..%2Fa%20%26%20b.txt",
        "Blobs all the way down.\n".repeat(10_000),
    );
    assert_eq!(put(&dev.http, at, &text), (201, "It is kept.\n".to_owned()));
    let (_, page) = dev.get("/");
    let row = format!(
        "<a href=\"{at}\" download>../a &amp; b.txt</a></td><td>{} bytes",
        text.len()
    );
    assert!(page.contains(&row), "{page}");
    dev.stop("TERM");

    // They outlive the host, in the folder of the project.
    let mut dev = sandbox.dev("blobby");
    dev.expect("ready");
    assert!(dev.get(at) == (200, text));
    assert_eq!(delete(&dev.http, at), (200, "It is gone.\n".to_owned()));
    assert_eq!(dev.get(at), (404, "There is no such file.\n".to_owned()));
    assert!(!dev.get("/").1.contains("b.txt"));
    dev.stop("TERM");
    let kept = sandbox.path("blobby/.wash/data/blobstore/default/workload/blobby/files");
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 0);
}

#[test]
fn blobby_keeps_files_in_a_component_and_no_blobs_of_the_host() {
    let sandbox = Sandbox::with_example("blobstore-filesystem");
    sandbox.add_example("blobby");
    sandbox.run(&["build", "blobby"]).succeeded();
    let kept = sandbox.path("kept");
    std::fs::create_dir(&kept).unwrap();
    let kept = kept.canonicalize().unwrap();
    sandbox.edit(
        "blobstore-filesystem/workload.yaml",
        "ephemeral: { sizeLimitMb: 64 }",
        &format!("hostPath: {{ path: {} }}", kept.display()),
    );
    let serve = || {
        let folder = kept.to_str().unwrap();
        let mut command = sandbox.command(&["dev", "blobstore-filesystem", "--output", "json"]);
        command.args(["--http-addr", "127.0.0.1:0", "--allow-folder", folder]);
        let mut dev = Dev::start(command);
        let ready = dev.expect("ready");
        (dev, ready)
    };
    let (dev, ready) = serve();
    assert_eq!(fused(&ready["plan"]), [["files", "blobs"]; 3]);
    let links = ready["plan"]["links"].as_array().unwrap();
    let import = |link: &Value| link["import"].as_str().unwrap().to_owned();
    let of_blobs = links
        .iter()
        .filter(|link| import(link).starts_with("wasi:blobstore/"));
    assert!(of_blobs.clone().all(|link| link["kind"] == "fused"));
    assert_eq!(of_blobs.count(), 3);

    let (at, text) = (
        "/files/..%2F%00%20b.txt",
        "Blobs all the way down.\n".repeat(50_000),
    );
    assert_eq!(put(&dev.http, at, &text), (201, "It is kept.\n".to_owned()));
    assert!(dev.get(at) == (200, text.clone()));
    assert_eq!(put(&dev.http, "/files/a", "short").0, 201);
    let page = dev.get("/").1;
    let size = format!("{} bytes", text.len());
    assert!(page.contains(&size) && page.contains("5 bytes"), "{page}");
    dev.stop("TERM");

    let object = kept.join("kept/files/%2e.%2f%00%20b.txt");
    assert!(std::fs::read_to_string(object).unwrap() == text);
    let (dev, _) = serve();
    assert!(dev.get(at) == (200, text));
    assert_eq!(delete(&dev.http, at), (200, "It is gone.\n".to_owned()));
    assert_eq!(dev.get(at), (404, "There is no such file.\n".to_owned()));
    dev.stop("TERM");
}

#[test]
fn the_page_of_blobby_uploads_shows_and_deletes_in_a_browser() {
    let (sandbox, dev, _) = served("blobby");
    let browser = Browser::start();
    browser.open(&format!("http://{}/", dev.http));
    assert_eq!(browser.text("h1"), "Blobby");
    let name = "<b>two & three</b>.txt";
    let file = sandbox.path("upload").join("two & three.txt");
    sandbox.write("upload/two & three.txt", "kept in a browser");
    browser.choose("input[type=file]", &file);
    browser.click("#upload button");
    assert_eq!(browser.text("td a"), "two & three.txt");
    assert_eq!(browser.text("td + td"), "17 bytes");
    let read = "const at = document.querySelector('td a').href; const ask = new XMLHttpRequest(); \
                ask.open('GET', at, false); ask.send(); return ask.responseText;";
    assert_eq!(browser.run(read), "kept in a browser");

    // What somebody else uploads is shown as a text, whatever it looks like.
    let encoded = "%3Cb%3Etwo%20%26%20three%3C%2Fb%3E.txt";
    put(&dev.http, &format!("/files/{encoded}"), "x");
    browser.reload();
    let names =
        "return [...document.querySelectorAll('td a')].map(link => link.textContent).sort()";
    assert_eq!(browser.run(names), json!([name, "two & three.txt"]));
    assert_eq!(
        browser.run("return document.querySelectorAll('td b').length"),
        0
    );

    for left in ["tr:only-child", "table:not(:has(tr))"] {
        browser.click("[data-delete]");
        browser.wait_for(left);
    }
    assert_eq!(dev.get("/files/two%20%26%20three.txt").0, 404);
    drop(browser);
    dev.stop("TERM");
}

/// Sends a text, and reads as much as it has.
fn echoed(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn tcp_echo_sends_back_what_comes_in_and_keeps_its_port_when_it_is_reloaded() {
    let sandbox = Sandbox::with_example("tcp-echo");
    let port = free_port();
    sandbox.edit(
        "tcp-echo/workload.yaml",
        "hostPort: 7070",
        &format!("hostPort: {port}"),
    );
    let mut dev = sandbox.dev("tcp-echo");
    let ready = dev.expect("ready");
    assert_eq!(
        ready["plan"]["service"]["members"][0]["component"],
        "service"
    );
    dev.service_is("running");
    let inside = json!({"inside": "127.0.0.1:7070"});
    let published = json!({"inside": "127.0.0.1:7070", "published": format!("127.0.0.1:{port}")});
    dev.ports_are(&json!([inside, published]));

    let (mut one, mut other) = (connect(port), connect(port));
    assert_eq!(echoed(&mut one, "first"), "first");
    assert_eq!(echoed(&mut other, "second"), "second");
    assert_eq!(echoed(&mut one, "first again"), "first again");
    // One direction ends, and what was sent before still comes back.
    other.write_all(b"the last").unwrap();
    other.shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    other.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "the last");

    sandbox.edit("tcp-echo/src/main.rs", "listening on", "now listening on");
    dev.wait_for("reloaded");
    assert_eq!(echoed(&mut connect(port), "anew"), "anew");
    assert_eq!(echoed(&mut one, "from before"), "from before");
    drop(one);
    dev.stop("TERM");
}

#[test]
fn tcp_leet_asks_its_service_over_tcp() {
    let sandbox = Sandbox::with_example("tcp-leet");
    let mut dev = sandbox.dev("tcp-leet");
    dev.expect("ready");
    dev.service_is("running");
    dev.ports_are(&json!([{"inside": "127.0.0.1:7777"}]));
    let hello = "Hello, elite world!";
    assert_eq!(
        post(&dev.http, "/", hello),
        (200, "H3ll0, 3l173 w0rld!".to_owned())
    );
    let long = "leet ".repeat(13_000);
    assert_eq!(post(&dev.http, "/", &long), (200, "l337 ".repeat(13_000)));
    assert_eq!(post(&dev.http, "/", &"x".repeat(65_537)).0, 413);
    assert_eq!(dev.get("/").0, 405);
    dev.stop("TERM");
}

/// The example, for a database on that port and with two connections to it at most.
fn pool_for(port: u16) -> Sandbox {
    let sandbox = Sandbox::with_example("connection-pool");
    let manifest = "connection-pool/workload.yaml";
    sandbox.edit(manifest, "\"5432\"", &format!("\"{port}\""));
    sandbox.edit(manifest, "POOL_SIZE: \"4\"", "POOL_SIZE: \"2\"");
    sandbox.edit(
        manifest,
        "POOL_WAIT_SECONDS: \"10\"",
        "POOL_WAIT_SECONDS: \"100\"",
    );
    sandbox
}

/// The sessions of the pool.
const SESSIONS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'connection-pool'";

#[test]
fn connection_pool_shares_a_few_connections_and_replaces_broken_ones() {
    let mut postgres = Postgres::start();
    let sandbox = pool_for(postgres.port());
    let mut command = sandbox.command(&["dev", "connection-pool", "--http-addr", "127.0.0.1:0"]);
    command.args(["--output", "json", "--allow-host-loopback"]);
    let mut dev = Dev::start(command);
    dev.expect("ready");
    dev.service_is("running");
    dev.ports_are(&json!([{"inside": "127.0.0.1:7777"}]));
    assert_eq!(
        post(&dev.http, "/notes", "buy milk"),
        (200, "1 buy milk\n".to_owned())
    );
    assert_eq!(post(&dev.http, "/notes", "'; DROP TABLE notes; --").0, 200);
    let both = "1 buy milk\n2 '; DROP TABLE notes; --\n".to_owned();
    assert_eq!(dev.get("/notes"), (200, both.clone()));

    // More requests than connections, none of which can be answered before the lock is gone.
    let lock = postgres.session("notes", "BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE");
    let http = dev.http.clone();
    let ask = || {
        let http = http.clone();
        thread::spawn(move || get(&http, "/notes", &[]))
    };
    let waiting: Vec<_> = (0..5).map(|_| ask()).collect();
    postgres.until(
        "notes",
        &format!("{SESSIONS} AND wait_event_type = 'Lock'"),
        "2",
    );
    assert_eq!(postgres.sql("notes", SESSIONS), "2");
    drop(lock);
    for answer in waiting {
        assert_eq!(answer.join().unwrap(), (200, both.clone()));
    }
    assert_eq!(postgres.sql("notes", SESSIONS), "2");

    // Sessions end on the other side.
    let terminate = SESSIONS.replace("count(*)", "count(pg_terminate_backend(pid))");
    assert_eq!(postgres.sql("postgres", &terminate), "2");
    postgres.until("notes", SESSIONS, "0");
    for _ in 0..4 {
        assert_eq!(dev.get("/notes"), (200, both.clone()));
    }

    // The whole database is gone for a while.
    postgres.stop();
    assert_eq!(dev.get("/notes").0, 503);
    postgres.resume();
    assert_eq!(dev.get("/notes"), (200, both));
    dev.stop("TERM");
}

#[test]
fn connection_pool_may_not_reach_this_machine_unless_it_is_told_so() {
    let sandbox = pool_for(free_port());
    sandbox.edit(
        "connection-pool/workload.yaml",
        "maxRestarts: 8",
        "maxRestarts: 0",
    );
    let mut dev = sandbox.dev("connection-pool");
    // It may be up for a moment before it finds out.
    loop {
        let event = dev.next();
        if event["event"] == "failed" || event["state"] == "failed" {
            break;
        }
    }
    dev.wait_for_talk("--allow-host-loopback");
    dev.stop("TERM");
}

#[test]
fn cron_runs_its_function_by_the_clock_and_whenever_somebody_asks() {
    let sandbox = Sandbox::with_example("cron");
    sandbox.edit("cron/workload.yaml", "*/10 * * * * *", "* * * * * *");
    let mut dev = sandbox.dev("cron");
    dev.expect("ready");
    let line = dev.wait_for("log");
    let text = line["text"].as_str().unwrap();
    assert!(text.ends_with(" UTC: stand up and stretch"), "{text}");
    assert_eq!(line["component"], "reminders");

    let inside = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.current_dir(sandbox.path("cron"));
        sandbox.finish(command)
    };
    let run = inside(&["call", "cron", "--schedule", "lunch"]).succeeded();
    assert!(
        run.stdout.starts_with("ok(\"") && run.stdout.ends_with(" UTC: have lunch\")\n"),
        "{}",
        run.stdout
    );
    let run = inside(&["call", "cron", "remind", "\"drink something\""]).succeeded();
    assert!(
        run.stdout.ends_with(" UTC: drink something\")\n"),
        "{}",
        run.stdout
    );
    let refused = inside(&["call", "cron", "remind", "\"\""]);
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (Some(1), "err(\"there is nothing to remind of\")\n")
    );
    let status = inside(&["status"]).succeeded().stdout;
    assert!(
        status.contains("stretch") && status.contains("lunch"),
        "{status}"
    );
    dev.stop("TERM");
}

#[test]
fn kv_counter_counts_on_after_a_restart() {
    let (sandbox, dev, _) = served("kv-counter");
    assert_eq!(dev.get("/tea").1, "/tea was visited once\n");
    assert_eq!(dev.get("/tea").1, "/tea was visited 2 times\n");
    assert_eq!(dev.get("/cake").1, "/cake was visited once\n");
    dev.stop("INT");
    let mut dev = sandbox.dev("kv-counter");
    dev.expect("ready");
    assert_eq!(dev.get("/tea").1, "/tea was visited 3 times\n");
    assert_eq!(dev.get("/?").1, "/cake\n/tea\n");
    assert!(sandbox.path("kv-counter/.wash/data/keyvalue").is_dir());
    // Killed, without a word.
    drop(dev);
    let mut dev = sandbox.dev("kv-counter");
    dev.expect("ready");
    assert_eq!(dev.get("/tea").1, "/tea was visited 4 times\n");
    dev.stop("INT");
}

#[test]
fn the_door_opens_for_the_key_and_nothing_shows_it() {
    const KEYS: [&str; 2] = ["open sesame", "mellon"];
    let sandbox = Sandbox::with_example("secrets");
    let set = |key: &str| {
        sandbox.write("key", key);
        let mut command = sandbox.command(&["secrets", "set", "door-key", "--workload", "secrets"]);
        command.current_dir(sandbox.path("secrets"));
        command.stdin(std::fs::File::open(sandbox.path("key")).unwrap());
        let run = sandbox.finish(command).succeeded();
        assert_eq!(run.stdout, "set door-key of default/workload/secrets\n");
        assert!(!run.snapshot().contains(key), "{}", run.snapshot());
    };
    let mut dev = sandbox.dev("secrets");
    let ready = dev.expect("ready");
    assert_eq!(
        dev.get("/"),
        (404, "This door has no key yet.\n".to_owned())
    );
    let http = ready["http"].as_str().unwrap().to_owned();
    let knock = |key: &str| get(&http, "/", &[&format!("authorization: Bearer {key}")]);
    let come_in = (200, "Come in.\n".to_owned());
    let no_key = (403, "That is not the key.\n".to_owned());
    set(KEYS[0]);
    assert_eq!(
        dev.get("/"),
        (401, "Who is there? Show a key.\n".to_owned())
    );
    assert_eq!(
        (knock(KEYS[0]), knock(KEYS[1])),
        (come_in.clone(), no_key.clone())
    );
    set(&format!("{}\n", KEYS[1]));
    assert_eq!((knock(KEYS[1]), knock(KEYS[0])), (come_in, no_key));
    let mut list = sandbox.command(&["secrets", "list"]);
    list.current_dir(sandbox.path("secrets"));
    let listed = sandbox.finish(list).succeeded().stdout;
    assert_eq!(
        listed.split_whitespace().collect::<Vec<_>>(),
        ["default/workload/secrets", "door-key"]
    );
    let mut status = sandbox.command(&["status", "--output", "json"]);
    status.current_dir(sandbox.path("secrets"));
    let status = sandbox.finish(status).succeeded().snapshot();
    let mut told = format!("{ready}{status}{}", dev.talk());
    for _ in 0..6 {
        told += &dev.any().to_string();
    }
    for key in KEYS {
        assert!(!told.contains(key), "{told}");
    }
    dev.stop("TERM");
}

/// Waits until the list of tasks is as it should be.
fn tasks_become(dev: &Dev, right: impl Fn(&str) -> bool) {
    let began = Instant::now();
    loop {
        let (status, list) = dev.get("/tasks");
        if status == 200 && right(&list) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{status} {list}");
        thread::yield_now();
    }
}

/// Tasks that work, that work in the end, and that never do.
fn tasks_are_done_or_given_up(dev: &mut Dev) {
    assert_eq!(dev.get("/tasks"), (200, String::new()));
    for (number, what) in ["water the plants", "flaky call", "broken pump"]
        .iter()
        .enumerate()
    {
        let queued = format!("task {} is queued\n", number + 1);
        assert_eq!(post(&dev.http, "/tasks", what), (202, queued));
    }
    let all = "1 water the plants: done after 1 try\n2 flaky call: done after 3 tries\n3 broken pump: given up after 4 tries\n";
    tasks_become(dev, |list| list == all);
    loop {
        let line = dev.wait_for("log");
        if line["component"] == "letters" {
            assert_eq!(line["text"], "task 3 was given up: broken pump");
            return;
        }
    }
}

#[test]
fn task_queue_does_its_tasks_and_tells_what_became_of_them() {
    let sandbox = Sandbox::with_example("task-queue");
    sandbox.edit("task-queue/workload.yaml", "500ms", "50ms");
    let mut dev = sandbox.dev("task-queue");
    dev.expect("ready");
    tasks_are_done_or_given_up(&mut dev);
    assert_eq!(post(&dev.http, "/tasks", " ").0, 400);
    assert_eq!(dev.get("/nowhere").0, 404);
    dev.stop("INT");
    let mut dev = sandbox.dev("task-queue");
    dev.expect("ready");
    assert_eq!(post(&dev.http, "/tasks", "rest").1, "task 4 is queued\n");
    let (_, list) = dev.get("/");
    assert!(list.starts_with("1 water the plants: done"), "{list}");
    dev.stop("INT");
}

/// The other manifest: the queue is on a server, which may fall over while there are tasks in it.
#[test]
fn task_queue_keeps_its_tasks_on_a_server() {
    let mut server = test_servers::Nats::launch();
    let sandbox = Sandbox::with_example("task-queue");
    let manifest = sandbox.read("task-queue/jetstream.yaml");
    let manifest = manifest.replace("nats://127.0.0.1:4222", &server.url());
    sandbox.write(
        "task-queue/workload.yaml",
        manifest.replace("500ms", "50ms"),
    );
    let dev = |sandbox: &Sandbox| {
        let mut command = sandbox.command(&["dev", "task-queue", "--http-addr", "127.0.0.1:0"]);
        command.args(["--output", "json", "--allow-egress", "127.0.0.1/32"]);
        Dev::start(command)
    };
    let mut one = dev(&sandbox);
    one.expect("ready");
    tasks_are_done_or_given_up(&mut one);
    server.end();
    let away = post(&one.http, "/tasks", "too late");
    assert_eq!(away.0, 503, "{away:?}");
    server.start();
    let queued = loop {
        let (status, text) = post(&one.http, "/tasks", "rest");
        if status == 202 {
            break text;
        }
    };
    let number = queued.split_whitespace().nth(1).unwrap().to_owned();
    let done = format!("{number} rest: done after 1 try\n");
    tasks_become(&one, |list| list.ends_with(&done));
    one.stop("INT");
}
