//! A server of NATS.

use test_servers::Nats;

use super::super::faults::{answered, survives, until_back};
use super::*;
use crate::capability::keyvalue::nats::{Server, Times, Wish};

/// So that nobody waits for long where nobody answers.
const TIMES: Times = Times {
    patient: Duration::from_secs(2),
    sweep: Duration::from_secs(300),
};

fn launch() -> Nats {
    Nats::launch()
}

fn server(url: &str) -> Arc<Server> {
    hurried(url, Times::default())
}

/// One of other times.
fn hurried(url: &str, times: Times) -> Arc<Server> {
    let (url, options) = (url.parse().unwrap(), KeyValueOptions::default());
    Server::with_times(about(), url, dial(), &options, times)
}

async fn place(url: &str, name: &str, wish: Wish) -> Arc<dyn Bucket> {
    let server = server(url);
    server.begin().await.unwrap();
    let store = server.tenant(&tenant(name), "app", wish);
    store.begin().await.unwrap();
    store.bucket("b")
}

/// As another program sees what is kept.
async fn seen(nats: &Nats) -> async_nats::jetstream::kv::Store {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let bucket = "app__default__workload__one";
    jetstream.get_key_value(bucket).await.unwrap()
}

/// How many messages the server has of it now.
async fn messages(seen: &async_nats::jetstream::kv::Store) -> u64 {
    seen.stream.get_info().await.unwrap().state.messages
}

#[tokio::test(flavor = "multi_thread")]
async fn nats() {
    let nats = launch();
    let server = server(&nats.url());
    let [one, other] =
        ["one", "other"].map(|it| server.tenant(&tenant(it), "app", Wish::default()));
    conforms(&one, &other).await;
}

/// The same where entries are read from the leader, as in a cluster.
#[tokio::test(flavor = "multi_thread")]
async fn nats_that_reads_from_the_leader() {
    let nats = launch();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    for name in ["one", "other"] {
        let bucket = format!("app__default__workload__{name}");
        let config = async_nats::jetstream::stream::Config {
            name: format!("KV_{bucket}"),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            ..Default::default()
        };
        jetstream.create_stream(config).await.unwrap();
    }
    let server = server(&nats.url());
    let [one, other] =
        ["one", "other"].map(|it| server.tenant(&tenant(it), "app", Wish::default()));
    conforms(&one, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults() {
    let mut nats = launch();
    let place = async |port: u16| {
        let server = hurried(&format!("nats://127.0.0.1:{port}"), TIMES);
        server.begin().await.unwrap();
        let store = server.tenant(&tenant("one"), "app", Wish::default());
        store.begin().await.unwrap();
        store.bucket("b")
    };
    survives(&mut nats, place).await;
}

/// Many hosts count and swap the same, each over a connection of its own.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_change_the_same_lose_nothing() {
    let nats = launch();
    let counting = (0..4).map(async |_| {
        let bucket = place(&nats.url(), "one", Wish::default()).await;
        for _ in 0..25 {
            bucket.increment("n", 1, Sign::Any).await.unwrap();
        }
    });
    join_all(counting).await;
    let bucket = place(&nats.url(), "one", Wish::default()).await;
    assert_eq!(got(&*bucket, "n").await.as_deref(), Some("100"));
}

/// Whoever only reads finds out, too, that an operator has taken everything away.
#[tokio::test]
async fn what_was_taken_away_is_made_again() {
    let nats = launch();
    let server = hurried(&nats.url(), TIMES);
    let store = server.tenant(&tenant("one"), "app", Wish::default());
    let bucket = store.bucket("b");
    set(&*bucket, "k", "v").await;
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let stream = "KV_app__default__workload__one";
    jetstream.delete_stream(stream).await.unwrap();
    let made_again = async { while bucket.get("k").await != Ok(None) {} };
    tokio::time::timeout(PATIENCE, made_again).await.unwrap();
    set(&*bucket, "k", "w").await;
    assert_eq!(got(&*bucket, "k").await.as_deref(), Some("w"));
}

/// The names and values are what other programs find, so far as they can be keys there.
#[tokio::test]
async fn other_programs_see_plain_keys_and_values() {
    let nats = launch();
    let bucket = place(&nats.url(), "one", Wish::default()).await;
    set(&*bucket, "cart/17", "full").await;
    set(&*bucket, "a.b", "dotted").await;
    let seen = seen(&nats).await;
    for (key, value) in [("b.cart/17", "full"), ("b.a=2Eb", "dotted")] {
        let found = seen.get(key).await.unwrap();
        assert_eq!(found.as_deref(), Some(value.as_bytes()), "{key}");
    }
    bucket.delete("a.b").await.unwrap();
    assert_eq!(messages(&seen).await, 1);
}

#[tokio::test]
async fn keys_that_are_too_long_for_a_subject_are_kept_and_listed() {
    let nats = launch();
    let bucket = place(&nats.url(), "one", Wish::default()).await;
    let keys = ["é".repeat(512), "é".repeat(511) + "e", "*".repeat(4000)];
    for key in &keys {
        bucket
            .set(key, bytes(key), gone_after(60_000))
            .await
            .unwrap();
        assert_eq!(got(&*bucket, key).await.as_ref(), Some(key));
    }
    let mut sorted = keys.to_vec();
    sorted.sort();
    assert_eq!(names(&*bucket, "").await, sorted);
    assert_eq!(bucket.increment("n", 1, Sign::Any).await, Ok(1));
}

/// What nobody asks for any more takes no room for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_taken_away() {
    let nats = launch();
    let times = Times {
        sweep: Duration::from_millis(50),
        ..TIMES
    };
    let server = hurried(&nats.url(), times);
    let store = server.tenant(&tenant("one"), "app", Wish::default());
    let bucket = store.bucket("b");
    for n in 0..10 {
        let key = n.to_string();
        bucket.set(&key, bytes("v"), gone_after(30)).await.unwrap();
    }
    set(&*bucket, "stays", "v").await;
    bucket
        .set("late", bytes("v"), gone_after(3_600_000))
        .await
        .unwrap();
    let seen = seen(&nats).await;
    let swept = async {
        while messages(&seen).await > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, swept).await.unwrap();
    assert_eq!(names(&*bucket, "").await, ["late", "stays"]);
}

#[tokio::test]
async fn a_server_has_an_end_for_each_tenant() {
    let nats = launch();
    let wish = Wish {
        size: Some(100_000),
        replicas: Some(1),
    };
    let bucket = place(&nats.url(), "one", wish).await;
    let value = Bytes::from(vec![0; 10_000]);
    let mut held = 0;
    let fault = loop {
        match bucket.set(&held.to_string(), value.clone(), ALWAYS).await {
            Ok(()) => held += 1,
            Err(fault) => break fault,
        }
    };
    assert!(matches!(fault, Fault::Full(_)), "{fault:?}");
    assert_eq!(held, 9);
    bucket.delete("1").await.unwrap();
    bucket.set("one", value.clone(), ALWAYS).await.unwrap();
    // Another workload has a room of its own, and a manifest may ask for more.
    place(&nats.url(), "other", wish)
        .await
        .set("k", value.clone(), ALWAYS)
        .await
        .unwrap();
    let wish = Wish {
        size: Some(200_000),
        ..wish
    };
    let bucket = place(&nats.url(), "one", wish).await;
    bucket.set("more", value.clone(), ALWAYS).await.unwrap();
    assert_eq!(bucket.get("0").await, Ok(Some(value)));
}

/// A server that takes 8 MiB.
#[tokio::test]
async fn a_server_whose_disk_is_full_is_told_as_full_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nats.conf");
    std::fs::write(&config, "jetstream: { max_file_store: 8MB }\n").unwrap();
    let mut nats = Nats::launch_with(&["-c", config.to_str().unwrap()]);
    let bucket = place(&nats.url(), "one", Wish::default()).await;
    let value = |n: u8| Bytes::from(vec![n; 500_000]);
    let mut kept = Vec::new();
    let fault = loop {
        let n = u8::try_from(kept.len()).unwrap();
        match bucket.set(&n.to_string(), value(n), ALWAYS).await {
            Ok(()) => kept.push(n),
            Err(fault) => break fault,
        }
    };
    assert!(matches!(fault, Fault::Full(_)), "{fault:?}");
    assert!(kept.len() > 10, "{kept:?}");
    let counted = bucket.increment("n", 1, Sign::Any).await;
    assert!(matches!(counted, Err(Fault::Full(_))), "{counted:?}");
    assert_eq!(names(&*bucket, "").await.len(), kept.len());
    // It counts more than the values, so one that goes may not be room enough for another.
    for n in kept.drain(..2) {
        bucket.delete(&n.to_string()).await.unwrap();
    }
    bucket.set("new", value(255), ALWAYS).await.unwrap();
    nats.end();
    nats.start();
    until_back(&*bucket).await;
    for (key, n) in kept.iter().map(|n| (n.to_string(), *n)) {
        let found = bucket.get(&key).await.unwrap();
        assert!(found == Some(value(n)), "{key}");
    }
    assert!(bucket.get("new").await.unwrap() == Some(value(255)));
}

/// The server's own limit is told as such, and the connection stays.
#[tokio::test]
async fn a_value_that_is_larger_than_the_server_takes_is_refused() {
    let nats = launch();
    let bucket = place(&nats.url(), "one", Wish::default()).await;
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    let told = bucket.set("k", large, ALWAYS).await;
    assert!(matches!(told, Err(Fault::Invalid(_))), "{told:?}");
    set(&*bucket, "k", "v").await;
    assert_eq!(got(&*bucket, "k").await.as_deref(), Some("v"));
}

/// What is on its way to workloads counts by the longest value that there may be, so none may be longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_longer_than_any_may_be_is_not_held_and_shorter_ones_are_read() {
    let nats = launch();
    let options = KeyValueOptions {
        value_bytes: 1000,
        ..KeyValueOptions::default()
    };
    let server = Server::new(about(), nats.url().parse().unwrap(), dial(), &options);
    let store = server.tenant(&tenant("one"), "app", Wish::default());
    let bucket = store.bucket("b");
    set(&*bucket, "short", &"v".repeat(1000)).await;
    let long = Bytes::from(vec![0; 500_000]);
    seen(&nats).await.put("b.long", long).await.unwrap();
    let told = bucket.get("long").await;
    assert!(matches!(told, Err(Fault::Unavailable(_))), "{told:?}");
    until_back(&*bucket).await;
    let short = got(&*bucket, "short").await;
    assert_eq!(short, Some("v".repeat(1000)));
}

/// What can never work keeps a workload from starting, and says why.
#[tokio::test]
async fn what_the_server_will_never_do_is_told_at_the_start() {
    let nats = launch();
    let wish = Wish {
        replicas: Some(3),
        size: None,
    };
    let store = server(&nats.url()).tenant(&tenant("one"), "app", wish);
    let told = store.begin().await.unwrap_err().to_string();
    assert!(told.contains("`replicas`"), "{told}");
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let foreign = async_nats::jetstream::stream::Config {
        name: "KV_app__default__workload__one".to_owned(),
        subjects: vec!["other.>".to_owned()],
        ..Default::default()
    };
    jetstream.create_stream(foreign).await.unwrap();
    let store = server(&nats.url()).tenant(&tenant("one"), "app", Wish::default());
    let told = store.begin().await.unwrap_err().to_string();
    assert!(told.contains("something else under the name"), "{told}");
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_told_to_nobody() {
    let nats = Nats::launch_with(&["--user", "ann", "--pass", "right"]);
    let url = |password: &str| format!("nats://ann:{password}@127.0.0.1:{}", nats.port());
    let bucket = place(&url("right"), "one", Wish::default()).await;
    set(&*bucket, "k", "v").await;
    for url in [url("wr0ng"), nats.url()] {
        let server = server(&url);
        let told = server.begin().await.unwrap_err().to_string();
        assert!(told.contains("does not accept"), "{told}");
        assert!(!told.contains("wr0ng"), "{told}");
        let bucket = server
            .tenant(&tenant("one"), "app", Wish::default())
            .bucket("b");
        let fault = bucket.get("k").await.unwrap_err();
        assert!(!fault.to_string().contains("127.0.0.1"), "{fault}");
    }
}

#[tokio::test]
async fn a_manifest_leads_nowhere_that_the_policy_denies() {
    let nats = launch();
    let resolver = Arc::new(SystemResolver::default());
    let dial = Dial::new(EgressPolicy::default(), resolver);
    let (url, options) = (nats.url().parse().unwrap(), KeyValueOptions::default());
    let server = Server::new(about(), url, dial, &options);
    let told = server.begin().await.unwrap_err().to_string();
    assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
}

/// With `replicas`, what was acknowledged is there although a machine is gone, whichever it is that knows most. A call may be told that
/// the server is away, as long as the others still agree on who leads.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_on_without_one_of_its_servers() {
    let mut cluster = Nats::cluster(3);
    let urls: Vec<_> = cluster.iter().map(Nats::url).collect();
    let server = server(&urls.join(","));
    let wish = Wish {
        replicas: Some(3),
        size: None,
    };
    let bucket = server.tenant(&tenant("one"), "app", wish).bucket("b");
    // It takes a while until they have agreed on who leads.
    until_back(&*bucket).await;
    let (mut asked, mut counted) = (0, 0);
    for (gone, server) in cluster.iter_mut().enumerate() {
        for _ in 0..10 {
            let count = async || {
                asked += 1;
                bucket.increment("n", 1, Sign::Any).await
            };
            let found = answered(count).await;
            // One that was told to have failed may have been counted.
            assert!((counted + 1..=asked).contains(&found), "{found} of {asked}");
            counted = found;
        }
        let value = bytes(&gone.to_string());
        answered(async || bucket.set("k", value.clone(), ALWAYS).await).await;
        let current = answered(async || bucket.current("k").await).await;
        assert_eq!(current.as_ref().map(|it| &it.value), Some(&value));
        server.stop();
        until_back(&*bucket).await;
        let found = answered(async || bucket.increment("n", 0, Sign::Any).await).await;
        assert_eq!(found, counted);
        let found = answered(async || bucket.current("k").await).await;
        assert_eq!(found, current);
        let all = || Wanted::named(Mark::of(&[]), None, None).unwrap();
        let page = answered(async || bucket.list(all()).await).await;
        assert_eq!(page.keys, ["back", "k", "n"]);
        server.start();
        until_back(&*bucket).await;
    }
}
