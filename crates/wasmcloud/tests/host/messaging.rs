//! Messages between the components of workloads, passed on by the host itself.

use std::time::Duration;

use serde_json::{Value, json};
use wasmcloud::host::{CallRequest, StartError, WorkloadState};

use crate::support::{Log, TestHost, component, id, spec, within};

/// The entry that lets a workload send and handle messages.
pub(crate) fn messaging(version: &str, config: Value) -> Value {
    json!({
        "namespace": "wasmcloud",
        "package": "messaging",
        "version": version,
        "interfaces": ["types", "consumer", "handler"],
        "config": config,
    })
}

/// A handler and a sender of 0.2.
pub(crate) fn p2(config: Value) -> Value {
    let tell = component("tell", test_guests::TELL_P2);
    let send = component("send", test_guests::SEND_P2);
    spec([tell, send], [messaging("0.2.0", config)])
}

/// A handler and a sender of 0.3.
pub(crate) fn p3(config: Value) -> Value {
    let tell = component("tell", test_guests::TELL_P3);
    let send = component("send", test_guests::SEND_P3);
    spec([tell, send], [messaging("0.3.0", config)])
}

/// Calls the sender of a workload.
pub(crate) async fn send(host: &TestHost, workload: &str, function: &str, args: &[&str]) -> String {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let request = CallRequest {
        workload: id(workload),
        component: Some("send".parse().unwrap()),
        function: function.parse().unwrap(),
        args,
    };
    let answer = within(host.host.call(&request)).await;
    answer.expect("the sender returns").wave().to_owned()
}

pub(crate) async fn publish(host: &TestHost, workload: &str, subject: &str, body: &str) {
    let args = [format!("{subject:?}"), format!("{body:?}")];
    let args = args.each_ref().map(String::as_str);
    assert_eq!(send(host, workload, "publish", &args).await, "ok");
}

/// What the handlers wrote, when there are so many lines; what they say while they fall over does not count.
pub(crate) async fn told(host: &TestHost, wanted: usize) -> Vec<String> {
    let mut lines = wanted;
    loop {
        let all = host.lines(lines).await;
        lines = all.len() + 1;
        let told: Vec<_> = all
            .into_iter()
            .filter(|line| line.source == "stdout")
            .collect();
        if told.len() >= wanted {
            return told.into_iter().map(|line| line.text).collect();
        }
    }
}

#[tokio::test]
pub(crate) async fn tell_p2() {
    let host = TestHost::start().await;
    host.run("jobs", &p2(json!({"subscriptions": "jobs.>"})))
        .await;
    publish(&host, "jobs", "jobs.a", "one").await;
    publish(&host, "jobs", "other.a", "lost").await;
    publish(&host, "jobs", "jobs.b", "two").await;
    let mut told = told(&host, 2).await;
    told.sort();
    assert_eq!(told, ["jobs.a one", "jobs.b two"]);
    let asked = send(
        &host,
        "jobs",
        "request",
        &["\"jobs.echo\"", "\"hi\"", "10000"],
    );
    assert_eq!(asked.await, "ok(\"hi\")");
    host.stop_finds_nothing_running("jobs").await;
}

#[tokio::test]
pub(crate) async fn tell_p3() {
    let host = TestHost::start().await;
    host.run("jobs", &p3(json!({"subscriptions": "jobs.>"})))
        .await;
    publish(&host, "jobs", "jobs.a", "one").await;
    assert_eq!(told(&host, 1).await, ["jobs.a one"]);
    for time in ["none", "some(10000)"] {
        let args = ["\"jobs.echo\"", "\"hi\"", time];
        assert_eq!(send(&host, "jobs", "request", &args).await, "ok(\"hi\")");
    }
    let nobody = send(&host, "jobs", "request", &["\"other\"", "\"hi\"", "none"]);
    assert_eq!(
        nobody.await,
        "err(\"nobody answers requests to this subject\")"
    );
    let late = send(
        &host,
        "jobs",
        "request",
        &["\"jobs.a\"", "\"hi\"", "some(20)"],
    );
    assert_eq!(late.await, "err(\"timeout\")");
    host.stop_finds_nothing_running("jobs").await;
}

/// What is wrong with a message is told to whoever sends it, and traps nobody.
#[tokio::test]
pub(crate) async fn send_p2() {
    let host = TestHost::with(|config| config.messaging.max_message = 10).await;
    host.run("jobs", &p2(json!({}))).await;
    for subject in ["", "a..b", "a b", "a.*", ">", "$SYS.a", "a\\r\\nb"] {
        let subject = format!("\"{subject}\"");
        let told = send(&host, "jobs", "publish", &[&subject, "\"x\""]).await;
        assert!(told.starts_with("err(\""), "{told}");
    }
    assert_eq!(send(&host, "jobs", "fill", &["\"a\"", "10"]).await, "ok");
    assert_eq!(
        send(&host, "jobs", "fill", &["\"a\"", "11"]).await,
        "err(\"the message has 11 bytes, and may have 10\")"
    );
}

/// A body that never ends is not taken to its end.
#[tokio::test]
pub(crate) async fn send_p3() {
    let host = TestHost::start().await;
    host.run("jobs", &p3(json!({}))).await;
    let endless = u64::MAX.to_string();
    let poured = send(&host, "jobs", "pour", &["\"a\"", &endless]).await;
    assert!(
        poured.ends_with(", err(\"message-too-large\"))"),
        "{poured}"
    );
    let all = send(&host, "jobs", "pour", &["\"a.length\"", "1048576"]).await;
    assert_eq!(all, "(1048576, ok)");
    assert_eq!(told(&host, 1).await, ["a.length 1048576"]);
    let wrong = send(&host, "jobs", "publish", &["\"a..b\"", "\"x\""]).await;
    assert_eq!(wrong, "err(\"subject-invalid\")");
}

/// What a handler of 0.3 says about a message is honoured.
#[tokio::test]
async fn what_is_rejected_does_not_come_back_and_what_fails_does() {
    let host = TestHost::start().await;
    let config = json!({
        "subscriptions": "jobs.>,dead",
        "dead_letter": "dead",
        "max_deliveries": "2",
        "retry_backoff": "10ms",
    });
    host.run("jobs", &p3(config)).await;
    publish(&host, "jobs", "jobs.reject", "1").await;
    assert_eq!(told(&host, 2).await, ["jobs.reject 1", "dead 1"]);
    publish(&host, "jobs", "jobs.retry", "2").await;
    assert_eq!(
        told(&host, 5).await[2..],
        ["jobs.retry 2", "jobs.retry 2", "dead 2"]
    );
    publish(&host, "jobs", "jobs.fail", "3").await;
    assert_eq!(
        told(&host, 8).await[5..],
        ["jobs.fail 3", "jobs.fail 3", "dead 3"]
    );
}

/// One that never comes to an end has its own place only, and ends with its time.
#[tokio::test]
async fn a_handler_that_hangs_holds_up_nobody_else() {
    let host = TestHost::start().await;
    let mut spec = p3(json!({"max_in_flight": "2", "max_deliveries": "1"}));
    spec["components"][0]["localResources"]["timeoutMs"] = json!(2000);
    host.run("jobs", &spec).await;
    publish(&host, "jobs", "hang", "x").await;
    told(&host, 1).await;
    for number in 0..10 {
        publish(&host, "jobs", "fine", &number.to_string()).await;
    }
    told(&host, 11).await;
    // No request waits for an answer that cannot come.
    let hung = send(
        &host,
        "jobs",
        "request",
        &["\"hang\"", "\"x\"", "some(30000)"],
    )
    .await;
    assert!(hung.contains("took longer than its 2000 ms"), "{hung}");
}

/// Fresh instances unless the workload asks for warm ones.
#[tokio::test]
async fn a_pooled_handler_is_used_again() {
    let host = TestHost::start().await;
    let mut pooled = p3(json!({}));
    pooled["components"][0]["poolSize"] = json!(1);
    host.run("warm", &pooled).await;
    host.run("cold", &p3(json!({}))).await;
    for (workload, lines) in [("warm", ["1", "2", "3"]), ("cold", ["1", "1", "1"])] {
        for line in lines {
            let before = host.lines(0).await.len();
            publish(&host, workload, "count", "x").await;
            assert_eq!(
                told(&host, before + 1).await[before],
                format!("count {line}")
            );
        }
    }
}

#[tokio::test]
async fn a_workload_hears_its_own_messages_unless_it_shares() {
    let host = TestHost::start().await;
    host.run("one", &p2(json!({}))).await;
    host.run("two", &p2(json!({}))).await;
    host.run("three", &p2(json!({"shared": "team"}))).await;
    host.run("four", &p2(json!({"shared": "team"}))).await;
    publish(&host, "one", "a", "own").await;
    let line = host.lines(1).await[0].clone();
    assert!(line.workload.ends_with("one"), "{line:?}");
    let nobody = send(&host, "two", "request", &["\"_INBOX.a\"", "\"\"", "20"]).await;
    assert!(nobody.starts_with("err"), "{nobody}");
    publish(&host, "three", "a", "shared").await;
    let lines = host.lines(3).await;
    let mut heard: Vec<_> = lines[1..]
        .iter()
        .map(|line| line.workload.clone())
        .collect();
    heard.sort();
    assert!(
        heard[0].ends_with("four") && heard[1].ends_with("three"),
        "{heard:?}"
    );
}

/// What is being handled goes on when the workload is stopped, and it is waited for.
#[tokio::test]
async fn stopping_waits_for_what_is_being_handled() {
    let host = TestHost::start().await;
    host.run(
        "old",
        &p2(json!({"shared": "team", "subscriptions": "*.ask"})),
    )
    .await;
    publish(&host, "old", "a.ask", "x").await;
    assert_eq!(told(&host, 1).await, ["a.ask x"]);
    let stopping = host.stop("old");
    let released = async {
        host.reaches("old", WorkloadState::Stopping).await;
        let answers = p2(json!({"shared": "team", "subscriptions": "gate.*"}));
        host.run("gate", &answers).await;
    };
    let (status, ()) = tokio::join!(stopping, released);
    assert_ne!(status.state, WorkloadState::Failed);
    let told = told(&host, 3).await;
    assert!(told.contains(&"answered x".to_owned()), "{told:?}");
}

/// One version takes over from the other: every message is handled, by one of them.
#[tokio::test]
async fn a_version_that_takes_over_loses_nothing() {
    let host = TestHost::start().await;
    let spec = p2(json!({"subscriptions": "a.*"}));
    let request = |id: &str, replaces| crate::support::start_request(id, "jobs", &spec, replaces);
    use wasmcloud::host::Host as _;
    within(host.host.start(request("v0", None))).await.unwrap();
    for version in 1..=5 {
        let (old, new) = (format!("v{}", version - 1), format!("v{version}"));
        let swap = async {
            let request = request(&new, Some(id(&old)));
            within(host.host.start(request)).await.unwrap();
        };
        let send = async {
            for number in 0..20 {
                publish(&host, &old, "a.b", &format!("{version} {number}")).await;
            }
        };
        // The old one may be gone before the last was sent: then the sender is, too, so it sends first.
        send.await;
        swap.await;
    }
    let mut told = told(&host, 100).await;
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 100);
}

/// A handler that computes for ever in one workload takes nothing from another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spinning_handler_keeps_no_other_workload_waiting() {
    let host = TestHost::with(|config| config.grace = Duration::ZERO).await;
    host.run("bad", &p2(json!({"max_in_flight": "4"}))).await;
    host.run("good", &p2(json!({}))).await;
    for _ in 0..20 {
        publish(&host, "bad", "spin", "x").await;
    }
    for number in 0..20 {
        publish(&host, "good", "a", &number.to_string()).await;
    }
    let lines = async {
        let mut wanted = 20;
        loop {
            let lines = host.lines(wanted).await;
            let good = lines.iter().filter(|line| line.workload.ends_with("good"));
            match good.count() {
                20 => return,
                _ => wanted = lines.len() + 1,
            }
        }
    };
    within(lines).await;
    host.stop("bad").await;
}

/// Settings are read, and what is not understood is refused with its place.
#[tokio::test]
async fn settings_that_mean_nothing_are_refused() {
    let host = TestHost::start().await;
    for (config, wanted) in [
        (json!({"backend": "in-memroy"}), "did you mean `in-memory`?"),
        (
            json!({"subscription": "a"}),
            "did you mean `subscriptions`?",
        ),
        (
            json!({"subscriptions": "a..b"}),
            "something before, between and after",
        ),
        (
            json!({"max_in_flight": "0"}),
            "wanted a number from 1 to 4096",
        ),
        (json!({"admission_wait": "601"}), "wanted at most 600s"),
        (
            json!({"consumer_group": "a b"}),
            "wanted `broadcast` or a name",
        ),
        (
            json!({"dead_letter": "a.*"}),
            "`*` and `>` are for subscriptions only",
        ),
        (json!({"url": "nats://secret@x"}), "`url` is not a setting"),
    ] {
        let error = host.try_run("jobs", &p2(config)).await.unwrap_err();
        let StartError::Settings(errors) = &error else {
            panic!("{error}");
        };
        let told = format!(
            "{}; {}",
            errors[0],
            errors[0].hint.clone().unwrap_or_default()
        );
        assert!(told.contains(wanted), "{told}");
        assert!(!told.contains("secret"), "{told}");
        let path = errors[0].path.clone().unwrap();
        assert!(path.starts_with("spec.hostInterfaces.0.config."), "{path}");
    }
}

/// Without an entry in `hostInterfaces`, nobody sends.
#[tokio::test]
async fn messages_have_to_be_granted() {
    let host = TestHost::start().await;
    let mut spec = p2(json!({}));
    spec["hostInterfaces"] = json!([]);
    let error = host.try_run("jobs", &spec).await.unwrap_err();
    assert!(error.to_string().contains("wasmcloud:messaging"), "{error}");
}

/// A host whose workloads may reach servers on this machine.
pub(crate) async fn host_with_loopback() -> TestHost {
    let loopback = "127.0.0.0/8".parse().unwrap();
    TestHost::with(|config| config.egress.allow.push(loopback)).await
}

/// Waits until a message goes through.
pub(crate) async fn goes_through(host: &TestHost, workload: &str, subject: &str) {
    let subject = format!("{subject:?}");
    while send(host, workload, "publish", &[&subject, "\"x\""]).await != "ok" {
        tokio::task::yield_now().await;
    }
}

/// Replicas on two hosts share what comes, unless they want all of it.
#[tokio::test]
async fn replicas_share_messages_over_nats() {
    let server = test_servers::Nats::launch();
    let (one, other) = (host_with_loopback().await, host_with_loopback().await);
    let config = json!({"backend": "nats", "url": server.url(), "subscriptions": "a.*"});
    let mut all = config.clone();
    all["consumer_group"] = json!("broadcast");
    for host in [&one, &other] {
        host.run("shared", &p2(config.clone())).await;
    }
    for number in 0..50 {
        publish(&one, "shared", "a.b", &number.to_string()).await;
    }
    // Whoever sends hears its own messages in order, so by then all have been given out.
    let asked = send(
        &one,
        "shared",
        "request",
        &["\"a.echo\"", "\"hi\"", "10000"],
    )
    .await;
    assert_eq!(asked, "ok(\"hi\")");
    for host in [&one, &other] {
        host.stop_finds_nothing_running("shared").await;
    }
    let lines = [one.lines(0).await, other.lines(0).await].concat();
    assert_eq!(lines.len(), 51, "each was handled once");
    for host in [&one, &other] {
        host.run("all", &p3(all.clone())).await;
    }
    goes_through(&one, "all", "a.c").await;
    for host in [&one, &other] {
        hears(host, "a.c x").await;
    }
}

/// Waits until a handler has written a line.
async fn hears(host: &TestHost, line: &str) {
    within(async {
        while !host.lines(0).await.iter().any(|it| it.text == line) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A server that is away keeps no workload from starting, traps nobody, and is found when it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nats_server_may_come_and_go() {
    let mut server = test_servers::Nats::launch();
    let config = json!({"backend": "nats", "url": server.url(), "subscriptions": "a.*"});
    server.stop();
    let host = host_with_loopback().await;
    let started = host.run("jobs", &p3(config)).await;
    let away = format!(
        "messaging: nats at `127.0.0.1:{}`: it cannot be reached",
        server.port()
    );
    assert_eq!(started.troubles, std::slice::from_ref(&away));
    let sent = send(&host, "jobs", "publish", &["\"a.b\"", "\"x\""]).await;
    assert_eq!(sent, "err(\"broker-unavailable\")");
    server.start();
    goes_through(&host, "jobs", "a.first").await;
    host.lines(1).await;
    host.until_well("jobs").await;
    server.stop();
    host.until_troubled("jobs").await;
    assert_eq!(host.troubles("jobs").await, [away]);
    within(async {
        while send(&host, "jobs", "publish", &["\"lost\"", "\"x\""]).await == "ok" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.start();
    goes_through(&host, "jobs", "a.again").await;
    hears(&host, "a.again x").await;
    host.stop_finds_nothing_running("jobs").await;
}

/// A manifest leads only where the host's policy allows, and its URL is told nobody.
#[tokio::test]
async fn a_manifest_reaches_no_nats_server_that_the_policy_denies() {
    let log = Log::capture();
    let host = TestHost::start().await;
    let url = "nats://ada:s3cr3t@127.0.0.1:4222";
    let error = host
        .try_run("jobs", &p2(json!({"backend": "nats", "url": url})))
        .await;
    let error = error.unwrap_err();
    let told = format!("{error} {error:?} {}", log.text());
    assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
    assert!(!told.contains("s3cr3t"), "{told}");
    let wrong = json!({"backend": "nats", "url": "http://ada:s3cr3t@x"});
    let error = host.try_run("jobs", &p2(wrong)).await.unwrap_err();
    let told = format!("{error} {error:?} {}", log.text());
    assert!(told.contains("wanted `nats://HOST:PORT`"), "{told}");
    assert!(!told.contains("s3cr3t"), "{told}");
}

/// What the workload of a label hears, the plain import does not reach, and the other way.
#[tokio::test]
pub(crate) async fn send_labels() {
    let host = host_with_loopback().await;
    let server = test_servers::Nats::launch();
    let nats = json!({"backend": "nats", "url": server.url()});
    let streams = json!({"backend": "jetstream", "url": server.url(), "shared": "orders"});
    let shared = |name: &str| json!({"shared": name});
    let backends = [shared("orders"), nats, streams];
    for (number, labelled) in backends.into_iter().enumerate() {
        let unlabelled = shared(&format!("plain{number}"));
        let (office, plain, orders) = (
            format!("office{number}"),
            format!("plain{number}"),
            format!("orders{number}"),
        );
        let entry = |name: Option<&str>, config: Value| {
            let mut entry = messaging("0.2.0", config);
            entry["interfaces"] = json!(["types", "consumer"]);
            if let Some(name) = name {
                entry["name"] = json!(name);
            }
            entry
        };
        let sender = component("send", test_guests::SEND_LABELS);
        // Something has to be there that is called from outside; it hears nothing of this.
        let tell = component("tell", test_guests::TELL_P2);
        let mut own = unlabelled.clone();
        own["subscriptions"] = json!("office.*");
        let mut plainly = entry(None, own);
        plainly["interfaces"] = json!(["types", "consumer", "handler"]);
        let entries = [plainly, entry(Some("orders"), labelled.clone())];
        host.run(&office, &spec([sender, tell], entries)).await;
        let heard = |config: &Value| {
            let mut config = config.clone();
            config["subscriptions"] = json!("a.*");
            p2(config)
        };
        host.run(&plain, &heard(&unlabelled)).await;
        host.run(&orders, &heard(&labelled)).await;
        let before = host.lines(0).await.len();
        for (by_label, subject) in [("false", "\"a.plain\""), ("true", "\"a.order\"")] {
            let args = [by_label, subject, "\"x\""];
            assert_eq!(send(&host, &office, "publish", &args).await, "ok");
        }
        let mut lines = host.lines(before + 2).await.split_off(before);
        lines.sort_by(|a, b| a.text.cmp(&b.text));
        let lines: Vec<_> = lines
            .iter()
            .map(|line| (line.workload.as_str(), line.text.as_str()))
            .collect();

        assert_eq!(lines, [(&*orders, "a.order x"), (&*plain, "a.plain x")]);
    }
}

/// Workloads of other namespaces hear nothing of each other, though they are called the same and share by the same name.
#[tokio::test]
async fn the_same_names_in_two_namespaces_do_not_hear_each_other() {
    let server = test_servers::Nats::launch();
    let host = host_with_loopback().await;
    for (name, config) in [
        ("own", json!({})),
        ("shared", json!({"shared": "team"})),
        (
            "streams",
            json!({"backend": "jetstream", "url": server.url()}),
        ),
        (
            "shared-streams",
            json!({"backend": "jetstream", "url": server.url(), "shared": "team"}),
        ),
    ] {
        let spec = p2(config);
        let red = host.run_in("red", name, &spec).await;
        let blue = host.run_in("blue", name, &spec).await;
        let before = host.lines(0).await.len();
        for (workload, body) in [(&red, "of red"), (&blue, "of blue")] {
            publish(&host, workload, "a", body).await;
        }
        let lines = host.lines(before + 2).await.split_off(before);
        let mut lines: Vec<_> = lines
            .iter()
            .map(|line| format!("{} {}", line.workload, line.text))
            .collect();
        lines.sort();
        let wanted = [format!("{name} a of blue"), format!("{name} a of red")];
        assert_eq!(lines, wanted);
    }
}

/// Of the replicas of a component one gets each message, unless they want all of it: within a host as over a server.
#[tokio::test]
async fn everybody_hears_what_is_broadcast_within_a_host() {
    let host = TestHost::start().await;
    for (version, spec) in [
        ("two", p2 as fn(Value) -> Value),
        ("three", p3 as fn(Value) -> Value),
    ] {
        let config = |group: &str| json!({"shared": version, "consumer_group": group});
        let names = ["one", "other"].map(|name| format!("{version}-{name}"));
        for name in &names {
            host.run(name, &spec(config("broadcast"))).await;
        }
        let before = host.lines(0).await.len();
        publish(&host, &names[0], "a", "x").await;
        let mut heard: Vec<_> = host
            .lines(before + 2)
            .await
            .split_off(before)
            .into_iter()
            .map(|line| (line.workload, line.text))
            .collect();
        heard.sort();
        let wanted = names
            .each_ref()
            .map(|name| (name.clone(), "a x".to_owned()));
        assert_eq!(heard, [wanted[0].clone(), wanted[1].clone()]);
        for name in &names {
            host.stop_finds_nothing_running(name).await;
        }
    }
}

/// Whoever shares a server with hosts and other workloads reaches neither what hosts say to each other, nor what others are asked.
#[tokio::test]
async fn over_a_shared_server_nobody_reaches_hosts_and_other_workloads() {
    let server = test_servers::Nats::launch();
    let host = host_with_loopback().await;
    let bank = json!({"backend": "jetstream", "url": server.url()});
    host.run("bank", &p2(bank)).await;
    let config = json!({"backend": "nats", "url": server.url(), "subscriptions": "a"});
    host.run("robber", &p3(config)).await;
    for subject in [
        "\"wasmcloud.messages.default.workload.bank.asked.echo\"",
        "\"wasmcloud.messages.default.workload.bank.stored.echo\"",
        "\"runtime.host.abc.workload.start\"",
    ] {
        let sent = send(&host, "robber", "publish", &[subject, "\"x\""]).await;
        assert_eq!(sent, "err(\"access-denied\")");
        let args = [subject, "\"x\"", "some(1000)"];
        let asked = send(&host, "robber", "request", &args).await;
        assert_eq!(asked, "err(\"access-denied\")");
    }
    for (pattern, wanted) in [
        (">", "begin with a word"),
        ("*.>", "begin with a word"),
        ("*.messages.default.>", "begin with a word"),
        ("wasmcloud.>", "belong to hosts"),
        ("runtime.host.*.workload.start", "belong to hosts"),
    ] {
        let config = json!({"backend": "nats", "url": server.url(), "subscriptions": pattern});
        let refused = host.try_run("listener", &p2(config)).await.unwrap_err();
        let told = format!("{refused} {:?}", refused.places());
        assert!(told.contains(wanted), "{pattern}: {told}");
    }
    // What is the bank's own still comes to it.
    let args = ["\"jobs.echo\"", "\"hi\"", "10000"];
    assert_eq!(send(&host, "bank", "request", &args).await, "ok(\"hi\")");
}
