//! The guests that measure capabilities: what they say that they have done, they have done.

use std::sync::Arc;

use serde_json::{Value, json};
use test_servers::Postgres;
use tokio::sync::watch;
use wasmcloud::host::CallRequest;
use wasmcloud::plugin::{Import, Offer, Plugin, StoreData};
use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use crate::support::{TestHost, component, id, spec, within};

/// What a function answers, as text.
async fn call(host: &TestHost, function: &str, args: &[&str]) -> String {
    let request = CallRequest {
        workload: id("bench"),
        component: None,
        function: function.parse().unwrap(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    };
    let answer = within(host.host.call(&request)).await;
    answer.expect("the call returns").wave().to_owned()
}

/// A host that may reach nothing, with one of the guests and what it is granted.
async fn host_of(
    guest: &str,
    grants: impl IntoIterator<Item = Value>,
    plugins: Vec<Arc<dyn Plugin>>,
) -> TestHost {
    let host = TestHost::with(|config| {
        // Who handles messages is called by the host, the others only by the test.
        config.calls_only = plugins.is_empty();
        config.plugins = plugins;
    })
    .await;
    host.run("bench", &spec([component("guest", guest)], grants))
        .await;
    host
}

fn grant(namespace: &str, package: &str, interfaces: &[&str]) -> Value {
    json!({ "namespace": namespace, "package": package, "interfaces": interfaces })
}

/// How many times of calls, or of loops, came back.
fn times(answer: &str) -> usize {
    let list = answer.strip_prefix("ok([");
    let list = list.and_then(|list| list.strip_suffix("])"));
    let list = list.unwrap_or_else(|| panic!("{answer}"));
    let times: Vec<u64> = list.split(", ").map(|it| it.parse().unwrap()).collect();
    times.len()
}

async fn keeps(guest: &str, namespace: &str) {
    let store = grant(namespace, "keyvalue", &["store", "atomics"]);
    let host = host_of(guest, [store], Vec::new()).await;
    for action in ["get", "set", "increment"] {
        let key = format!("{action:?}");
        let each = call(&host, "run", &[action, &key, "3", "true"]).await;
        assert_eq!(times(&each), 3);
        let all = call(&host, "run", &[action, &key, "3", "false"]).await;
        assert_eq!(times(&all), 1);
    }
    // The guest does call the host: a value is no counter.
    let wrong = call(&host, "run", &["increment", "\"set\"", "1", "true"]).await;
    assert!(wrong.contains("not a whole number"), "{wrong}");
}

#[tokio::test]
pub(crate) async fn bench_keyvalue() {
    keeps(test_guests::BENCH_KEYVALUE, "wasi").await;
}

#[tokio::test]
pub(crate) async fn bench_keyvalue_p3() {
    keeps(test_guests::BENCH_KEYVALUE_P3, "wasmcloud").await;
}

async fn flows(guest: &str, namespace: &str) {
    let store = grant(namespace, "blobstore", &["blobstore"]);
    let host = host_of(guest, [store], Vec::new()).await;
    for bytes in ["0", "200000"] {
        let written = call(&host, "write", &["\"one\"", bytes]).await;
        assert!(written.starts_with("ok("), "{written}");
        let piped = call(&host, "pipe", &["\"one\"", "\"two\""]).await;
        assert!(piped.starts_with("ok("), "{piped}");
        let read = call(&host, "read", &["\"two\"", bytes]).await;
        assert!(read.starts_with("ok("), "{read}");
    }
    let short = call(&host, "read", &["\"two\"", "200001"]).await;
    assert_eq!(short, "err(\"200000 bytes came, not 200001\")");
}

#[tokio::test]
pub(crate) async fn bench_blobs() {
    flows(test_guests::BENCH_BLOBS, "wasi").await;
}

#[tokio::test]
pub(crate) async fn bench_blobs_p3() {
    flows(test_guests::BENCH_BLOBS_P3, "wasmcloud").await;
}

/// Counts what guests say they have handled.
struct Tally(Arc<watch::Sender<u32>>);

impl Plugin for Tally {
    fn id(&self) -> &'static str {
        "tally"
    }

    fn offers(&self) -> Vec<Offer> {
        vec![Offer::shared(
            "bench:capabilities/tally@0.1.0".parse().unwrap(),
        )]
    }

    fn link(
        &self,
        _: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let count = Arc::clone(&self.0);
        linker.func_wrap(
            "handled",
            move |_: StoreContextMut<'_, StoreData>, (): ()| {
                count.send_modify(|count| *count += 1);
                Ok(())
            },
        )
    }
}

async fn arrive(guest: &str) {
    let (count, mut handled) = watch::channel(0);
    let mut messages = grant("wasmcloud", "messaging", &["types", "consumer", "handler"]);
    messages["config"] = json!({ "subscriptions": "bench.work" });
    let own = grant("bench", "capabilities", &["tally"]);
    let tally = Arc::new(Tally(Arc::new(count)));
    let host = host_of(guest, [messages, own], vec![tally]).await;
    let sent = call(&host, "publish", &["\"bench.work\"", "100"]).await;
    assert_eq!(sent, "ok");
    within(handled.wait_for(|count| *count == 100))
        .await
        .unwrap();
}

#[tokio::test]
pub(crate) async fn bench_messages() {
    arrive(test_guests::BENCH_MESSAGES).await;
}

#[tokio::test]
pub(crate) async fn bench_messages_p3() {
    arrive(test_guests::BENCH_MESSAGES_P3).await;
}

/// A database is a server, which has to be reached.
async fn asks(guest: &str) {
    let server = Postgres::start();
    let loopback = "127.0.0.0/8".parse().unwrap();
    let host = TestHost::with(|config| {
        config.calls_only = true;
        config.egress.allow.push(loopback);
    })
    .await;
    let mut query = grant("wasmcloud", "postgres", &["query"]);
    query["config"] = json!({ "url": server.url("notes") });
    host.run("bench", &spec([component("guest", guest)], [query]))
        .await;
    assert_eq!(times(&call(&host, "run", &["3", "true"]).await), 3);
    assert_eq!(times(&call(&host, "run", &["3", "false"]).await), 1);
}

#[tokio::test]
pub(crate) async fn bench_postgres() {
    asks(test_guests::BENCH_POSTGRES).await;
}

#[tokio::test]
pub(crate) async fn bench_postgres_p3() {
    asks(test_guests::BENCH_POSTGRES_P3).await;
}
