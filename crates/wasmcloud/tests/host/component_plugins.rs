//! Components that the configuration of a host makes plugins: what they export is offered to all workloads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use wasmcloud::artifact::{Digest, Fetch, FetchError, Fetched, Files, Wanted};
use wasmcloud::assembly::{AssembleError, HostConfig, assemble};
use wasmcloud::host::{
    CallFailed, CallRequest, Host as _, PluginComponent, ServiceState, StartError, WorkloadState,
    WorkloadStatus,
};
use wasmcloud::plugin::Answer;
use wasmcloud::workload::{Component, Image, LocalResources};

use crate::support::{
    TestHost, component, http, http_at, id, own_address, p2, spec, start_request, within,
};

/// A plugin as a host's configuration has it.
fn plugin(name: &str, image: &str) -> PluginComponent {
    PluginComponent {
        component: Component {
            name: name.parse().unwrap(),
            image: Image::File(image.into()),
            pull: Default::default(),
            local_resources: LocalResources {
                config: [("title".to_owned(), "ledger".to_owned())].into(),
                ..LocalResources::default()
            },
            reuse: Default::default(),
        },
        base: PathBuf::new(),
        expected_digest: None,
        max_restarts: None,
    }
}

/// A plugin that runs by itself, for a shift of some kind.
fn of_shift(shift: &str) -> PluginComponent {
    let mut clerk = plugin("clerk", test_guests::CLERK);
    let config = &mut clerk.component.local_resources.config;
    config.insert("shift".to_owned(), shift.to_owned());
    clerk
}

/// A host with that plugin, whose restarts do not keep tests waiting, and a workload that calls it.
async fn served_by(clerk: PluginComponent) -> TestHost {
    served_where(clerk, |_| {}).await
}

async fn served_where(clerk: PluginComponent, change: impl FnOnce(&mut HostConfig)) -> TestHost {
    let host = TestHost::with(|config| {
        config.restarts.first = Duration::from_millis(1);
        config.restarts.longest = Duration::from_millis(4);
        config.sockets.allow_host_loopback = true;
        config.component_plugins.push(clerk);
        change(config);
    })
    .await;
    host.run("shop", &shop("shop")).await;
    host
}

async fn host() -> TestHost {
    TestHost::with(|config| {
        config
            .component_plugins
            .push(plugin("ledger", test_guests::LEDGER));
    })
    .await
}

fn book() -> Value {
    json!({ "namespace": "test", "package": "ledger", "interfaces": ["book"] })
}

/// A workload with a component that calls the plugin.
fn shop(name: &str) -> Value {
    let components = [p2(), component("teller", test_guests::TELLER)];
    spec(components, [http_at(json!({ "host": name })), book()])
}

async fn call(
    host: &TestHost,
    workload: &str,
    function: &str,
    arg: Option<&str>,
) -> Result<Answer, CallFailed> {
    let request = CallRequest {
        workload: id(workload),
        component: Some("teller".parse().unwrap()),
        function: function.parse().unwrap(),
        args: arg.map(str::to_owned).into_iter().collect(),
    };
    within(host.host.call(&request)).await
}

async fn tell(host: &TestHost, workload: &str, text: &str) -> String {
    let text = format!("{text:?}");
    let answer = call(host, workload, "tell", Some(&text)).await;
    answer.expect("the call returns").wave().to_owned()
}

/// It is told who calls, and has its own configuration.
#[tokio::test]
pub(crate) async fn ledger() {
    let host = host().await;
    host.run("shop", &shop("shop")).await;
    host.run("store", &shop("store")).await;
    assert_eq!(
        tell(&host, "shop", "sold").await,
        r#"ok("ledger 1: default/shop/teller: sold")"#
    );
    assert_eq!(
        tell(&host, "store", "bought").await,
        r#"ok("ledger 1: default/store/teller: bought")"#
    );
    // What it writes is its own, not its callers'.
    let line = &host.lines(1).await[0];
    assert_eq!(
        (line.workload.as_str(), line.component.as_str()),
        ("ledger", "ledger")
    );
    assert_eq!(line.text, "default/shop/teller notes sold");
}

/// What was compared with the digest that the configuration wants, and may have been pulled with the credentials of the host, is what
/// runs: it is not fetched again, and least of all as if a workload wanted it.
#[tokio::test]
async fn it_is_fetched_once_and_by_the_host() {
    let fetched = Arc::new(Noted::default());
    let mut clerk = of_shift("stay");
    let digest = Digest::of(&std::fs::read(test_guests::CLERK).unwrap());
    clerk.expected_digest = Some(digest.to_string());
    let fetch = fetched.clone();
    let host = served_where(clerk, |config| config.fetch = fetch).await;
    assert_eq!(tell(&host, "shop", "it").await, r#"ok("noted: it")"#);
    let notes = fetched.0.lock().unwrap().clone();
    let of_clerk = notes.iter().filter(|note| note.contains("clerk"));
    let of_clerk: Vec<_> = of_clerk.collect();
    assert_eq!(of_clerk.len(), 1, "{notes:?}");
    assert!(of_clerk[0].starts_with("Host "), "{notes:?}");
}

/// Reads files, and notes who wanted which.
#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

#[async_trait]
impl Fetch for Noted {
    async fn fetch(&self, wanted: Wanted<'_>) -> Result<Fetched, FetchError> {
        let note = format!("{:?} {}", wanted.by, wanted.image);
        self.0.lock().unwrap().push(note);
        Files::default().fetch(wanted).await
    }
}

/// The one that calls is called by nobody over a link.
#[tokio::test]
pub(crate) async fn teller() {
    let host = host().await;
    host.run("shop", &shop("shop")).await;
    let answer = call(&host, "shop", "caller", None).await.unwrap();
    assert_eq!(answer.wave(), r#""nobody""#);
}

#[tokio::test]
async fn its_errors_are_the_callers_and_a_trap_ends_only_the_call() {
    let host = host().await;
    host.run("shop", &shop("shop")).await;
    assert_eq!(
        tell(&host, "shop", "refuse").await,
        r#"err("not in this book")"#
    );
    let told = tell(&host, "shop", "trap").await;
    assert!(
        told.starts_with("err(") && told.contains("unreachable"),
        "{told}"
    );
    // Where the function has no room for an error, the caller traps.
    let count = call(&host, "shop", "count", Some(r#"["one", ""]"#)).await;
    let told = count.unwrap_err().in_full();
    assert!(told.contains("`length` of component `ledger`"), "{told}");
    let count = call(&host, "shop", "count", Some(r#"["one", "two"]"#)).await;
    assert_eq!(count.unwrap().wave(), "6");
}

/// Instances that are kept keep what is in them, and never whose call was the last one.
#[tokio::test]
async fn with_a_pool_its_instances_are_kept() {
    let mut kept = plugin("ledger", test_guests::LEDGER);
    kept.component.reuse = wasmcloud::workload::Reuse::Pooled {
        size: 1.try_into().unwrap(),
        max_invocations: None,
        max_concurrency: 1.try_into().unwrap(),
    };
    let host = TestHost::with(|config| config.component_plugins.push(kept)).await;
    host.run("shop", &shop("shop")).await;
    host.run("store", &shop("store")).await;
    for (nth, workload) in [(1, "shop"), (2, "store"), (3, "shop")] {
        assert_eq!(
            tell(&host, workload, "it").await,
            format!(r#"ok("ledger {nth}: default/{workload}/teller: it")"#)
        );
    }
    // One that trapped is not used again.
    assert!(tell(&host, "shop", "trap").await.starts_with("err("));
    assert_eq!(
        tell(&host, "store", "it").await,
        r#"ok("ledger 1: default/store/teller: it")"#
    );
}

#[tokio::test]
async fn it_has_to_be_granted() {
    let host = host().await;
    let components = [p2(), component("teller", test_guests::TELLER)];
    let error = host.try_run("shop", &spec(components, [http()])).await;
    let told = error.unwrap_err().to_string();
    assert!(told.contains("`test:ledger/book@0.1.0`"), "{told}");
    assert!(told.contains("not granted"), "{told}");
}

/// Who exports the same in a workload of its own answers there, and is nobody's plugin.
#[tokio::test]
async fn a_sibling_comes_first_and_nobody_else_is_called_as_the_plugin() {
    let host = host().await;
    let own = [
        p2(),
        component("teller", test_guests::TELLER),
        component("own", test_guests::LEDGER),
    ];
    host.run("shop", &spec(own, [http()])).await;
    assert_eq!(
        tell(&host, "shop", "here").await,
        r#"ok(" 1: nobody: here")"#,
        "fused, so that nothing says who calls"
    );
    let posing = spec([component("own", test_guests::LEDGER)], [book()]);
    let told = host
        .try_run("posing", &posing)
        .await
        .unwrap_err()
        .to_string();
    assert!(told.contains("nothing would run"), "{told}");
}

/// What it runs by itself is an instance of its own, which calls do not wait for.
#[tokio::test]
pub(crate) async fn clerk() {
    let host = served_by(of_shift("stay")).await;
    let line = &host.lines(1).await[0];
    assert_eq!(
        (line.component.as_str(), line.text.as_str()),
        ("service", "open")
    );
    assert_eq!(tell(&host, "shop", "it").await, r#"ok("noted: it")"#);
    let status = host.host.status(&id("plugin:clerk")).await.unwrap();
    assert_eq!(status.state, WorkloadState::Running);
    assert_eq!(status.service.unwrap().state, ServiceState::Running);
    assert!(within(host.host.shutdown()).await);
}

#[tokio::test]
async fn what_it_runs_comes_back_after_crashes_and_calls_go_on_meanwhile() {
    let host = served_by(of_shift("crash")).await;
    let lines = host.lines(6).await;
    assert!(lines.iter().all(|line| line.text == "open"), "{lines:?}");
    assert_eq!(tell(&host, "shop", "it").await, r#"ok("noted: it")"#);
    let status = host.host.status(&id("plugin:clerk")).await.unwrap();
    assert_eq!(status.state, WorkloadState::Running);
    let service = status.service.unwrap();
    assert!(service.restarts >= 5, "{service:?}");
    assert!(service.reason.unwrap().contains("unreachable"));
}

#[tokio::test]
async fn what_it_runs_may_come_to_an_end() {
    let host = served_by(of_shift("done")).await;
    let done = |status: &WorkloadStatus| {
        status.service.as_ref().map(|it| it.state) == Some(ServiceState::Completed)
    };
    until(&host, done).await;
    assert_eq!(tell(&host, "shop", "it").await, r#"ok("noted: it")"#);
}

/// Whoever says how often it may come back wants to notice when it does not.
#[tokio::test]
async fn a_plugin_that_crashes_too_often_answers_no_more_and_says_why() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut clerk = of_shift(&format!("until 127.255.255.254:{port}"));
    clerk.max_restarts = Some(2);
    let resources = &mut clerk.component.local_resources;
    resources.allowed_host_loopback_ports = vec![port.to_string().parse().unwrap()];
    let host = served_by(clerk).await;
    for _ in 0..3 {
        drop(within(listener.accept()).await.unwrap());
    }
    until(&host, |status| status.state == WorkloadState::Failed).await;
    assert_eq!(host.lines(3).await.len(), 3);
    let status = host.host.status(&id("plugin:clerk")).await.unwrap();
    let reason = status.message.unwrap();
    assert!(reason.contains("`maxRestarts`: 2"), "{reason}");
    let told = tell(&host, "shop", "it").await;
    assert!(told.starts_with("err("), "{told}");
}

async fn until(host: &TestHost, wanted: impl Fn(&WorkloadStatus) -> bool) {
    within(async {
        loop {
            let status = host.host.status(&id("plugin:clerk")).await.unwrap();
            if wanted(&status) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// What its callers may reach plays no part, in either direction.
#[tokio::test]
async fn it_reaches_what_it_was_allowed_itself() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let ports = [port.to_string().parse().unwrap()];
    let reach = format!("reach 127.255.255.254:{port}");
    let mut allowed = of_shift("stay");
    allowed
        .component
        .local_resources
        .allowed_host_loopback_ports = ports.to_vec();
    let host = served_by(allowed).await;
    assert_eq!(tell(&host, "shop", &reach).await, r#"ok("reached")"#);

    let host = served_by(of_shift("stay")).await;
    let mut spec = shop("other");
    for component in spec["components"].as_array_mut().unwrap() {
        component["localResources"] = json!({ "allowedHostLoopbackPorts": [port.to_string()] });
    }
    host.run("other", &spec).await;
    assert_eq!(
        tell(&host, "other", &reach).await,
        r#"err("PermissionDenied")"#
    );
}

#[tokio::test]
async fn it_reaches_hosts_that_it_was_allowed_itself() {
    let Some(address) = own_address().await else {
        return;
    };
    let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
    let to = listener.local_addr().unwrap();
    let network = |config: &mut HostConfig| config.egress.allow = vec![address.into()];
    let reach = format!("reach {to}");
    let mut allowed = of_shift("stay");
    allowed.component.local_resources.allowed_hosts = vec![to.to_string().parse().unwrap()];
    let host = served_where(allowed, network).await;
    assert_eq!(tell(&host, "shop", &reach).await, r#"ok("reached")"#);

    let host = served_where(of_shift("stay"), network).await;
    let mut spec = shop("other");
    for component in spec["components"].as_array_mut().unwrap() {
        component["localResources"] = json!({ "allowedHosts": [to.to_string()] });
    }
    host.run("other", &spec).await;
    let denied = r#"err("PermissionDenied")"#;
    assert_eq!(tell(&host, "other", &reach).await, denied);
}

/// Its namespace holds what it keeps.
#[tokio::test]
async fn its_name_is_taken() {
    let host = host().await;
    let mut request = start_request("posing", "posing", &shop("posing"), None);
    request.workload.namespace = "wasmcloud-plugins".parse().unwrap();
    request.workload.name = "ledger".parse().unwrap();
    let error = host.host.start(request).await.unwrap_err();
    assert!(matches!(error, StartError::Settings(_)), "{error}");
    assert!(
        error.to_string().contains("is a plugin of this host"),
        "{error}"
    );
}

/// It runs until those that call it have ended.
#[tokio::test]
async fn at_the_end_it_goes_last() {
    let host = host().await;
    host.run("shop", &shop("shop")).await;
    tell(&host, "shop", "sold").await;
    assert!(within(host.host.shutdown()).await);
    assert!(host.host.workloads().is_empty());
}

async fn refused(plugin: PluginComponent) -> String {
    let config = HostConfig {
        component_plugins: vec![plugin],
        ..HostConfig::default()
    };
    let error = assemble(config).await.unwrap_err();
    assert!(matches!(error, AssembleError::Plugin { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_the_reason() {
    let told = refused(plugin("absent", "/absent.wasm")).await;
    assert!(
        told.starts_with("the plugin `absent` cannot be used: "),
        "{told}"
    );
    let told = refused(plugin("front", test_guests::HTTP_P2)).await;
    assert!(told.contains("takes a resource"), "{told}");
    let told = refused(plugin("runs", test_guests::SERVE_P2)).await;
    assert!(told.contains("exports no interface"), "{told}");
    let told = refused(plugin("counters", test_guests::RES_PROVIDER)).await;
    assert!(told.contains("`test:resources/counters`"), "{told}");
    let told = refused(plugin("user", test_guests::TELLER)).await;
    assert!(told.contains("test:ledger/book"), "{told}");
    let mut other = plugin("ledger", test_guests::LEDGER);
    other.max_restarts = Some(3);
    let told = refused(other.clone()).await;
    assert!(told.contains("exports no `wasi:cli/run`"), "{told}");
    other.max_restarts = None;
    other.expected_digest = Some(format!("sha256:{}", "0".repeat(64)));
    let told = refused(other).await;
    assert!(told.contains("its digest is sha256:"), "{told}");
}

/// Hosts of an embedder may come and go in one process.
#[tokio::test]
async fn it_ends_with_its_host() {
    let host = host().await;
    host.run("shop", &shop("shop")).await;
    tell(&host, "shop", "sold").await;
    let inner = Arc::downgrade(&host.host);
    drop(host);
    assert!(inner.upgrade().is_none());
}
