//! The places that the suite runs over, and what is special about each.

use super::*;
use crate::capability::dial::Dial;
use crate::capability::keyvalue::KeyValueOptions;
use crate::capability::keyvalue::limited::Limited;
use crate::capability::keyvalue::memory::Memory;
use crate::capability::resolve::SystemResolver;
use crate::policy::{EgressOptions, EgressPolicy};

/// Refuses what is too much, in front of what takes all.
struct Guarded(Memory);

impl Store for Guarded {
    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        Arc::new(Limited::new(
            self.0.bucket(name),
            &KeyValueOptions::default(),
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    let rooms = [1, 2].map(|_| Memory::new(64 << 20));
    conforms(&rooms[0], &rooms[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limited() {
    let rooms = [1, 2].map(|_| Guarded(Memory::new(64 << 20)));
    conforms(&rooms[0], &rooms[1]).await;
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let store = Guarded(Memory::new(64 << 20));
    let bucket = store.bucket("b");
    let invalid = |done: Result<(), Fault>| matches!(done, Err(Fault::Invalid(_)));
    for key in [String::new(), "k".repeat(1025), "k".repeat(4096)] {
        assert!(invalid(bucket.get(&key).await.map(drop)));
        assert!(invalid(bucket.set(&key, Bytes::new(), ALWAYS).await));
        assert!(invalid(
            bucket.delete_many(vec!["ok".to_owned(), key]).await
        ));
    }
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    assert!(invalid(bucket.set("k", large.clone(), ALWAYS).await));
    let require = Expected {
        value: Some(Bytes::new()),
        version: None,
    };
    assert!(invalid(bucket.swap("k", large, require).await.map(drop)));
    let nothing = bucket.swap("k", Bytes::new(), Expected::default());
    assert!(invalid(nothing.await.map(drop)));
    assert!(invalid(bucket.set("k", Bytes::new(), gone_after(0)).await));
    assert!(invalid(
        bucket.set("k", Bytes::new(), gone_after(u64::MAX)).await
    ));
    let many = (0..1001).map(|n| n.to_string()).collect();
    assert!(invalid(bucket.get_many(many).await.map(drop)));
    let value = Bytes::from(vec![0; 1 << 20]);
    let pairs = (0..17).map(|n| (n.to_string(), value.clone()));
    assert!(invalid(bucket.set_many(pairs.collect()).await));
    for n in 0..17 {
        let key = n.to_string();
        bucket.set(&key, value.clone(), ALWAYS).await.unwrap();
    }
    let all = (0..17).map(|n| n.to_string()).collect();
    assert!(invalid(bucket.get_many(all).await.map(drop)));
}

/// Fills a store of 100 KiB, frees some, and sees that what is free can be used again.
async fn is_full_and_empties(store: &dyn Store) {
    let bucket = store.bucket("b");
    let value = Bytes::from(vec![0; 10_000]);
    let mut held = 0;
    let fault = loop {
        match bucket.set(&held.to_string(), value.clone(), ALWAYS).await {
            Ok(()) => held += 1,
            Err(fault) => break fault,
        }
    };
    assert!(matches!(fault, Fault::Full(_)), "{fault:?}");
    assert_eq!(held, 10);
    // What is there can be written over, but not grow.
    bucket.set("0", value.clone(), ALWAYS).await.unwrap();
    let larger = Bytes::from(vec![0; 20_000]);
    let grown = bucket.set("0", larger, ALWAYS).await;
    assert!(matches!(grown, Err(Fault::Full(_))), "{grown:?}");
    assert_eq!(bucket.get("0").await, Ok(Some(value.clone())));
    bucket.delete("1").await.unwrap();
    bucket
        .set("2", value.clone(), gone_after(20))
        .await
        .unwrap();
    until_gone(&*bucket, "2").await;
    bucket.set("one", value.clone(), ALWAYS).await.unwrap();
    bucket.set("two", value.clone(), ALWAYS).await.unwrap();
    let more = bucket.set("three", value, ALWAYS).await;
    assert!(matches!(more, Err(Fault::Full(_))), "{more:?}");
}

#[tokio::test]
async fn memory_has_an_end() {
    is_full_and_empties(&Memory::new(100 << 10)).await;
}

/// Anywhere on this machine.
fn dial() -> Dial {
    let options = EgressOptions {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressOptions::default()
    };
    Dial::new(
        EgressPolicy::new(options),
        Arc::new(SystemResolver::default()),
    )
}

fn tenant(name: &str) -> crate::capability::tenant::Tenant {
    use crate::workload::manifest;
    let text = format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {name} }}\nspec: {{ components: [{{ name: a, image: a.wasm }}] }}\n"
    );
    let parsed = manifest::parse(&text, std::path::Path::new("workload.yaml")).unwrap();
    crate::capability::tenant::Tenant::of(&parsed[0].workload)
}

#[cfg(feature = "keyvalue-redb")]
mod disk {
    use super::*;
    use crate::capability::keyvalue::redb::{Disk, OnDisk};

    async fn open(folder: &std::path::Path, limit: u64) -> Arc<Disk> {
        Arc::new(Disk::open(folder.join("kv"), limit).await.unwrap())
    }

    fn tenants(disk: &Arc<Disk>) -> [OnDisk; 2] {
        ["one", "other"].map(|name| disk.tenant(&tenant(name)))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn disk() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = tenants(&open(folder.path(), 64 << 20).await);
        conforms(&one, &other).await;
    }

    #[tokio::test]
    async fn disk_has_an_end_for_each_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = tenants(&open(folder.path(), 100 << 10).await);
        is_full_and_empties(&one).await;
        is_full_and_empties(&other).await;
    }

    #[tokio::test]
    async fn what_is_on_disk_outlives_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let before = {
            let disk = open(folder.path(), 64 << 20).await;
            let bucket = disk.tenant(&tenant("one")).bucket("b");
            set(&*bucket, "k", "v").await;
            bucket
                .set("gone", bytes("v"), gone_after(30))
                .await
                .unwrap();
            bucket.increment("n", 7, Sign::Any).await.unwrap();
            bucket.current("k").await.unwrap()
        };
        let disk = open(folder.path(), 64 << 20).await;
        let bucket = disk.tenant(&tenant("one")).bucket("b");
        assert_eq!(bucket.current("k").await.unwrap(), before);
        assert_eq!(bucket.increment("n", 1, Sign::Any).await, Ok(8));
        until_gone(&*bucket, "gone").await;
        // A version is never given twice.
        set(&*bucket, "k", "v").await;
        assert_ne!(bucket.current("k").await.unwrap(), before);
    }

    #[tokio::test]
    async fn a_folder_is_for_one_host() {
        let folder = tempfile::tempdir().unwrap();
        let _disk = open(folder.path(), 64 << 20).await;
        let second = Disk::open(folder.path().join("kv"), 64 << 20).await;
        let told = second.err().unwrap().to_string();
        assert!(told.contains("another host keeps its data"), "{told}");
    }
}

#[cfg(feature = "keyvalue-redis")]
mod redis {
    use test_servers::Redis;

    use super::*;
    use crate::capability::keyvalue::redis::{Server, ServerUrl};
    use crate::policy::EgressPolicy;

    fn server(url: &str) -> Arc<Server> {
        Server::new(url.parse::<ServerUrl>().unwrap(), dial())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn redis() {
        let redis = Redis::start();
        let server = server(&redis.url());
        let one = server.tenant(&tenant("one"), "app[1]:");
        let other = server.tenant(&tenant("other"), "app[1]:");
        conforms(&one, &other).await;
    }

    /// The server is killed while everybody counts: each count that was acknowledged is there, and it goes on by itself.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_killed_loses_nothing_that_was_acknowledged() {
        let mut redis = Redis::start();
        let server = server(&redis.url());
        let bucket = server.tenant(&tenant("one"), "").bucket("b");
        bucket.increment("n", 1, Sign::Any).await.unwrap();
        let counting = tokio::spawn({
            let bucket = Arc::clone(&bucket);
            async move {
                let mut acknowledged = 1;
                loop {
                    match bucket.increment("n", 1, Sign::Any).await {
                        Ok(_) => acknowledged += 1,
                        Err(fault) => break (acknowledged, fault),
                    }
                }
            }
        });
        redis.kill();
        let (acknowledged, fault) = counting.await.unwrap();
        assert!(matches!(fault, Fault::Unavailable(_)), "{fault:?}");
        let absent = bucket.get("n").await;
        assert!(matches!(absent, Err(Fault::Unavailable(_))), "{absent:?}");
        redis.resume();
        let back = async {
            loop {
                match bucket.get("n").await {
                    Ok(found) => return found,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, back).await.unwrap().unwrap();
        let found: i64 = std::str::from_utf8(&found).unwrap().parse().unwrap();
        // One that broke off may have been carried out.
        assert!([acknowledged, acknowledged + 1].contains(&found));
        // It is killed while nobody asks: the next question finds the new one.
        redis.kill();
        redis.resume();
        let back = async {
            while bucket.set("k", bytes("v"), ALWAYS).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, back).await.unwrap();
    }

    /// As when the network is cut: nobody waits longer than it should.
    #[tokio::test]
    async fn a_server_that_hangs_is_told_and_left() {
        let redis = Redis::start();
        let url = redis.url().parse::<ServerUrl>().unwrap();
        let server = Server::with_patience(url, dial(), Duration::from_secs(1));
        let bucket = server.tenant(&tenant("one"), "").bucket("b");
        set(&*bucket, "k", "v").await;
        redis.hang();
        assert_eq!(bucket.get("k").await, Err(Fault::Timeout));
        let absent = bucket.get("k").await;
        assert!(matches!(absent, Err(Fault::Unavailable(_))), "{absent:?}");
        redis.go_on();
        let back = async {
            while bucket.get("k").await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, back).await.unwrap();
        assert_eq!(got(&*bucket, "k").await.as_deref(), Some("v"));
    }

    #[tokio::test]
    async fn a_wrong_password_is_denied_and_told_to_nobody() {
        let redis = Redis::with_password("right");
        let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", redis.port());
        let right = server(&url("right")).tenant(&tenant("one"), "").bucket("b");
        set(&*right, "k", "v").await;
        for url in [url("wrong"), redis.url()] {
            let wrong = server(&url).tenant(&tenant("one"), "").bucket("b");
            assert_eq!(wrong.get("k").await, Err(Fault::Denied));
        }
    }

    #[tokio::test]
    async fn a_manifest_leads_nowhere_that_the_policy_denies() {
        let redis = Redis::start();
        let resolver = Arc::new(SystemResolver::default());
        let dial = Dial::new(EgressPolicy::default(), resolver);
        let server = Server::new(redis.url().parse().unwrap(), dial);
        let told = server.may_connect().await.unwrap_err().to_string();
        assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
        let bucket = server.tenant(&tenant("one"), "").bucket("b");
        assert_eq!(bucket.get("k").await, Err(Fault::Denied));
    }
}
